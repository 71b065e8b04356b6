package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sallyport/api"
)

// guarded serves handler behind a door, over TLS.
func guarded(t *testing.T, handler http.Handler, door *api.Door) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = api.Server("", handler, zap.NewNop())
	s.Listener = door.Guard(s.Listener, s.Config)
	s.EnableHTTP2 = true
	own, err := api.NewSelfSigned(api.SelfSignedConfig{Host: "127.0.0.1", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = own.TLS() // its key is one that costs little
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// connectFrom connects from an address of this machine.
func connectFrom(ctx context.Context, address string, s *httptest.Server) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return dialer.DialContext(ctx, "tcp", s.Listener.Addr().String())
}

// asks sends a request over TLS and reads the answer. What it returns holds no more memory
// than a connection does.
func asks(ctx context.Context, conn net.Conn, request string) (code int, err error) {
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(secure, request); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(secure), nil)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

const asksForLife = "GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n"

// memoryInUse is what this process has in use.
func memoryInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Thousands who come, say a word and are silent hold neither places nor memory.
func TestThousandsOfIdleClientsHoldUpNobody(t *testing.T) { //nolint:paralleltest // the memory of this process is measured
	const clients, atOnce = 2000, 32
	door := api.NewDoor(api.DoorConfig{})
	s := guarded(t, newEdge(t, 64).handler, door)
	before := memoryInUse()
	conns := make(chan net.Conn, clients)
	var crowd sync.WaitGroup
	for range atOnce {
		crowd.Go(func() {
			for range clients / atOnce {
				conn, err := connectFrom(t.Context(), "127.0.0.2", s)
				if err != nil {
					t.Error(err)
					return
				}
				if code, err := asks(t.Context(), conn, asksForLife); err == nil && code != http.StatusOK {
					t.Errorf("answered %d", code)
				}
				conns <- conn // held open, whatever became of it
			}
		})
	}
	crowd.Wait()
	close(conns)
	defer func() {
		for conn := range conns {
			_ = conn.Close()
		}
	}()
	if inside := door.Inside(); inside > 64 {
		t.Errorf("%d connections are open", inside)
	}
	if more := int64(memoryInUse()) - int64(before); more > 32<<20 {
		t.Errorf("they hold %d MiB", more>>20)
	}
	delivery := head(15, "") + `{"update_id":1}`
	fastest := time.Hour
	for range 5 { // the machine may be busy with other things
		began := time.Now()
		conn, err := connectFrom(t.Context(), "127.0.0.3", s)
		if err != nil {
			t.Fatal(err)
		}
		code, err := asks(t.Context(), conn, delivery)
		_ = conn.Close()
		if err != nil || code != http.StatusOK {
			t.Errorf("a genuine delivery was answered %d, %v", code, err)
		}
		fastest = min(fastest, time.Since(began))
	}
	if fastest > time.Second {
		t.Errorf("a genuine delivery took %s", fastest)
	}
}

// line is a connection from an address that cannot be had here.
type line struct {
	net.Conn

	from net.Addr
}

func (l line) RemoteAddr() net.Addr { return l.from }

// street is a listener to which anybody comes.
type street struct{ coming chan net.Conn }

func (s street) Accept() (net.Conn, error) {
	conn, ok := <-s.coming
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (street) Close() error   { return nil }
func (street) Addr() net.Addr { return &net.TCPAddr{} }

// quarter is a door, and a server behind it that serves until it is told to end.
type quarter struct {
	t       *testing.T
	door    *api.Door
	coming  chan net.Conn
	metrics *prometheus.Registry
}

func newQuarter(t *testing.T, config api.DoorConfig) *quarter {
	t.Helper()
	q := &quarter{t: t, coming: make(chan net.Conn), metrics: prometheus.NewRegistry()}
	config.Metrics = q.metrics
	q.door = api.NewDoor(config)
	server := api.Server("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			<-r.Context().Done()
		}
	}), zap.NewNop())
	listener := q.door.Guard(street{coming: q.coming}, server)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { close(q.coming); <-served; _ = server.Close() })
	return q
}

// comes connects from an address, asks for a page unless that is empty, and returns the
// other end.
func (q *quarter) comes(address, page string) net.Conn {
	q.t.Helper()
	ours, theirs := net.Pipe()
	q.t.Cleanup(func() { _ = ours.Close() })
	q.coming <- line{theirs, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
	if page != "" {
		_, _ = io.WriteString(ours, "GET "+page+" HTTP/1.1\r\nHost: shop\r\n\r\n") // who is not let in finds out later
	}
	if page == "/short" {
		if answer, err := http.ReadResponse(bufio.NewReader(ours), nil); err == nil {
			_ = answer.Body.Close()
		}
	}
	synctest.Wait()
	pass(time.Millisecond) // whoever comes next comes later
	return ours
}

// pass lets time go by in the bubble, whose clock leaps as soon as nobody in it has
// anything to do: no machine is too slow for it, and there is no condition to wait for.
func pass(d time.Duration) { time.Sleep(d) }

// isOpen says whether a connection is.
func isOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "closed")
}

func (q *quarter) areOpen(conns []net.Conn, want ...bool) {
	q.t.Helper()
	got := make([]bool, len(conns))
	for i, conn := range conns {
		got[i] = isOpen(conn)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		q.t.Errorf("open: %v, want %v", got, want)
	}
}

// closed is how many connections were closed for a reason.
func (q *quarter) closed(why string) (n float64) {
	q.t.Helper()
	families, err := q.metrics.Gather()
	if err != nil {
		q.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "sallyport_door_closed_total" && m.GetLabel()[0].GetValue() == why {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestTheOneThatHasBeenIdleLongestMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQuarter(t, api.DoorConfig{Each: 3})
		var conns []net.Conn
		for i, page := range []string{"/long", "/short", "/short", "/short"} { // who is served keeps their place
			conns = append(conns, q.comes(fmt.Sprintf("203.0.113.9:%d", 1000+i), page))
		}
		q.areOpen(conns, true, false, true, true)
		if n := q.door.Inside(); n != 3 {
			t.Errorf("%d are inside", n)
		}
	})
}

func TestWhoeverComesWhenAllAreServedIsSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQuarter(t, api.DoorConfig{Each: 2})
		conns := []net.Conn{q.comes("203.0.113.9:1", "/long"), q.comes("203.0.113.9:2", "/long"), q.comes("203.0.113.9:3", ""), q.comes("203.0.113.10:4", "/short")}
		q.areOpen(conns, true, true, false, true)
	})
}

// Addresses of IPv6 that one machine has at will count as one, and what all may have
// together is bounded; Telegram and proxies have places of their own.
func TestConnectionsAreCountedByWhoHasTheAddress(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	for _, c := range []struct {
		name   string
		config api.DoorConfig
		from   []string
		open   []bool
	}{
		{"one /64", api.DoorConfig{Each: 2}, []string{"[2001:db8::1]:1", "[2001:db8::ffff]:1", "[2001:db8::2]:1"}, []bool{false, true, true}},
		{"others", api.DoorConfig{Each: 2}, []string{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1"}, []bool{true, true, true}},
		{"IPv4 in IPv6", api.DoorConfig{Each: 1}, []string{"203.0.113.9:1", "[::ffff:203.0.113.9]:1"}, []bool{false, true}},
		{"all together", api.DoorConfig{All: 2}, []string{"203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"}, []bool{false, true, true}},
		{"Telegram", api.DoorConfig{All: 2, Each: 1}, []string{"149.154.160.1:1", "149.154.160.1:2", "203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"}, []bool{true, true, false, true, true}},
		{"a proxy", api.DoorConfig{All: 3, Each: 1, Proxies: proxies}, []string{"192.0.2.7:1", "192.0.2.7:2", "192.0.2.7:3"}, []bool{true, true, true}},
		{"more than all of a proxy", api.DoorConfig{All: 2, Proxies: proxies}, []string{"192.0.2.7:1", "192.0.2.7:2", "192.0.2.7:3"}, []bool{false, true, true}},
		{"nobody but proxies comes", api.DoorConfig{Each: 1, AllFriends: true}, []string{"127.0.0.1:1", "127.0.0.1:2"}, []bool{true, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := newQuarter(t, c.config)
				var conns []net.Conn
				for _, address := range c.from {
					conns = append(conns, q.comes(address, "/short"))
				}
				q.areOpen(conns, c.open...)
			})
		})
	}
}

func TestAStrangerMayNotBeIdleForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQuarter(t, api.DoorConfig{})
		conns := []net.Conn{q.comes("203.0.113.9:1", "/short"), q.comes("149.154.160.1:1", "/short")}
		pass(29 * time.Second)
		q.areOpen(conns, true, true)
		pass(2 * time.Second)
		synctest.Wait()
		q.areOpen(conns, false, true)
		if n := q.closed("idle"); n != 1 {
			t.Errorf("%v are counted", n)
		}
	})
}
