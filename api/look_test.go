package api_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"sallyport/api"
)

// shopfront is a shop's public listener; nothing behind it works.
func shopfront() chi.Router {
	health := api.NewHealth("test")
	edge := api.New(api.Config{Secret: secret, Health: health})
	return edge.Receivers()
}

func TestAShopIsKnownByWhatItShows(t *testing.T) {
	t.Parallel()
	operations := api.NewRouter()
	api.New(api.Config{Health: api.NewHealth("test")}).Operations(operations)
	only := func(path string, whole http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				http.Error(w, "nothing here", http.StatusBadGateway)
				return
			}
			whole.ServeHTTP(w, r)
		})
	}
	says := func(status int, header, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Set(name, value)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	for _, c := range []struct {
		name    string
		handler http.Handler
		want    bool
		status  int
	}{
		{"the public listener", shopfront(), true, 200},
		{"the operators' listener, before it serves", only("/readyz", operations), true, 502},
		{"a proxy that passes on the webhook alone", only("/telegram/webhook", shopfront()), true, 502},
		{"the plain listener beside HTTPS", api.ToHTTPS("127.0.0.1"), true, 308},
		{"a way to somebody else", api.ToHTTPS("other.example"), false, 404},
		{"a web site", says(200, "Content-Type: text/html", "<html>Welcome</html>"), false, 200},
		{"another program's health", says(200, "Cache-Control: max-age=5", `{"status":"ok"}`), false, 200},
		{"another program's redirect", says(308, "Location: https://other.example/", ""), false, 308},
		{"a proxy without a shop", says(502, "Server: nginx", "Bad Gateway"), false, 502},
	} {
		server := httptest.NewServer(c.handler)
		defer server.Close()
		got, err := api.LookAt(t.Context(), server.URL, "")
		if err != nil || got.Ours != c.want || got.Status != c.status || got.Chain != nil {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestALookShowsTheCertificateWhoeverItIsFor(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(shopfront())
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	got, err := api.LookAt(t.Context(), "https://shop.invalid/", server.Listener.Addr().String())
	if err != nil || !got.Ours || !got.HTTP2 || len(got.Chain) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := got.Trusted(x509.NewCertPool()); err == nil {
		t.Error("trusted by nobody's roots")
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if err := got.Trusted(roots); err != nil {
		t.Error(err)
	}
}

func TestALookAtNobodyEnds(t *testing.T) {
	t.Parallel()
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := api.LookAt(ctx, hung.URL, ""); !errors.Is(err, context.DeadlineExceeded) || got.Ours {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := api.LookAt(t.Context(), "https://127.0.0.1:1/secret-path", ""); err == nil || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestACertificateIsLateInItsLastDays(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		life, left time.Duration
		want       bool
	}{
		{90 * aDay, 15 * aDay, false},
		{90 * aDay, 13 * aDay, true},
		{90 * aDay, -aDay, true},
		{6 * aDay, 2 * aDay, false},
		{6 * aDay, aDay / 2, true},
	} {
		cert := &x509.Certificate{NotBefore: now.Add(c.left - c.life), NotAfter: now.Add(c.left)}
		if api.Late(cert, now) != c.want {
			t.Errorf("%s of %s left: late is %t", c.left, c.life, !c.want)
		}
	}
}

func TestOurOwnCertificateIsReadAndNotMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	if _, err := api.SelfSignedRoots(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the look made a folder")
	}
	made := selfSigned(t, dir, "203.0.113.9", &clock{time.Now()})
	roots, err := api.SelfSignedRoots(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := (api.Look{Chain: []*x509.Certificate{made.Current()}}).Trusted(roots); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "selfsigned.pem"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.SelfSignedRoots(dir); err == nil {
		t.Error("junk is a certificate")
	}
}
