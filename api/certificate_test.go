package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/google/go-cmp/cmp"

	"sallyport/api"
)

const aDay = 24 * time.Hour

// clock is a time that a test sets.
type clock struct{ now time.Time }

func selfSigned(t *testing.T, dir, host string, c *clock) *api.SelfSigned {
	t.Helper()
	s, err := api.NewSelfSigned(api.SelfSignedConfig{Host: host, Dir: dir, Now: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASelfSignedCertificateIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"203.0.113.9", "2001:db8::1", "shop.example"} {
		dir, c := filepath.Join(t.TempDir(), "tls"), &clock{time.Now()}
		made := selfSigned(t, dir, host, c).Current()
		if err := made.VerifyHostname(host); err != nil || made.Subject.CommonName != host {
			t.Errorf("%s: for %s: %v", host, made.Subject.CommonName, err)
		}
		if key, ok := made.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: key of type %T", host, made.PublicKey)
		}
		if life := made.NotAfter.Sub(c.now).Round(time.Hour); life != 730*aDay {
			t.Errorf("%s: valid for %s", host, life)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", host, info.Mode(), err)
		}
		c.now = c.now.Add(699 * aDay)
		if again := selfSigned(t, dir, host, c).Current(); !again.Equal(made) {
			t.Errorf("%s: made again", host)
		}
	}
}

func TestASelfSignedCertificateIsMadeAnewWhenItMust(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{time.Now()}
	old := selfSigned(t, dir, "203.0.113.9", c).Current()
	c.now = c.now.Add(701 * aDay)
	renewed := selfSigned(t, dir, "203.0.113.9", c).Current()
	if renewed.Equal(old) || renewed.NotAfter.Sub(c.now) < 729*aDay {
		t.Errorf("valid until %s", renewed.NotAfter)
	}
	c.now = c.now.Add(800 * aDay) // it was switched off for long
	if late := selfSigned(t, dir, "203.0.113.9", c).Current(); late.NotAfter.Before(c.now) {
		t.Error("an ended certificate is served")
	}
	moved := selfSigned(t, dir, "203.0.113.10", c).Current()
	if err := moved.VerifyHostname("203.0.113.10"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "selfsigned.pem"), []byte("\n"), 0o600); err != nil { // the disk was full
		t.Fatal(err)
	}
	if made := selfSigned(t, dir, "203.0.113.10", c).Current(); made.Equal(moved) || made.NotAfter.Before(c.now) {
		t.Error("nothing took the place of a blank file")
	}
	if err := os.WriteFile(filepath.Join(dir, "selfsigned.pem"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.NewSelfSigned(api.SelfSignedConfig{Host: "203.0.113.9", Dir: dir}); err == nil {
		t.Error("nonsense was read, or overwritten")
	}
}

// Telegram trusts one certificate alone: the next must be there before it is served,
// and the present one is served until it is.
func TestARenewedCertificateIsAnnouncedThenServed(t *testing.T) {
	t.Parallel()
	start, jump := time.Now(), make(chan struct{})
	now := func() time.Time {
		select {
		case <-jump:
			return start.Add(710 * aDay)
		default:
			return start
		}
	}
	dir, tries, announced := t.TempDir(), 0, make(chan string, 1)
	var s *api.SelfSigned
	s, err := api.NewSelfSigned(api.SelfSignedConfig{
		Host: "203.0.113.9", Dir: dir, Now: now, CheckEvery: time.Millisecond,
		Announce: func(_ context.Context, pem []byte) error {
			if tries++; tries == 1 {
				return errors.New("telegram is down")
			}
			if s.Trouble() == nil || string(s.PEM()) == string(pem) {
				t.Error("served before it was announced, or the trouble was not told")
			}
			announced <- string(pem)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	before := string(s.PEM())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	close(jump)
	after := <-announced
	for string(s.PEM()) == before {
		runtime.Gosched() // it is served as soon as it was announced
	}
	cancel()
	<-ended
	served, err := s.TLS().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || !served.Leaf.Equal(s.Current()) || s.Trouble() != nil || string(s.PEM()) != after {
		t.Error(err, s.Trouble())
	}
	if kept := selfSigned(t, dir, "203.0.113.9", &clock{now()}); string(kept.PEM()) != after {
		t.Error("another certificate was kept than is served")
	}
}

// shown is a certificate that is only looked at.
type shown struct {
	api.Certificates

	cert    *x509.Certificate
	trouble error
}

func (s shown) Current() *x509.Certificate { return s.cert }
func (s shown) Trouble() error             { return s.trouble }

func TestHealthSaysHowTheCertificateIs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	until := func(life, left time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(left - life), NotAfter: now.Add(left)}
	}
	trouble := errors.New("the CA is down")
	for _, c := range []struct {
		name    string
		cert    *x509.Certificate
		trouble error
		want    api.Finding
	}{
		{"none yet", nil, nil, api.Finding{State: "fail", Code: "certificate_none", Reason: "none yet"}},
		{"none, and none to be had", nil, trouble, api.Finding{State: "fail", Code: "certificate_none", Reason: "none yet; last error: the CA is down"}},
		{"fresh", until(90*aDay, 89*aDay+aDay/2), nil, api.Finding{State: "ok", Reason: "89 days left"}},
		{"not renewed yet", until(90*aDay, 15*aDay), trouble, api.Finding{State: "ok", Reason: "15 days left; last error: the CA is down"}},
		{"not renewed for long", until(90*aDay, 13*aDay), trouble, api.Finding{State: "degraded", Code: "certificate_late", Reason: "13 days left; last error: the CA is down"}},
		{"of a short life", until(6*aDay, 2*aDay), nil, api.Finding{State: "ok", Reason: "2 days left"}},
		{"of a short life, in its last sixth", until(6*aDay, aDay/2), nil, api.Finding{State: "degraded", Code: "certificate_late", Reason: "0 days left"}},
		{"ended", until(90*aDay, -aDay), trouble, api.Finding{State: "fail", Code: "certificate_ended", Reason: "ended at 2026-11-20T12:00:00Z; last error: the CA is down"}},
	} {
		if got := api.LookAtCertificate(shown{cert: c.cert, trouble: c.trouble}, now); !cmp.Equal(got, c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if left := api.CertificateLeft(shown{}, now); left != 0 {
		t.Errorf("%s left of none", left)
	}
}

func TestPlainHTTPLeadsReadersToTheSamePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, target string
		code           int
		location       string
		host           string // that is asked for; default ours
	}{
		{http.MethodGet, "/", http.StatusPermanentRedirect, "https://shop.example:8443/", ""},
		{http.MethodHead, "/a%2Fb?c=d&e", http.StatusPermanentRedirect, "https://shop.example:8443/a%2Fb?c=d&e", ""},
		{http.MethodGet, "http://evil.example/x", http.StatusPermanentRedirect, "https://shop.example:8443/x", ""},
		{http.MethodGet, "//evil.example/x", http.StatusPermanentRedirect, "https://shop.example:8443//evil.example/x", ""},
		{http.MethodGet, "http:.evil.example/x", http.StatusPermanentRedirect, "https://shop.example:8443", ""},
		{http.MethodPost, "/telegram/webhook", http.StatusForbidden, "", ""},
		{http.MethodGet, "/", http.StatusNotFound, "", "203.0.113.9"},
		{http.MethodGet, "/", http.StatusNotFound, "", "other.example"},
		{http.MethodPost, "/", http.StatusNotFound, "", "other.example"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/", nil)
		asked, err := url.ParseRequestURI(c.target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.Host = asked, "Shop.Example:80"
		if c.host != "" {
			r.Host = c.host
		}
		w := httptest.NewRecorder()
		api.ToHTTPS("shop.example:8443").ServeHTTP(w, r)
		if w.Code != c.code || w.Header().Get("Location") != c.location {
			t.Errorf("%s %s: %d to %q", c.method, c.target, w.Code, w.Header().Get("Location"))
		}
	}
}

// Beside a node that shows another site's certificate on port 443, ours is shown to those
// alone who know our name; where 443 is ours, to whoever comes.
func TestOurNameIsShownToThoseWhoKnowIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		port  int
		name  string
		shown bool
	}{
		{8443, "shop.example", true},
		{8443, "SHOP.example.", true},
		{8443, "", false},
		{8443, "www.example", false},
		{443, "shop.example", true},
		{443, "", true},
	} {
		a, err := api.NewACME(api.ACMEConfig{
			Host: "shop.example", Directory: "https://ca.invalid", Listen: ":8443", HTTPListen: ":8080", PublicPort: c.port,
			Storage: &certmagic.FileStorage{Path: t.TempDir()},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		ours, theirs := net.Pipe()
		go func() { // it ends with the pipe
			_ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true, ServerName: c.name}).HandshakeContext(t.Context())
			_ = theirs.Close()
		}()
		err = tls.Server(ours, a.TLS()).HandshakeContext(t.Context()) // nor is there a certificate yet
		_ = ours.Close()
		if refused := err != nil && strings.Contains(err.Error(), "another name"); err == nil || refused == c.shown {
			t.Errorf("port %d, name %q: %v", c.port, c.name, err)
		}
	}
}
