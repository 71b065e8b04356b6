package xray_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/xray"
)

func TestDialRefusesABadConfig(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*xray.Config)
		want  string
	}{
		"no name":                      {func(c *xray.Config) { c.Name = "" }, "name: is empty"},
		"no label":                     {func(c *xray.Config) { c.Label = " " }, "label: is empty"},
		"no inbound":                   {func(c *xray.Config) { c.Inbound = "" }, "inbound: is empty"},
		"no host":                      {func(c *xray.Config) { c.Host = nil }, "host: is missing"},
		"a flow nobody knows":          {func(c *xray.Config) { c.Flow = "nonsense" }, `flow: "nonsense" is neither`},
		"an endpoint without a port":   {func(c *xray.Config) { c.Endpoint.Port = 0 }, "endpoint: port: 0 is not"},
		"no api":                       {func(c *xray.Config) { c.API = "" }, `api: "" is none of`},
		"a relative socket":            {func(c *xray.Config) { c.API = "unix://run/api.sock" }, "is none of"},
		"a socket without a path":      {func(c *xray.Config) { c.API = "unix:///" }, "is none of"},
		"an abstract name without one": {func(c *xray.Config) { c.API = "unix-abstract:" }, "is none of"},
		"an api with a scheme":         {func(c *xray.Config) { c.API = "http://127.0.0.1:1" }, "is none of"},
		"an api without a port":        {func(c *xray.Config) { c.API = "127.0.0.1" }, "is none of"},
		"an api with a named port":     {func(c *xray.Config) { c.API = "127.0.0.1:https" }, "is none of"},
		"another machine in the clear": {func(c *xray.Config) { c.API = "node.example:8443" }, "needs credentials"},
		"another address in the clear": {func(c *xray.Config) { c.API = "[2001:db8::1]:8443" }, "needs credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config("unix:///run/api.sock")
			tc.spoil(&cfg)
			n, err := xray.Dial(cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, %v; want an error saying %q", n, err, tc.want)
			}
		})
	}
}

func TestDialNamesEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := xray.Dial(xray.Config{})
	if err == nil {
		t.Fatal("an empty config is accepted")
	}
	for _, want := range []string{"api:", "name:", "label:", "inbound:", "host:", "port:", "public key:", "fingerprint:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not speak of %q", err, want)
		}
	}
}

func TestEveryFormOfAPI(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(t *testing.T) *fakeXray{
		"a unix socket": func(t *testing.T) *fakeXray { return newFakeXray(t) },
		"an abstract socket": func(t *testing.T) *fakeXray {
			name := fmt.Sprintf("sallyport-test-%d", os.Getpid())
			return serveFakeXray(t, "unix", "@"+name, "unix-abstract:"+name)
		},
		"a loopback port": func(t *testing.T) *fakeXray { return serveFakeXray(t, "tcp", "127.0.0.1:0", "") },
		"localhost": func(t *testing.T) *fakeXray {
			f := serveFakeXray(t, "tcp", "127.0.0.1:0", "")
			f.api = strings.Replace(f.api, "127.0.0.1", "localhost", 1)
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for op, ask := range operations(dial(t, config(serve(t).api))) {
				if err := ask(t.Context()); err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
		})
	}
}

func TestDialConnectsToNothing(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"unix:///none.sock", "unix-abstract:none", "127.0.0.2:1", "[::1]:1", "localhost:1"} {
		dial(t, config(api))
	}
	remote := config("node.example:8443")
	remote.Credentials = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13})
	dial(t, remote)
}

func TestCredentialsSecureTheAPI(t *testing.T) {
	t.Parallel()
	site := httptest.NewTLSServer(nil) // only for its certificate
	t.Cleanup(site.Close)
	pool := x509.NewCertPool()
	pool.AddCert(site.Certificate())
	fake := serveFakeXray(t, "tcp", "127.0.0.1:0", "", grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: site.TLS.Certificates, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
	})))
	client := &tls.Config{Certificates: site.TLS.Certificates, RootCAs: pool, MinVersion: tls.VersionTLS13}
	cfg := config(fake.api)
	cfg.Credentials = credentials.NewTLS(client)
	if err := dial(t, cfg).Ensure(t.Context(), access("a1", 1)); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	stranger := client.Clone()
	stranger.Certificates = nil
	cfg.Credentials = credentials.NewTLS(stranger)
	if _, err := dial(t, cfg).List(t.Context(), 100_000); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("without a certificate: got %v, want KindUnavailable", err)
	}
}

func TestANodeThatIsDownFailsAtOnce(t *testing.T) {
	t.Parallel()
	nobody := "unix://" + filepath.Join(shortDir(t), "none.sock")
	for op, ask := range operations(dial(t, config(nobody))) {
		if err := ask(t.Context()); shop.KindOf(err) != shop.KindUnavailable || strings.Contains(err.Error(), "no answer in") {
			t.Errorf("%s: got %v, want KindUnavailable, and not by waiting", op, err)
		}
	}
}

func TestAHungAPIIsUnavailableWithinTheHostsTimeout(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	cfg := config(listener.Addr().String())
	cfg.Host = outbound.New(outbound.Config{Name: "hung", Timeout: 50 * time.Millisecond, Failures: 100})
	for op := range operations(nil) {
		limit := "no answer in 50ms"
		if op == "list" { // which may take seconds: the connection is given up before
			limit = "server preface"
		}
		err := operations(dial(t, cfg))[op](t.Context())
		if shop.KindOf(err) != shop.KindUnavailable || !strings.Contains(err.Error(), limit) {
			t.Errorf("%s: got %v, want KindUnavailable that names the limit", op, err)
		}
	}
}

func TestANodeThatSpeaksSomethingElseIsUnavailable(t *testing.T) {
	t.Parallel()
	fake := serveFakeXray(t, "tcp", "127.0.0.1:0", "")
	cfg := config(fake.api)
	cfg.Credentials = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13})
	if _, err := dial(t, cfg).Count(t.Context()); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("got %v, want KindUnavailable", err)
	}
}

func TestNothingIsAskedWhileADatabaseConnectionIsHeld(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	held := shop.Hold(t.Context(), "a transaction")
	for op, ask := range operations(dial(t, config(fake.api))) {
		if err := ask(held); err == nil || shop.KindOf(err) != shop.KindInternal {
			t.Errorf("%s: got %v, want ErrHoldsResource", op, err)
		}
	}
	if calls := fake.made(); len(calls) != 0 {
		t.Errorf("the node was asked: %v", calls)
	}
}

func TestACancelledCallIsUnavailable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for op, ask := range operations(dial(t, config(newFakeXray(t).api))) {
		if err := ask(ctx); shop.KindOf(err) != shop.KindUnavailable {
			t.Errorf("%s: got %v, want KindUnavailable", op, err)
		}
	}
}

func TestAClosedNodeIsUnavailable(t *testing.T) {
	t.Parallel()
	n, err := xray.Dial(config(newFakeXray(t).api))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Count(t.Context()); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("got %v, want KindUnavailable", err)
	}
	if err := n.Close(); err == nil {
		t.Error("a second Close says nothing")
	}
}

func TestNameAndLinkComeFromTheConfig(t *testing.T) {
	t.Parallel()
	n := dial(t, config("unix:///run/api.sock"))
	if got := n.Name(); got != "de-1" {
		t.Errorf("name %q", got)
	}
	a := access("a1", 1)
	want := xray.Link(endpoint(), a, xray.Vision, "Sallyport Germany 1")
	if got := n.Link(a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
