package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/outbound"
	"sallyport/sandbox/fault"
)

// far is an outside service, as the program is wired to it.
type far struct {
	server *httptest.Server
	line   fault.Switch // the way to it
	proto  atomic.Value // of the last request
	held   atomic.Int64 // requests that wait for more
	full   chan struct{}
}

// newFar returns a service that answers as Telegram and Crypto Pay both would.
func newFar(t *testing.T, http2 bool) *far {
	t.Helper()
	f := &far{full: make(chan struct{})}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(f.answer))
	f.server.EnableHTTP2 = http2
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f
}

const (
	// together is how many calls the service first lets wait for each other, so that
	// there are as many connections where each call needs one.
	together = 8
	// later is how many are made at once once the connections are lost: most of these
	// are idle then.
	later = 2
)

// fill has the service wait no more.
func (f *far) fill() { f.held.Store(together); close(f.full) }

func (f *far) answer(w http.ResponseWriter, r *http.Request) {
	f.proto.Store(r.Proto)
	if n := f.held.Add(1); n == together {
		close(f.full)
	}
	select {
	case <-f.full:
	case <-r.Context().Done():
		return
	}
	_, _ = io.WriteString(w, `{"ok":true,"result":{"id":1,"is_bot":true,"username":"far","app_id":1,"name":"far","payment_processing_bot_username":"CryptoBot"}}`)
}

// outside wires a program to the service, by the addresses of Telegram and of Crypto
// Pay, and to nothing else.
func (f *far) outside(t *testing.T, c config, telegram, payments string) *program {
	t.Helper()
	c.BotToken, c.TelegramAPI = testBotToken, telegram
	c.CryptoPayToken, c.CryptoPayAPI = testPayToken, payments+"/api"
	p := &program{config: c, metrics: prometheus.NewRegistry(), hosts: make(map[string]*outbound.Host)}
	p.observe = observeCalls(p.metrics)
	if err := p.buildOutside(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	roots := x509.NewCertPool()
	roots.AddCert(f.server.Certificate())
	for _, h := range p.hosts {
		h.HTTP().Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return p
}

// A connection that dies without a word costs seconds, not as long as the kernel hopes.
func TestAConnectionThatDiesSilentlyIsReplaced(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		for _, host := range []string{"telegram", "cryptopay"} {
			t.Run(host+" over "+proto, func(t *testing.T) {
				t.Parallel()
				f := newFar(t, proto == "HTTP/2.0")
				line, err := fault.NewProxy("127.0.0.1:0", "tcp", f.server.Listener.Addr().String(), &f.line)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = line.Close() })
				p := f.outside(t, config{}, "https://"+line.Addr(), "https://"+line.Addr())
				check := map[string]func(context.Context) error{"telegram": p.client.Check, "cryptopay": p.cryptobot.Check}[host]
				all(t, check)
				if f.proto.Load() != proto {
					t.Fatalf("it speaks %s", f.proto.Load())
				}
				if err := f.line.Set(fault.Lost, 0, 0); err != nil {
					t.Fatal(err)
				}
				took := untilAll(t, check)
				t.Logf("well again after %s", took)
				if took > 30*time.Second {
					t.Errorf("well again after %s only", took)
				}
				if p.hosts[host].Open() {
					t.Error("calls are still refused")
				}
			})
		}
	}
}

// all makes as many calls at once as wait for each other.
func all(t *testing.T, check func(context.Context) error) {
	t.Helper()
	for _, err := range each(t.Context(), together, check) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func each(ctx context.Context, n int, check func(context.Context) error) []error {
	errs := make([]error, n)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { errs[i] = check(ctx) })
	}
	calls.Wait()
	return errs
}

// untilAll calls again and again, from many sides at once as a shop does, and returns
// how long it took until every call of a round succeeded.
func untilAll(t *testing.T, check func(context.Context) error) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	begun := time.Now()
	for failed := true; failed; {
		failed = false
		for _, err := range each(ctx, later, check) {
			failed = failed || err != nil
		}
		if ctx.Err() != nil {
			t.Fatal("never well again")
		}
		if failed {
			pause(ctx)
		}
	}
	return time.Since(begun)
}

// pause lets an open breaker have its time.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}
