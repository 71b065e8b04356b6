package acme_test

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const issueLimit = 100 * time.Second // certmagic tries again after a minute

// Port 80 is closed: only TLS-ALPN-01 can do it. Telegram delivers over what was issued.
func TestACertificateByTLSALPN01AndAWebhookOverIt(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	a := newAuthority(t, freePort(t), s.https, quarter)
	emulator := s.trusting(a).telegramWith(a.Issued)
	s.start()
	began := time.Now()
	cert := s.served(a.Issued, issueLimit)
	t.Logf("served %s after the start", time.Since(began).Round(time.Millisecond))
	if len(cert.DNSNames) != 1 || cert.DNSNames[0] != "localhost" {
		t.Errorf("for %v", cert.DNSNames)
	}
	s.answers(emulator, 7)
	resp := s.alive(client(t, s.https, a.Issued))
	if resp.ProtoMajor != 2 {
		t.Errorf("spoken: %s", resp.Proto)
	}
	if got := resp.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("HSTS: %q", got)
	}
	if status, reason := s.component(); status != "ok" || reason != "89 days left" {
		t.Errorf("certificate: %s, %s", status, reason)
	}
	if page := s.page("/metrics"); !strings.Contains(page, "sallyport_certificate_left_seconds 7.77") {
		t.Error("the metric does not tell the days left")
	}
	if resp := s.alive(client(t, s.https, x509.NewCertPool())); resp != nil {
		t.Error("trusted without the CA's root")
	}
}

// The CA's TLS port leads to another program, as 443 does where Xray has it: only HTTP-01
// can do it, and nothing else is tried, because a CA counts failures.
func TestACertificateByHTTP01AndTheWayToHTTPS(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	s.env["HTTP_LISTEN"] = fmt.Sprintf("127.0.0.1:%d", s.http)
	other, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var met atomic.Int32
	go func() { // it ends with the listener
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			met.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = other.Close() })
	a := newAuthority(t, s.http, other.Addr().(*net.TCPAddr).Port, quarter)
	s.trusting(a).start()
	s.served(a.Issued, 90*time.Second)
	if n := met.Load(); n > 0 {
		t.Errorf("the CA met the other program %d times", n)
	}
	plain := client(t, s.http, nil)
	for _, c := range []struct {
		method, path string
		code         int
		location     string
		host         string // that is asked for; default ours
	}{
		{http.MethodGet, "/livez?x=1", http.StatusPermanentRedirect, s.env["PUBLIC_URL"] + "/livez?x=1", ""},
		{http.MethodHead, "/", http.StatusPermanentRedirect, s.env["PUBLIC_URL"] + "/", ""},
		{http.MethodGet, "//evil.example/x", http.StatusPermanentRedirect, s.env["PUBLIC_URL"] + "//evil.example/x", ""},
		{http.MethodGet, "/.well-known/acme-challenge/none", http.StatusPermanentRedirect, s.env["PUBLIC_URL"] + "/.well-known/acme-challenge/none", ""},
		{http.MethodPost, "/telegram/webhook", http.StatusForbidden, "", ""},
		{http.MethodGet, "/", http.StatusNotFound, "", "evil.example"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+cmp.Or(c.host, "localhost")+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := plain.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.code || resp.Header.Get("Location") != c.location {
			t.Errorf("%s %s: %d to %q", c.method, c.path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

func TestARestartOrdersNothing(t *testing.T) {
	t.Parallel()
	for _, storage := range []string{"file", "postgres"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, map[string]string{"TLS_STORAGE": storage, "APP_KEY": appKey})
			a := newAuthority(t, freePort(t), s.https, quarter)
			s.trusting(a).start()
			first := s.served(a.Issued, issueLimit)
			s.stop()
			a.down.Store(true) // not even asked
			s.start()
			second := s.served(a.Issued, issueLimit)
			if first.SerialNumber.Cmp(second.SerialNumber) != 0 || a.orders.Load() != 1 {
				t.Errorf("%d orders; serials %s and %s", a.orders.Load(), first.SerialNumber, second.SerialNumber)
			}
			for _, hidden := range []string{appKey, "PRIVATE KEY", botToken, secret} {
				if strings.Contains(s.log.String(), hidden) {
					t.Errorf("the log shows %s", hidden)
				}
			}
			files, _ := filepath.Glob(filepath.Join(s.env["TLS_DIR"], "certificates", "*", "*", "*.key"))
			if (storage == "file") != (len(files) == 1) {
				t.Errorf("private keys in files: %v", files)
			}
			for _, file := range files {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info, err)
				}
			}
		})
	}
}

// Two processes start at once; only the first is reached by the CA.
func TestTwoReplicasPlaceOneOrder(t *testing.T) {
	t.Parallel()
	database := server.Database(t)
	settings := map[string]string{"TLS_STORAGE": "postgres", "APP_KEY": appKey, "DATABASE_URL": database}
	one, two := newShop(t, settings), newShop(t, settings)
	two.env["PUBLIC_URL"] = one.env["PUBLIC_URL"]
	a := newAuthority(t, freePort(t), one.https, quarter)
	for _, s := range []*shop{one, two} {
		s.trusting(a).launch()
	}
	one.ready()
	two.ready()
	first, second := one.served(a.Issued, issueLimit), two.served(a.Issued, issueLimit)
	if first.SerialNumber.Cmp(second.SerialNumber) != 0 || a.orders.Load() != 1 {
		t.Errorf("%d orders; serials %s and %s", a.orders.Load(), first.SerialNumber, second.SerialNumber)
	}
}

// The CA reaches the first process, and it is the second that orders: the first, which
// has another name, finds the challenge in the storage.
func TestAReplicaSolvesTheChallengeOfAnother(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"TLS_STORAGE": "postgres", "APP_KEY": appKey, "DATABASE_URL": server.Database(t)}
	one, two := newShop(t, settings), newShop(t, settings)
	a := newAuthority(t, freePort(t), one.https, quarter)
	one.env["PUBLIC_URL"] = "https://other.localhost"
	one.trusting(a).start()
	two.trusting(a).start()
	two.served(a.Issued, issueLimit)
	if !strings.Contains(one.log.String()+two.log.String(), "certificate obtained") || a.orders.Load() != 2 {
		t.Errorf("%d orders", a.orders.Load())
	}
}

func TestACAThatIsDownAtTheStartStopsNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	a := notYet(t, freePort(t), s.https, quarter)
	s.trusting(a).start()
	s.until("the failed order to be told", issueLimit, func() bool {
		status, reason := s.component()
		return status == "fail" && strings.HasPrefix(reason, "none yet; last error: ") && strings.Contains(reason, "refused")
	})
	if !strings.Contains(s.page("/metrics"), "sallyport_certificate_left_seconds 0\n") {
		t.Error("the metric does not tell that there is none")
	}
	if s.alive(client(t, s.https, a.Issued)) != nil || !s.process.Running() {
		t.Error("served without a certificate, or ended")
	}
	a.open(t)
	s.served(a.Issued, 3*time.Minute)
	if status, reason := s.component(); status != "ok" {
		t.Errorf("%s, %s", status, reason)
	}
}
