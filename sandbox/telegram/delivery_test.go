package telegram_test

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func fast(speed float64) func(*telegram.Config) {
	return func(c *telegram.Config) { c.Speed = speed }
}

func TestRetrySchedule(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(200))
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) {
		if n < 9 {
			rw.WriteHeader(http.StatusBadGateway)
		}
	})
	w.must("setWebhook", params{"url": h.URL}, nil)
	w.start()
	var times []time.Time
	var ids []int64
	for range 9 {
		d := receive(t, h.arrived)
		times, ids = append(times, d.At), append(ids, d.ID)
	}
	want := []time.Duration{0, 2, 4, 8, 16, 32, 60, 60}
	for i, seconds := range want {
		gap := times[i+1].Sub(times[i])
		if least := seconds * time.Second / 200; gap < least {
			t.Errorf("retry %d came after %v, want at least %v", i+1, gap, least)
		}
		if ids[i+1] != ids[0] {
			t.Errorf("retry %d is update %d, not %d", i+1, ids[i+1], ids[0])
		}
	}
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
	if got := w.info(); got.LastError != "Wrong response from the webhook: 502 Bad Gateway" || got.LastErrorDate == 0 {
		t.Errorf("the error must stay after recovery: %+v", got)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(20))
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) {
		if n == 1 {
			rw.Header().Set("Retry-After", "5")
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w.must("setWebhook", params{"url": h.URL}, nil)
	w.start()
	first, second := receive(t, h.arrived), receive(t, h.arrived)
	if gap := second.At.Sub(first.At); gap < 250*time.Millisecond {
		t.Errorf("retried after %v", gap)
	}
}

func TestRetryAfterPastTheExpiryDropsTheUpdate(t *testing.T) {
	t.Parallel()
	w := setup(t)
	h := listen(t, func(_ int, d delivery, rw http.ResponseWriter) {
		if d.Callback != nil {
			rw.Header().Set("Retry-After", "99999")
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w.must("setWebhook", params{"url": h.URL}, nil)
	w.start()
	receive(t, h.arrived)
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	if _, err := w.tg.Press(1001, m.MessageID, "buy"); err != nil {
		t.Fatal(err)
	}
	receive(t, h.arrived)
	eventually(t, "dropped", func() bool { return w.tg.Pending() == 0 })
}

func TestExpiryDuringAnOutage(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, fast(1000), func(c *telegram.Config) { c.Now = now.Now })
	w.start()
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	if _, err := w.tg.Press(1001, m.MessageID, "buy"); err != nil {
		t.Fatal(err)
	}
	now.Advance(149 * time.Second)
	if n := w.tg.Pending(); n != 2 {
		t.Errorf("%d pending before the expiry", n)
	}
	now.Advance(time.Second)
	if n := w.tg.Pending(); n != 1 {
		t.Errorf("%d pending after 150 s: the message must survive, the press must not", n)
	}
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL}, nil)
	if d := receive(t, h.arrived); d.Message == nil {
		t.Errorf("got %s", d.Body)
	}
	w.says(ann(), "again")
	receive(t, h.arrived)
	now.Advance(24 * time.Hour)
	if n := w.tg.Pending(); n != 0 {
		t.Errorf("%d pending after a day", n)
	}
}

func TestOrderWithinAQueueUnderFailures(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(2000))
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) {
		if n%3 != 0 {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	})
	w.must("setWebhook", params{"url": h.URL}, nil)
	var want, seen []string
	for i := range 20 {
		text := fmt.Sprintf("message %02d", i)
		w.says(ann(), text)
		want = append(want, text)
	}
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
	for len(h.arrived) > 0 {
		text := receive(t, h.arrived).Message.Text
		if len(seen) == 0 || seen[len(seen)-1] != text {
			seen = append(seen, text)
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestOnePersonsMessageAndPressArriveTogether(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	both := make(chan struct{}, 2)
	open := make(chan struct{})
	h := listen(t, func(int, delivery, http.ResponseWriter) {
		both <- struct{}{}
		<-open
	})
	if _, err := w.tg.Press(1001, m.MessageID, "buy"); err != nil {
		t.Fatal(err)
	}
	w.must("setWebhook", params{"url": h.URL}, nil)
	receive(t, both)
	receive(t, both)
	w.says(ann(), "next")
	select {
	case <-both:
		t.Error("the second message overtook the first")
	case <-time.After(50 * time.Millisecond):
	}
	close(open)
	receive(t, both)
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	running, open := make(chan struct{}, 100), make(chan struct{})
	h := listen(t, func(int, delivery, http.ResponseWriter) {
		running <- struct{}{}
		<-open
	})
	w.must("setWebhook", params{"url": h.URL, "max_connections": 2}, nil)
	for id := range int64(10) {
		w.says(telegram.User{ID: 1 + id, FirstName: "P"}, "hi")
	}
	receive(t, running)
	receive(t, running)
	select {
	case <-running:
		t.Error("a third connection at once")
	case <-time.After(50 * time.Millisecond):
	}
	close(open)
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
}

func TestFailuresOfTheWebhook(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		answer func(n int, d delivery, rw http.ResponseWriter)
		text   string
	}{
		"a redirect is not followed": {func(_ int, _ delivery, rw http.ResponseWriter) {
			rw.Header().Set("Location", "/other")
			rw.WriteHeader(http.StatusFound)
		}, "Wrong response from the webhook: 302 Found"},
		"an error":            {func(_ int, _ delivery, rw http.ResponseWriter) { rw.WriteHeader(404) }, "Wrong response from the webhook: 404 Not Found"},
		"a closed connection": {func(int, delivery, http.ResponseWriter) { panic(http.ErrAbortHandler) }, "Webhook connection closed"},
		"no answer in time":   {func(_ int, _ delivery, rw http.ResponseWriter) { stall(rw) }, "Read timeout expired"},
		"a lie about its body": {func(_ int, _ delivery, rw http.ResponseWriter) {
			rw.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(rw, "x")
		}, "Webhook connection closed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, fast(1000), func(c *telegram.Config) { c.ReadTimeout = 300 * time.Millisecond })
			h := listen(t, func(n int, d delivery, rw http.ResponseWriter) {
				if n == 1 {
					tc.answer(n, d, rw)
				}
			})
			w.must("setWebhook", params{"url": h.URL}, nil)
			w.start()
			eventually(t, "delivered at last", func() bool { return w.tg.Pending() == 0 })
			if got := w.info().LastError; got != tc.text {
				t.Errorf("got %q, want %q", got, tc.text)
			}
		})
	}
}

// stall holds an answer back until the client gives up.
func stall(rw http.ResponseWriter) {
	control := http.NewResponseController(rw)
	conn, _, err := control.Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Read(make([]byte, 1))
	_ = conn.Close()
}

func TestTheWebhookGoesAway(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(10))
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL}, nil)
	h.Close()
	w.start()
	eventually(t, "refused", func() bool { return w.info().LastError == "Connection refused" })
	if got := w.info(); got.Pending != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestAny2xxDelivers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) { rw.WriteHeader(200 + n) })
	w.must("setWebhook", params{"url": h.URL}, nil)
	for range 3 {
		w.says(ann(), "hi")
	}
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
	if got := w.info(); got.LastError != "" {
		t.Errorf("got %+v", got)
	}
}

func TestCompressedReplies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) {
		rw.Header().Set("Content-Type", "application/json")
		var packed io.WriteCloser = gzip.NewWriter(rw)
		rw.Header().Set("Content-Encoding", "gzip")
		if n == 2 {
			packed = zlib.NewWriter(rw)
			rw.Header().Set("Content-Encoding", "deflate")
		}
		_, _ = fmt.Fprintf(packed, `{"method":"sendMessage","chat_id":1001,"text":"packed %d"}`, n)
		_ = packed.Close()
	})
	w.must("setWebhook", params{"url": h.URL}, nil)
	w.start()
	w.says(ann(), "more")
	eventually(t, "both replies", func() bool { return len(w.tg.Chat(1001).Messages) == 4 })
}

func TestUserInfoBecomesAHeader(t *testing.T) {
	t.Parallel()
	w := setup(t)
	h := listen(t, nil)
	w.must("setWebhook", params{"url": strings.Replace(h.URL, "http://", "http://user:pass@", 1)}, nil)
	w.start()
	if got := receive(t, h.arrived).Header.Get("Authorization"); got != "Basic dXNlcjpwYXNz" {
		t.Errorf("got %q", got)
	}
}

// selfSigned makes a certificate that names its host in the common name only.
func selfSigned(t *testing.T, name string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, text
}

// listenTLS starts a webhook with its own certificate.
func listenTLS(t *testing.T, cert tls.Certificate) *hook {
	t.Helper()
	h := &hook{arrived: make(chan delivery, 100)}
	h.Server = httptest.NewUnstartedServer(h)
	h.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	h.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what the tests want
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func TestSelfSignedCertificates(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(100))
	cert, text := selfSigned(t, "127.0.0.1")
	h := listenTLS(t, cert)
	w.must("setWebhook", params{"url": h.URL}, nil)
	w.start()
	eventually(t, "the certificate is not trusted", func() bool { return strings.HasSuffix(w.info().LastError, "certificate verify failed") })
	if r := w.multipart("setWebhook", part{"url", "", []byte(h.URL)}, part{"certificate", "cert.pem", []byte("hello")}); r.Status != 400 || !strings.Contains(r.Description, "wrong certificate") {
		t.Errorf("a broken certificate: %d %s", r.Status, r.Description)
	}
	if r := w.multipart("setWebhook", part{"url", "", []byte(h.URL)}, part{"certificate", "cert.pem", make([]byte, 3<<20+1)}); r.Status != 400 {
		t.Errorf("a huge certificate: %d %s", r.Status, r.Description)
	}
	for range 2 {
		r := w.multipart("setWebhook", part{"url", "", []byte(h.URL)}, part{"certificate", "cert.pem", text})
		if !r.OK || r.Description != "Webhook was set" {
			t.Fatalf("%d %s", r.Status, r.Description)
		}
	}
	if d := receive(t, h.arrived); d.Message.Text != "/start" {
		t.Errorf("got %s", d.Body)
	}
	if !w.info().Custom {
		t.Error("has_custom_certificate is false")
	}
}

// What is not uploaded must lead to a root that is trusted.
func TestACertificateOfATrustedRoot(t *testing.T) {
	t.Parallel()
	cert, text := selfSigned(t, "127.0.0.1")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	w := setup(t, fast(100), func(c *telegram.Config) { c.Roots = roots })
	h := listenTLS(t, cert)
	w.must("setWebhook", params{"url": h.URL}, nil)
	w.start()
	if d := receive(t, h.arrived); d.Message.Text != "/start" || w.info().Custom {
		t.Errorf("got %s", d.Body)
	}
}

func TestACertificateForAnotherHost(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(100))
	cert, text := selfSigned(t, "shop.example.com")
	h := listenTLS(t, cert)
	r := w.multipart("setWebhook", part{"url", "", []byte(h.URL)}, part{"certificate", "cert.pem", text})
	if !r.OK {
		t.Fatalf("%d %s", r.Status, r.Description)
	}
	w.start()
	eventually(t, "refused", func() bool { return strings.HasSuffix(w.info().LastError, "certificate verify failed") })
	plain := listen(t, nil)
	w.must("setWebhook", params{"url": strings.Replace(plain.URL, "http://", "https://", 1)}, nil)
	eventually(t, "no TLS there", func() bool { return strings.Contains(w.info().LastError, "SSL error") })
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.tg.Wait(ctx, 1001, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
