// Package page serves what a person sees of the sandbox: the chat page at / and
// the pay page of the emulated Crypto Pay at /pay/{hash}.
//
// It owns HTML, CSS and JavaScript, embedded as they are; the pages talk to the
// control API of the sandbox and hold no state of their own. It imports nothing
// of the module.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

//go:embed assets
var files embed.FS

// Handler serves the pages and their assets, and answers 404 to anything else.
//
// The pages call the control API at controlURL, such as
// http://127.0.0.1:8080/api; a missing /api is added. The empty string means
// /api on the server that serves the pages, which works under every name that
// the machine has.
func Handler(controlURL string) http.Handler {
	control := controlBase(controlURL)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", document("index.html", control))
	mux.Handle("GET /pay/{hash}", document("pay.html", control))
	for _, name := range assets() {
		mux.Handle("GET /assets/"+name, static(name))
	}
	return protect(mux, policy(control))
}

// controlBase normalises the address of the control API.
func controlBase(address string) string {
	address = strings.TrimRight(address, "/")
	if !strings.HasSuffix(address, "/api") {
		address += "/api"
	}
	return address
}

// assets lists the embedded files that are served as they are.
func assets() []string {
	entries, err := files.ReadDir("assets")
	if err != nil {
		return nil // the directory is embedded: it cannot be missing
	}
	var names []string
	for _, entry := range entries {
		if path.Ext(entry.Name()) != ".html" {
			names = append(names, entry.Name())
		}
	}
	return names
}

// document renders a page once; it is the same for everybody.
func document(name, control string) http.Handler {
	page := template.Must(template.ParseFS(files, "assets/"+name, "assets/icons.html"))
	var body bytes.Buffer
	if err := page.Execute(&body, struct{ Control string }{control}); err != nil {
		return broken(err)
	}
	return content(name, body.Bytes())
}

func static(name string) http.Handler {
	body, err := fs.ReadFile(files, "assets/"+name)
	if err != nil {
		return broken(err)
	}
	return content(name, body)
}

// content serves bytes that browsers may keep but must ask about each time.
func content(name string, body []byte) http.Handler {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}

func broken(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	})
}

// policy is the Content-Security-Policy: own files only, no inline code, and
// the control API wherever it is.
func policy(control string) string {
	from := "'self'"
	if u, err := url.Parse(control); err == nil && u.Host != "" {
		from += " " + u.Scheme + "://" + u.Host
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'",
		"img-src " + from, "connect-src " + from,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "trusted-types sallyport",
	}, "; ")
}

// protect sets the headers that every answer has.
func protect(next http.Handler, policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		next.ServeHTTP(w, r)
	})
}
