package xray_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/outbound"
	"sallyport/xray"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// endpoint is the one whose link was tried with a real client.
func endpoint() xray.Endpoint {
	return xray.Endpoint{
		Host: "127.0.0.1", Port: 41443, ServerName: "cover.test",
		PublicKey: "cmuQJv2Ew_QrbSCBfhgpT-WgTBq8MAJkHCMKKtNuUR0",
		ShortID:   "0123456789abcdef", Fingerprint: "chrome", SpiderX: "/",
	}
}

func config(api string) xray.Config {
	return xray.Config{
		Name: "de-1", Label: "Sallyport Germany 1", API: api, Inbound: "vless-reality", Flow: xray.Vision,
		Endpoint: endpoint(), Host: outbound.New(outbound.Config{Name: "node de-1"}),
	}
}

func dial(t testing.TB, cfg xray.Config) *xray.Node {
	t.Helper()
	n, err := xray.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// eventually waits for a condition, trying it until it holds.
func eventually(t testing.TB, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
