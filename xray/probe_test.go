package xray_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox/node"
	"sallyport/xray"
)

// realNode starts a node with its cover, and returns how customers reach it.
func realNode(t *testing.T) xray.Endpoint {
	t.Helper()
	return endpointOf(startNode(t))
}

func startNode(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func endpointOf(n *node.Node) xray.Endpoint {
	return xray.Endpoint{
		Host: n.Host, Port: n.Port, ServerName: n.ServerName, PublicKey: n.PublicKey, ShortID: n.ShortID, Fingerprint: "chrome",
	}
}

func otherKey(t *testing.T) string {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
}

func TestARealNodeProvesWhoItIsToTheRightParametersAlone(t *testing.T) {
	t.Parallel()
	right := realNode(t)
	for _, c := range []struct {
		name   string
		change func(*xray.Endpoint)
		want   error
	}{
		{"as in the links", func(*xray.Endpoint) {}, nil},
		{"once more", func(*xray.Endpoint) {}, nil},
		{"another public key", func(e *xray.Endpoint) { e.PublicKey = otherKey(t) }, xray.ErrCover},
		{"another short id", func(e *xray.Endpoint) { e.ShortID = "fedcba9876543210" }, xray.ErrCover},
		{"a part of the short id", func(e *xray.Endpoint) { e.ShortID = e.ShortID[:8] }, xray.ErrCover},
		{"no short id", func(e *xray.Endpoint) { e.ShortID = "" }, xray.ErrCover},
		{"another server name", func(e *xray.Endpoint) { e.ServerName = "elsewhere.test" }, xray.ErrCoverName},
		{"a closed port", func(e *xray.Endpoint) { e.Port = freePort(t) }, xray.ErrClosed},
		{"a host without an address", func(e *xray.Endpoint) { e.Host = "nowhere.invalid" }, xray.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := right
			c.change(&e)
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := xray.Probe(ctx, e); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestWhatIsNoNodeProvesNothing(t *testing.T) {
	t.Parallel()
	site := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is for example.com
	t.Cleanup(site.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	var config net.ListenConfig
	silent, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, c := range []struct {
		name, serverName string
		addr             net.Addr
		want             error
	}{
		{"a web site", "example.com", site.Listener.Addr(), xray.ErrCover},
		{"the web site of somebody else", "cover.test", site.Listener.Addr(), xray.ErrCoverName},
		{"a web site in the clear", "cover.test", plain.Listener.Addr(), xray.ErrNoTLS},
		{"silence", "cover.test", silent.Addr(), xray.ErrNoTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := endpoint()
			e.ServerName, e.Port = c.serverName, c.addr.(*net.TCPAddr).Port
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if err := xray.Probe(ctx, e); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Xray runs and its API answers all the while.
func TestTryFindsWhatACustomerWouldFind(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	cfg := config(n.APIAddr)
	cfg.Inbound, cfg.Endpoint = n.Inbound, endpointOf(n)
	try := func(cfg xray.Config) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return dial(t, cfg).Try(ctx)
	}
	if err := try(cfg); err != nil {
		t.Errorf("a node that is well: %v", err)
	}
	n.HideCover(true)
	if err := try(cfg); !errors.Is(err, xray.ErrNoTLS) {
		t.Errorf("without its cover: %v", err)
	}
	n.HideCover(false)
	if err := try(cfg); err != nil {
		t.Errorf("with its cover again: %v", err)
	}
	other := cfg
	other.Endpoint.PublicKey = otherKey(t)
	if err := try(other); err == nil || !strings.Contains(err.Error(), "public_key") {
		t.Errorf("with links of another key: %v", err)
	}
	other = cfg
	other.Endpoint.Port = freePort(t)
	if err := try(other); !errors.Is(err, xray.ErrClosed) {
		t.Errorf("with its port closed: %v", err)
	}
}
