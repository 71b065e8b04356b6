package fault_test

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/sandbox/fault"
)

// line is an echoing server behind a proxy.
type line struct {
	fault.Switch
	proxy    *fault.Proxy
	accepted atomic.Int64
	echoed   atomic.Int64
}

func newLine(t *testing.T, network, address string) *line {
	t.Helper()
	target, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := target.Accept()
			if err != nil {
				return
			}
			l.accepted.Add(1)
			serving.Go(func() { l.echo(conn) })
		}
	})
	if l.proxy, err = fault.NewProxy("127.0.0.1:0", network, target.Addr().String(), &l.Switch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.proxy.Close()
		_ = target.Close()
		serving.Wait()
	})
	return l
}

func (l *line) echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		l.echoed.Add(int64(n))
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (l *line) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func say(t *testing.T, conn net.Conn, word string) {
	t.Helper()
	if _, err := io.WriteString(conn, word); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, word string) {
	t.Helper()
	got := make([]byte, len(word))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != word {
		t.Fatalf("got %q %v, want %q", got, err, word)
	}
}

// cut checks that the connection ends hard, not by a time-out.
func cut(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := conn.Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Fatalf("got %v", err)
	}
}

// refused checks that a new connection is cut, be it before or after the dialler
// has seen it.
func (l *line) refused(t *testing.T) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.proxy.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cut(t, conn)
}

func TestBytesPassWithoutAFault(t *testing.T) {
	t.Parallel()
	cases := map[string][2]string{
		"to a TCP target":    {"tcp", "127.0.0.1:0"},
		"to a socket target": {"unix", filepath.Join(t.TempDir(), "s")},
	}
	for name, target := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := newLine(t, target[0], target[1]).dial(t)
			for range 3 {
				say(t, conn, "hello")
				hear(t, conn, "hello")
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(conn); err != nil || len(rest) != 0 {
				t.Errorf("the end is not passed on: %q %v", rest, err)
			}
		})
	}
}

func TestDownCutsOldAndNewConnections(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	old := l.dial(t)
	say(t, old, "hello")
	hear(t, old, "hello")
	set(t, &l.Switch, fault.Down, 0, time.Hour)
	cut(t, old)
	l.refused(t)
	l.Clear()
	fresh := l.dial(t)
	say(t, fresh, "again")
	hear(t, fresh, "again")
	if l.accepted.Load() != 2 {
		t.Errorf("the target saw %d connections", l.accepted.Load())
	}
}

func TestHungStopsBytesUntilItEnds(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	old := l.dial(t)
	say(t, old, "one")
	hear(t, old, "one")
	set(t, &l.Switch, fault.Hung, 0, time.Hour)
	fresh := l.dial(t)
	for _, conn := range []net.Conn{old, fresh} {
		say(t, conn, "two")
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Read(make([]byte, 1))
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Fatalf("got %v", err)
		}
	}
	if l.accepted.Load() != 1 || l.echoed.Load() != 3 {
		t.Errorf("the target saw %d connections and %d bytes", l.accepted.Load(), l.echoed.Load())
	}
	l.Clear()
	for _, conn := range []net.Conn{old, fresh} {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		hear(t, conn, "two")
	}
}

func TestHungThatGoesDownCuts(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	set(t, &l.Switch, fault.Hung, 0, time.Hour)
	conn := l.dial(t)
	say(t, conn, "hello")
	set(t, &l.Switch, fault.Down, 0, time.Hour)
	cut(t, conn)
}

func TestSlowDelaysBothWays(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	conn := l.dial(t)
	say(t, conn, "one")
	hear(t, conn, "one")
	set(t, &l.Switch, fault.Slow, 30*time.Millisecond, time.Hour)
	start := time.Now()
	say(t, conn, "two")
	hear(t, conn, "two")
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

func TestErrorResetsAtTheFirstBytes(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	old := l.dial(t)
	say(t, old, "one")
	hear(t, old, "one")
	set(t, &l.Switch, fault.Error, 0, time.Hour)
	for _, conn := range []net.Conn{old, l.dial(t)} {
		say(t, conn, "two")
		cut(t, conn)
	}
	if l.echoed.Load() != 3 {
		t.Errorf("the target got %d bytes", l.echoed.Load())
	}
}

func TestTargetThatIsAwayCutsTheClient(t *testing.T) {
	t.Parallel()
	var s fault.Switch
	proxy, err := fault.NewProxy("127.0.0.1:0", "unix", filepath.Join(t.TempDir(), "none"), &s)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{proxy: proxy}
	l.refused(t)
	if err := proxy.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsHeldAndOpenConnections(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	open := l.dial(t)
	say(t, open, "one")
	hear(t, open, "one")
	set(t, &l.Switch, fault.Hung, 0, 0)
	held := l.dial(t)
	say(t, held, "two")
	if err := l.proxy.Close(); err != nil {
		t.Fatal(err)
	}
	cut(t, open)
	cut(t, held)
}

func TestProxyNeedsAnAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	if _, err := fault.NewProxy("127.0.0.1:x", "tcp", "127.0.0.1:1", &fault.Switch{}); err == nil {
		t.Error("a nonsense address is taken")
	}
}

func TestLostSwallowsOldConnectionsAlone(t *testing.T) {
	t.Parallel()
	l := newLine(t, "tcp", "127.0.0.1:0")
	old := l.dial(t)
	say(t, old, "one")
	hear(t, old, "one")
	set(t, &l.Switch, fault.Lost, 0, 0)
	say(t, old, "two")
	fresh := l.dial(t)
	say(t, fresh, "three")
	hear(t, fresh, "three")
	l.Clear()
	say(t, old, "four")
	say(t, fresh, "five")
	hear(t, fresh, "five")
	if got := l.echoed.Load(); got != int64(len("onethreefive")) {
		t.Errorf("the target got %d bytes", got)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
}
