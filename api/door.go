package api

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// doorAll is how many connections strangers may have at once, doorEach one address of
	// theirs. Friends have as many again to themselves: Telegram makes at most a hundred.
	doorAll  = 1024
	doorEach = 64
	// strangersIdle is how long a stranger's connection may be idle.
	strangersIdle = 30 * time.Second
)

// DoorConfig says how many connections are let in.
type DoorConfig struct {
	Proxies    []netip.Prefix // of ours: friends, as Telegram is
	AllFriends bool           // whoever comes is a proxy of ours, or comes past it
	All        int            // connections of strangers, and as many of friends; default 1024
	Each       int            // of one address of strangers; default 64
	Metrics    prometheus.Registerer
}

// Door bounds connections: in all and for each address (of IPv6, for each /64), those of
// Telegram and of our proxies apart. When there is no place for another, the one that has
// been idle longest is closed.
type Door struct {
	cfg    DoorConfig
	closed *prometheus.CounterVec

	mu      sync.Mutex
	inside  map[*guest]bool
	count   map[bool]int         // by whether they are friends
	origins map[netip.Prefix]int // of strangers
}

// NewDoor returns a Door. Several listeners may share it.
func NewDoor(cfg DoorConfig) *Door {
	if cfg.All == 0 {
		cfg.All = doorAll
	}
	if cfg.Each == 0 {
		cfg.Each = doorEach
	}
	d := &Door{
		cfg: cfg, inside: make(map[*guest]bool), count: make(map[bool]int), origins: make(map[netip.Prefix]int),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sallyport", Subsystem: "door", Name: "closed_total",
			Help: "Connections that were closed: to make room for others, because there was none, or because a stranger's was idle.",
		}, []string{"why"}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(d.closed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "sallyport", Subsystem: "door", Name: "connections", Help: "Connections from outside that are open.",
		}, func() float64 { return float64(d.Inside()) }))
	}
	return d
}

// Guard returns a listener behind the door, and has the server tell it which connections
// are idle.
func (d *Door) Guard(l net.Listener, s *http.Server) net.Listener {
	s.ConnState = d.note
	return behind{Listener: l, door: d}
}

// Inside is how many connections are open.
func (d *Door) Inside() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.inside)
}

// guest is a connection that was let in.
type guest struct {
	net.Conn

	door   *Door
	friend bool
	origin netip.Prefix
	busy   bool      // a request is served
	since  time.Time // when that began or ended
	leave  *time.Timer
}

// Close closes the connection and gives its place away.
func (g *guest) Close() error {
	g.door.left(g)
	return g.Conn.Close() //nolint:wrapcheck // it is the connection
}

// behind is a listener behind a door.
type behind struct {
	net.Listener

	door *Door
}

// Accept returns the next connection for which there is a place.
func (b behind) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // it is the listener
		}
		if g := b.door.admit(conn); g != nil {
			return g, nil
		}
		_ = conn.Close() // there is nobody to tell
	}
}

// admit returns the connection as a guest, nil if there is no place for it.
func (d *Door) admit(conn net.Conn) *guest {
	g := &guest{Conn: conn, door: d, since: time.Now()}
	g.friend, g.origin = d.whence(conn.RemoteAddr())
	d.mu.Lock()
	var loser *guest
	switch {
	case !g.friend && d.origins[g.origin] >= d.cfg.Each:
		loser = d.longestIdle(func(other *guest) bool { return other.origin == g.origin && !other.friend })
	case d.count[g.friend] >= d.cfg.All:
		loser = d.longestIdle(func(other *guest) bool { return other.friend == g.friend })
	default:
		d.enter(g)
		d.mu.Unlock()
		return g
	}
	if loser != nil {
		d.remove(loser)
		d.enter(g)
	}
	d.mu.Unlock()
	if loser == nil {
		d.closed.WithLabelValues("full").Inc()
		return nil
	}
	d.closed.WithLabelValues("for another").Inc()
	_ = loser.Conn.Close() // whoever is there finds out
	return g
}

// whence says whether an address is a friend's, and for which addresses it stands.
func (d *Door) whence(a net.Addr) (friend bool, origin netip.Prefix) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return d.cfg.AllFriends, netip.Prefix{} // all who are none together
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	origin = originOf(address)
	friend = d.cfg.AllFriends || fromTelegramsRanges(address)
	for _, proxy := range d.cfg.Proxies {
		friend = friend || proxy.Contains(address)
	}
	return friend, origin
}

// originOf returns the addresses that whoever has this one has at will: of IPv6, the /64.
func originOf(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	origin, _ := address.Prefix(bits) // it has as many
	return origin
}

// longestIdle returns whoever of some has been idle longest, nil if all are served.
func (d *Door) longestIdle(some func(*guest) bool) (idle *guest) {
	for g := range d.inside {
		if some(g) && !g.busy && (idle == nil || g.since.Before(idle.since)) {
			idle = g
		}
	}
	return idle
}

func (d *Door) enter(g *guest) {
	d.inside[g] = true
	d.count[g.friend]++
	if !g.friend {
		d.origins[g.origin]++
	}
}

func (d *Door) left(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(g)
}

func (d *Door) remove(g *guest) {
	if !d.inside[g] {
		return
	}
	delete(d.inside, g)
	d.count[g.friend]--
	if !g.friend {
		if d.origins[g.origin]--; d.origins[g.origin] == 0 {
			delete(d.origins, g.origin)
		}
	}
	if g.leave != nil {
		g.leave.Stop()
	}
}

// note is told by the server what a connection does.
func (d *Door) note(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	g, ok := conn.(*guest)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.leave != nil {
		g.leave.Stop()
		g.leave = nil
	}
	g.busy, g.since = state == http.StateActive, time.Now()
	if state == http.StateIdle && !g.friend && d.inside[g] {
		since := g.since
		g.leave = time.AfterFunc(strangersIdle, func() { d.expel(g, since) })
	}
}

// expel closes a connection that has been idle since then.
func (d *Door) expel(g *guest, since time.Time) {
	d.mu.Lock()
	idle := d.inside[g] && !g.busy && g.since.Equal(since)
	if idle {
		d.remove(g)
	}
	d.mu.Unlock()
	if idle {
		d.closed.WithLabelValues("idle").Inc()
		_ = g.Conn.Close() // whoever is there finds out
	}
}
