package page_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"sallyport/sandbox/page"
)

func ask(t *testing.T, h http.Handler, method, target string, header http.Header) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	response := w.Result()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestPagesAndAssets(t *testing.T) {
	t.Parallel()
	h := page.Handler("")
	for _, c := range []struct {
		name, target, kind, holds string
		status                    int
	}{
		{"the chat page", "/", "text/html", `data-control="/api"`, 200},
		{"the chat page for a person", "/?user=7&name=Vera", "text/html", `id="log"`, 200},
		{"a pay page", "/pay/IVabc-1_2", "text/html", `id="pay"`, 200},
		{"a module", "/assets/main.js", "text/javascript", "import", 200},
		{"a style", "/assets/base.css", "text/css", ":root", 200},
		{"the icon", "/assets/icon.svg", "image/svg+xml", "<svg", 200},
		{"a page's source is no asset", "/assets/index.html", "text/plain", "not found", 404},
		{"the list of assets", "/assets/", "text/plain", "not found", 404},
		{"no hash", "/pay/", "text/plain", "not found", 404},
		{"anything else", "/etc/passwd", "text/plain", "not found", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			response, body := ask(t, h, http.MethodGet, c.target, nil)
			if response.StatusCode != c.status {
				t.Fatalf("status %d, want %d", response.StatusCode, c.status)
			}
			if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, c.kind) {
				t.Errorf("Content-Type %q, want %s", kind, c.kind)
			}
			if !strings.Contains(body, c.holds) {
				t.Errorf("the body lacks %q", c.holds)
			}
		})
	}
}

func TestPagesRefuseWrites(t *testing.T) {
	t.Parallel()
	response, _ := ask(t, page.Handler(""), http.MethodPost, "/", nil)
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST / answers %d, want 405", response.StatusCode)
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	t.Parallel()
	h := page.Handler("/api")
	for _, target := range []string{"/", "/pay/x", "/assets/main.js", "/nowhere"} {
		response, _ := ask(t, h, http.MethodGet, target, nil)
		for name, want := range map[string]string{
			"X-Content-Type-Options":     "nosniff",
			"Referrer-Policy":            "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		policy := response.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %q", target, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy allows something unsafe: %s", target, policy)
		}
	}
}

func TestControlElsewhereIsAllowedByThePolicy(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://127.0.0.1:9000", "http://127.0.0.1:9000/", "http://127.0.0.1:9000/api", "http://127.0.0.1:9000/api/"} {
		response, body := ask(t, page.Handler(address), http.MethodGet, "/", nil)
		if want := `data-control="http://127.0.0.1:9000/api"`; !strings.Contains(body, want) {
			t.Errorf("%s: the page lacks %s", address, want)
		}
		policy := response.Header.Get("Content-Security-Policy")
		for _, want := range []string{"connect-src 'self' http://127.0.0.1:9000;", "img-src 'self' http://127.0.0.1:9000;"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %q", address, want)
			}
		}
	}
}

func TestAssetsAreAskedAboutOnlyOnce(t *testing.T) {
	t.Parallel()
	h := page.Handler("")
	first, _ := ask(t, h, http.MethodGet, "/assets/main.js", nil)
	tag := first.Header.Get("ETag")
	if tag == "" || first.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("ETag %q, Cache-Control %q", tag, first.Header.Get("Cache-Control"))
	}
	again, body := ask(t, h, http.MethodGet, "/assets/main.js", http.Header{"If-None-Match": {tag}})
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("asked again: %d with %d bytes, want 304 with none", again.StatusCode, len(body))
	}
}

// Every file that a page, a style or a module names is there, and nothing comes from elsewhere.
func TestNamedFilesExist(t *testing.T) {
	t.Parallel()
	h := page.Handler("")
	named := regexp.MustCompile(`(?:from "|import "|src="|href="|url\(")([./][^"#?]+)"`)
	outside := regexp.MustCompile(`(?:from "|import\("|src="|href="|url\(")(?:https?:)?//`)
	inline := regexp.MustCompile(`<style|\sstyle="|\son[a-z]+="|<script>`)
	seen := map[string]bool{}
	queue := []string{"/", "/pay/x"}
	for len(queue) > 0 {
		target := queue[0]
		queue = queue[1:]
		if seen[target] {
			continue
		}
		seen[target] = true
		response, body := ask(t, h, http.MethodGet, target, nil)
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s is named and answers %d", target, response.StatusCode)
			continue
		}
		if at := outside.FindString(body); at != "" {
			t.Errorf("%s loads something from elsewhere: %s", target, at)
		}
		if at := inline.FindString(body); at != "" {
			t.Errorf("%s has inline code or style, which the policy refuses: %s", target, at)
		}
		for _, match := range named.FindAllStringSubmatch(body, -1) {
			queue = append(queue, path.Join("/assets", strings.TrimPrefix(match[1], "/assets/")))
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d files are reached from the pages: %v", len(seen), seen)
	}
}
