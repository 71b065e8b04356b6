package acme_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"sallyport/api"
)

// edge is the HTTPS edge alone, which looks for renewals every second.
type edge struct {
	*shop // for waiting
	acme  *api.ACME
}

// serveEdge starts the edge as the program does.
func serveEdge(t *testing.T, a *authority, port int) *edge {
	t.Helper()
	text, err := os.ReadFile(a.RootsFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	acme, err := api.NewACME(api.ACMEConfig{
		Host: "localhost", Directory: a.Directory, Roots: roots, Listen: fmt.Sprintf("127.0.0.1:%d", port),
		Storage: &certmagic.FileStorage{Path: t.TempDir()}, CheckEvery: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(acme.Close)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	public := api.Server("", handler, zap.NewNop())
	public.TLSConfig = acme.TLS()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = public.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = public.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); acme.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return &edge{shop: &shop{t: t, https: port}, acme: acme}
}

// Certificates of 30 s are renewed while one connection is kept busy and others come
// and go: no request may fail, and the kept connection is never made anew.
func TestARenewalDisturbsNobody(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	a := newAuthority(t, freePort(t), port, 30)
	a.noARI = true
	e := serveEdge(t, a, port)
	first := e.served(a.Issued, issueLimit).SerialNumber
	kept := client(t, port, a.Issued)
	connections, requests := 0, 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			connections++
		}
	}})
	renewed := func() bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		requests++
		if resp, err := kept.Do(request); err != nil {
			t.Errorf("on the kept connection: %v", err)
		} else {
			_ = resp.Body.Close()
		}
		fresh := client(t, port, a.Issued)
		defer fresh.CloseIdleConnections()
		resp := e.alive(fresh)
		if resp == nil {
			t.Fatal("a new connection failed")
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Cmp(first) != 0
	}
	e.until("the renewed certificate", time.Minute, renewed)
	for range 20 {
		renewed()
	}
	if connections != 1 {
		t.Errorf("the kept connection was made %d times", connections)
	}
	if a.orders.Load() != 2 || e.acme.Trouble() != nil {
		t.Errorf("%d orders, %v", a.orders.Load(), e.acme.Trouble())
	}
	t.Logf("%d requests on one connection", requests)
}

// The CA is down when the renewal is due: what there is is served, the trouble is
// told, and the renewal comes once the CA is back.
func TestACAThatIsDownAtRenewalStopsNothing(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	a := newAuthority(t, freePort(t), port, 60)
	a.noARI = true
	e := serveEdge(t, a, port)
	first := e.served(a.Issued, issueLimit)
	a.down.Store(true)
	e.until("the trouble", 3*time.Minute, func() bool {
		if resp := e.alive(client(t, port, a.Issued)); resp == nil {
			t.Fatal("not served while the CA is down")
		}
		return e.acme.Trouble() != nil
	})
	found := api.LookAtCertificate(e.acme, first.NotAfter.Add(-5*time.Second))
	if found.State != api.StateDegraded || !strings.HasPrefix(found.Reason, "0 days left; last error: ") {
		t.Errorf("%+v", found)
	}
	a.down.Store(false)
	second := func() *big.Int {
		if cert := e.acme.Current(); cert != nil {
			return cert.SerialNumber
		}
		return first.SerialNumber
	}
	e.until("the renewal", 3*time.Minute, func() bool { return second().Cmp(first.SerialNumber) != 0 })
	if e.served(a.Issued, time.Second); e.acme.Trouble() != nil {
		t.Error(e.acme.Trouble())
	}
}
