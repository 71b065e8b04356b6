package xray_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"sallyport/outbound"
	"sallyport/shop"
)

func TestRealXrayEnsuresAndForgets(t *testing.T) {
	t.Parallel()
	node := dial(t, newServer(t).cfg)
	first, second := access("a000123", 1), access("a000123", 2)
	steps := []struct {
		name string
		do   func(context.Context) error
		want []shop.Access
	}{
		{"absent when there is nobody", func(ctx context.Context) error { return node.Absent(ctx, "a000123") }, []shop.Access{}},
		{"ensure a new one", func(ctx context.Context) error { return node.Ensure(ctx, first) }, []shop.Access{first}},
		{"ensure it again", func(ctx context.Context) error { return node.Ensure(ctx, first) }, []shop.Access{first}},
		{"ensure it in capitals", func(ctx context.Context) error {
			return node.Ensure(ctx, shop.Access{ID: "A000123", UUID: first.UUID})
		}, []shop.Access{first}},
		{"ensure another uuid", func(ctx context.Context) error { return node.Ensure(ctx, second) }, []shop.Access{second}},
		{"absent of a longer id", func(ctx context.Context) error { return node.Absent(ctx, "a0001234") }, []shop.Access{second}},
		{"absent in capitals", func(ctx context.Context) error { return node.Absent(ctx, "A000123") }, []shop.Access{}},
		{"absent again", func(ctx context.Context) error { return node.Absent(ctx, "a000123") }, []shop.Access{}},
		{"ensure one that was here before", func(ctx context.Context) error { return node.Ensure(ctx, first) }, []shop.Access{first}},
	}
	for _, step := range steps {
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, listed(t, node)); diff != "" {
			t.Fatalf("%s: listed (-want +got):\n%s", step.name, diff)
		}
		if got, err := node.Count(t.Context()); err != nil || got != len(step.want) {
			t.Fatalf("%s: count %d, %v; want %d", step.name, got, err, len(step.want))
		}
	}
	if up, err := node.Uptime(t.Context()); err != nil || up < 0 || up > time.Minute {
		t.Errorf("uptime %s, %v", up, err)
	}
}

func TestRealXrayReplacesAnotherFlow(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	plain := server.cfg
	plain.Flow = ""
	a := access("a1", 1)
	if err := dial(t, plain).Ensure(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	node := dial(t, server.cfg)
	if diff := cmp.Diff([]shop.Access{{ID: "a1"}}, listed(t, node)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	if err := node.Ensure(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]shop.Access{a}, listed(t, node)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

func TestRealXrayRefusesAnUnknownInbound(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, tag := range []string{"nope", "api-in"} {
		cfg := server.cfg
		cfg.Inbound = tag
		ops := operations(dial(t, cfg))
		delete(ops, "uptime")
		for op, ask := range ops {
			if err := ask(t.Context()); err == nil || shop.KindOf(err) != shop.KindInternal {
				t.Errorf("%s on %s: got %v, want an internal error", op, tag, err)
			}
		}
	}
}

func TestRealXrayLetsInAndShutsOutAtOnce(t *testing.T) {
	t.Parallel()
	server, target := newServer(t), echo(t)
	node := dial(t, server.plain)
	for i := range 20 {
		a := shop.Access{ID: shop.AccessID(fmt.Sprintf("a%d", i)), UUID: uuid.New()}
		if err := node.Ensure(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if got, err := through(t.Context(), server.addr, a, target); err != nil || got != "HELLO" {
			t.Fatalf("let in: got %q, %v", got, err)
		}
		if err := node.Absent(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
		if got, err := through(t.Context(), server.addr, a, target); err == nil {
			t.Fatalf("shut out: got %q", got)
		}
	}
}

// through says hello to target by plain VLESS.
func through(ctx context.Context, server string, a shop.Access, target *net.TCPAddr) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	ip := target.IP.To4()
	header := append([]byte{0}, a.UUID[:]...)
	header = append(header, 0, 1, byte(target.Port>>8), byte(target.Port), 1, ip[0], ip[1], ip[2], ip[3])
	if _, err := conn.Write(append(header, "hello"...)); err != nil {
		return "", err
	}
	answer := make([]byte, 2+len("hello")) // version, no addons, the data
	if _, err := io.ReadFull(conn, answer); err != nil {
		return "", err
	}
	return string(answer[2:]), nil
}

func TestRealXrayServesTheHolderOfTheLink(t *testing.T) {
	t.Parallel()
	server, target := newServer(t), echo(t)
	node := dial(t, server.cfg)
	a := shop.Access{ID: "a1", UUID: uuid.New()}
	if err := node.Ensure(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(node.Link(a))
	if err != nil {
		t.Fatal(err)
	}
	local := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	start(t, clientConfig(t, link, local, target), "", func(ctx context.Context) bool {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", local)
		return err == nil && conn.Close() == nil
	})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "HELLO" {
		t.Errorf("through REALITY and Vision: got %q, %v", got, err)
	}
}

// clientConfig is a client that knows nothing but the link; whoever connects to
// local speaks with target.
func clientConfig(t *testing.T, link *url.URL, local string, target *net.TCPAddr) object {
	t.Helper()
	_, port, err := net.SplitHostPort(local)
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	q := link.Query()
	return object{
		"log": object{"loglevel": "warning", "access": "none"},
		"inbounds": []object{{
			"listen": "127.0.0.1", "port": number(port), "protocol": "dokodemo-door",
			"settings": object{"address": target.IP.String(), "port": target.Port, "network": "tcp"},
		}},
		"outbounds": []object{{
			"protocol": "vless",
			"settings": object{"vnext": []object{{
				"address": link.Hostname(), "port": number(link.Port()),
				"users": []object{{"id": link.User.Username(), "encryption": q.Get("encryption"), "flow": q.Get("flow")}},
			}}},
			"streamSettings": object{"network": q.Get("type"), "security": q.Get("security"), "realitySettings": object{
				"serverName": q.Get("sni"), "fingerprint": q.Get("fp"), "publicKey": q.Get("pbk"),
				"shortId": q.Get("sid"), "spiderX": q.Get("spx"),
			}},
		}},
	}
}

func TestRealXrayForgetsOverARestartAndIsBackAtOnce(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	cfg := server.cfg
	cfg.Host = outbound.New(outbound.Config{Name: "node de-1", Failures: 1 << 20})
	node := dial(t, cfg)
	a := access("a1", 1)
	if err := node.Ensure(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	const backOff = 500 * time.Millisecond // gRPC's own is about a second
	quickest := time.Hour
	for tries := 0; tries < 10 && quickest > backOff; tries++ { // the machine, too, may stand still
		server.kill(t)
		for op, ask := range operations(node) {
			if err := ask(t.Context()); shop.KindOf(err) != shop.KindUnavailable {
				t.Errorf("%s while it is down: got %v, want KindUnavailable", op, err)
			}
		}
		server.run(t)
		begun := time.Now()
		eventually(t, "the node is back", func(ctx context.Context) bool { return node.Ensure(ctx, a) == nil })
		quickest = min(quickest, time.Since(begun))
	}
	t.Logf("back after %s", quickest)
	if quickest > backOff {
		t.Errorf("the node was back after %s", quickest)
	}
	if diff := cmp.Diff([]shop.Access{a}, listed(t, node)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestRealXrayIsEmptyAfterARestart(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	node := dial(t, server.cfg)
	if err := node.Ensure(t.Context(), access("a1", 1)); err != nil {
		t.Fatal(err)
	}
	server.kill(t)
	server.run(t)
	eventually(t, "the node is back", func(ctx context.Context) bool { _, err := node.Count(ctx); return err == nil })
	if got := listed(t, node); len(got) != 0 {
		t.Errorf("listed %v after a restart", got)
	}
}

func TestRealXrayTakesAThousandAtOnce(t *testing.T) {
	t.Parallel()
	node := dial(t, newServer(t).cfg)
	want := make([]shop.Access, 1000)
	for i := range want {
		want[i] = shop.Access{ID: shop.AccessID(fmt.Sprintf("a%06d", i)), UUID: uuid.New()}
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, a := range want {
		g.Go(func() error { return node.Ensure(t.Context(), a) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, listed(t, node)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	for _, a := range want {
		g.Go(func() error { return node.Absent(t.Context(), a.ID) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, err := node.Count(t.Context()); err != nil || got != 0 {
		t.Errorf("count %d, %v; want 0", got, err)
	}
}

func BenchmarkEnsure(b *testing.B) {
	node := dial(b, newServer(b).cfg)
	for name, next := range map[string]func(i int) shop.Access{
		"new":   func(int) shop.Access { id := uuid.New(); return shop.Access{ID: shop.AccessID(id.String()), UUID: id} },
		"again": func(int) shop.Access { return access("a1", 1) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := node.Ensure(b.Context(), next(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
