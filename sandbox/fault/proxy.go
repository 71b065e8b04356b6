package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// chunk is how much is passed on at once.
	chunk = 32 << 10
	// dialTimeout bounds the way to the target, and acceptPause is the rest
	// after a connection that could not be accepted.
	dialTimeout = 10 * time.Second
	acceptPause = 10 * time.Millisecond
)

// errCut says that the fault ends the connection.
var errCut = errors.New("fault: connection cut")

// Proxy passes TCP connections on to a target, as far as its Switch lets it.
//
// Down resets the connections there are and closes new ones at once. Hung stops
// the bytes in both directions; new connections are accepted and stay silent,
// and everything flows again when the fault ends. Slow delays every chunk.
// Error resets a connection as soon as bytes come along it. Lost swallows, in both
// directions and for good, what comes along the connections there are, their ends too;
// new ones are passed on.
type Proxy struct {
	listener      net.Listener
	network, addr string
	sw            *Switch
	// life ends with Close; connections belong to nobody's call.
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
}

// NewProxy listens on an address such as "127.0.0.1:0" and passes what comes to
// the target, of network "tcp" or "unix". Close ends it.
func NewProxy(listen, targetNetwork, targetAddr string, sw *Switch) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("fault proxy of %s: %w", targetAddr, err)
	}
	life, end := context.WithCancel(context.Background())
	p := &Proxy{listener: listener, network: targetNetwork, addr: targetAddr, sw: sw, life: life, end: end}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy with all its connections and waits for them.
func (p *Proxy) Close() error {
	p.end()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for p.life.Err() == nil {
		client, err := p.listener.Accept()
		if err != nil {
			_, _ = wait(p.life, nil, acceptPause) // Closed, or out of descriptors for a moment.
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve carries one connection until it or the fault ends it.
func (p *Proxy) serve(client net.Conn) {
	ctx, cancel := context.WithCancelCause(p.life)
	defer cancel(nil)
	born := p.sw.lost()
	if err := p.open(ctx); err != nil {
		reset(client)
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	target, err := dialer.DialContext(ctx, p.network, p.addr)
	if err != nil {
		reset(client)
		return
	}
	stop := context.AfterFunc(ctx, func() {
		reset(client)
		_ = target.Close()
	})
	p.carry(ctx, cancel, client, target, born)
	if stop() {
		_ = client.Close()
		_ = target.Close()
	}
}

// open waits until a new connection may reach the target. Error lets it: that
// fault strikes at the first bytes.
func (p *Proxy) open(ctx context.Context) error {
	mode, err := p.sw.pass(ctx)
	if err == nil && mode == Down {
		err = errCut
	}
	return err
}

// carry passes bytes both ways until both ends have finished, or cancels ctx. A
// connection is lost when Lost has begun more often than before it was born.
func (p *Proxy) carry(ctx context.Context, cancel context.CancelCauseFunc, client, target net.Conn, born int) {
	watched, unwatch := context.WithCancel(ctx)
	var watcher, ways sync.WaitGroup
	watcher.Go(func() {
		if p.sw.awaitDown(watched) {
			cancel(errCut)
		}
	})
	for _, way := range [][2]net.Conn{{target, client}, {client, target}} {
		ways.Go(func() {
			if err := p.pump(ctx, way[0], way[1], born); err != nil {
				cancel(err)
			}
		})
	}
	ways.Wait()
	unwatch()
	watcher.Wait()
}

// pump passes bytes one way; nil means that the source finished in good order.
func (p *Proxy) pump(ctx context.Context, to, from net.Conn, born int) error {
	buffer := make([]byte, chunk)
	for {
		n, readErr := from.Read(buffer)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return readErr
		}
		mode, err := p.sw.pass(ctx)
		if err == nil && mode != "" {
			err = errCut
		}
		if err != nil {
			return err
		}
		if p.sw.lost() != born {
			if readErr != nil {
				return nil // the other end never learns of it
			}
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		if readErr != nil {
			return finish(to)
		}
	}
}

// finish tells the other end that no more bytes come.
func finish(to net.Conn) error {
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return to.Close()
}

// reset closes a connection the hard way, so that the peer learns at once.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // Without it the close is only softer.
	}
	_ = conn.Close()
}
