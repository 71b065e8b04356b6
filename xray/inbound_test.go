package xray_test

import (
	"errors"
	"strings"
	"testing"

	"sallyport/shop"
	"sallyport/xray"
)

func TestRealXrayTellsWhereItsInboundDiffersFromTheLinks(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, c := range []struct {
		name   string
		change func(*xray.Config)
		want   []string // what each difference begins with
	}{
		{"as it is", func(*xray.Config) {}, nil},
		{"another tag", func(c *xray.Config) { c.Inbound = "nope" }, []string{`inbound: the node has no "nope", but api-in, vless-plain, vless-reality`}},
		{"an inbound without REALITY", func(c *xray.Config) { c.Inbound = "vless-plain" }, []string{"inbound: it has no REALITY"}},
		{"another server name", func(c *xray.Config) { c.Endpoint.ServerName = "nope.test" }, []string{`server_name: "nope.test" is not one of the inbound's serverNames: cover.test`}},
		{"another public key", func(c *xray.Config) { c.Endpoint.PublicKey = otherKey(t) }, []string{"public_key: that of the inbound's privateKey is " + server.cfg.Endpoint.PublicKey}},
		{"another short id", func(c *xray.Config) { c.Endpoint.ShortID = "00ff" }, []string{`short_id: "00ff" is not one of the inbound's shortIds`}},
		{"everything", func(c *xray.Config) {
			c.Endpoint.ServerName, c.Endpoint.PublicKey, c.Endpoint.ShortID = "nope.test", otherKey(t), ""
		}, []string{"server_name: ", "public_key: ", "short_id: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := server.cfg
			c.change(&cfg)
			found, err := dial(t, cfg).Differences(t.Context())
			if err != nil || len(found) != len(c.want) {
				t.Fatalf("found %v, %v; want %q", found, err, c.want)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(found[i].Error(), want) {
					t.Errorf("found %q, want %q", found[i], want)
				}
			}
		})
	}
}

func TestANodeThatCannotBeAskedHasNoKnownDifferences(t *testing.T) {
	t.Parallel()
	old := dial(t, config(newFakeXray(t).api)) // it does not know the call
	if found, err := old.Differences(t.Context()); err == nil || shop.KindOf(err) != shop.KindInternal || found != nil {
		t.Errorf("an old node: %v, %v", found, errors.Unwrap(err))
	}
	down := dial(t, config("127.0.0.1:1"))
	if found, err := down.Differences(t.Context()); shop.KindOf(err) != shop.KindUnavailable || found != nil {
		t.Errorf("a node that is down: %v, %v", found, err)
	}
}
