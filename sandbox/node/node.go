package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"sallyport/sandbox/process"
)

const (
	host              = "127.0.0.1"
	inboundTag        = "vless-reality"
	defaultServerName = "cover.test"
	startLimit        = 20 * time.Second
	pollEvery         = 10 * time.Millisecond
)

// Config says what node to run. The zero value is one with new keys on free
// ports that lets nobody reach anything on this machine.
type Config struct {
	// Binary is the Xray program; empty means the one Binary finds.
	Binary string
	// Dir keeps keys and ports from one Start to the next; empty keeps nothing.
	Dir string
	// Port is where customers connect, APIPort the server's API. 0 means the
	// kept port or a free one.
	Port, APIPort int
	// ServerName is the name customers pretend to visit, "cover.test" if empty.
	ServerName string
	// Allow lists the loopback and private destinations, as address:port or
	// network:port (127.0.0.0/8:8080), that customers may reach through the
	// tunnel. The API port can not be allowed.
	Allow []string
	// Clients are known from the start, and after each Restart.
	Clients []User
	// Logger receives the server's log at debug level; nil means none.
	Logger *zap.Logger
}

// User is a customer the server knows from its configuration.
type User struct {
	// ID is the UUID, Email the name in the API and the counters.
	ID, Email string
}

// Node is a server. Its fields do not change.
type Node struct {
	// Host and Port are where customers connect.
	Host string
	Port int
	// ServerName, PublicKey and ShortID are what REALITY asks customers for.
	ServerName, PublicKey, ShortID string
	// Inbound is the tag that users are added to.
	Inbound string
	// APIAddr is the address of the gRPC API.
	APIAddr string

	binary string
	config []byte
	cover  *cover
	log    *zap.Logger

	mu      sync.Mutex
	server  *process.Process
	stopped bool
}

// Start returns a node that accepts customers and API calls.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.ServerName == "" {
		cfg.ServerName = defaultServerName
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	n := &Node{log: cfg.Logger, binary: cfg.Binary}
	if err := n.start(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("start node: %w", err), n.Stop()) //nolint:contextcheck // ctx may have ended
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, cfg Config) error {
	var err error
	if n.binary == "" {
		if n.binary, err = Binary(); err != nil {
			return err
		}
	}
	id, err := loadIdentity(cfg)
	if err != nil {
		return err
	}
	allow, err := parseAllow(cfg.Allow, id.APIPort)
	if err != nil {
		return err
	}
	if n.cover, err = startCover(cfg.ServerName); err != nil {
		return err
	}
	n.Host, n.Port, n.ServerName, n.Inbound = host, id.Port, cfg.ServerName, inboundTag
	n.PublicKey, n.ShortID = id.PublicKey, id.ShortID
	n.APIAddr = net.JoinHostPort(host, strconv.Itoa(id.APIPort))
	n.config, err = json.Marshal(serverConfig(cfg, id, n.cover.addr(), allow))
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.launch(ctx)
}

// launch starts the process and waits until it listens. The caller holds mu.
func (n *Node) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	n.cover.expectProbes()
	log := &process.Tail{Next: lines{n.log}}
	server, err := process.Start(process.Config{
		Path:   n.binary,
		Args:   []string{"run", "-c", "stdin:"}, // no secret on the disk
		Input:  n.config,
		Output: log,
	})
	if err != nil {
		return fmt.Errorf("run xray: %w", err)
	}
	if err := n.awaitAll(ctx, server); err != nil {
		server.Kill()
		return fmt.Errorf("%w; it said:\n%s", err, log)
	}
	n.server = server
	return nil
}

// awaitAll waits until customers are served without delay. The last step makes
// a connection to the cover site, which must not count as one of Xray's own.
func (n *Node) awaitAll(ctx context.Context, server *process.Process) error {
	if err := await(ctx, server, n.APIAddr); err != nil {
		return err
	}
	n.cover.awaitProbes(ctx)
	return await(ctx, server, net.JoinHostPort(n.Host, strconv.Itoa(n.Port)))
}

// await polls an address until something accepts there.
func await(ctx context.Context, server *process.Process, addr string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			if !server.Running() {
				return errors.Join(fmt.Errorf("another program listens on %s", addr), conn.Close())
			}
			if err := conn.Close(); err != nil {
				return fmt.Errorf("close the probe: %w", err)
			}
			return nil
		}
		select {
		case <-server.Done():
			return fmt.Errorf("xray ended while starting: %w", errors.Join(server.Err(), err))
		case <-ctx.Done():
			return fmt.Errorf("xray does not listen: %w", err)
		case <-tick.C:
		}
	}
}

// Restart stops the server, if it runs, and starts it again with the same keys
// and ports. Users added through the API are forgotten, as in production.
func (n *Node) Restart(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return errors.New("restart node: it was stopped for good")
	}
	if n.server != nil {
		if err := n.server.Stop(ctx); err != nil && !errors.Is(err, process.ErrKilled) {
			return fmt.Errorf("stop node: %w", err)
		}
	}
	if err := n.launch(ctx); err != nil {
		return fmt.Errorf("restart node: %w", err)
	}
	return nil
}

// Kill ends the server with SIGKILL, as a crash would. Restart brings it back.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		n.server.Kill()
	}
}

// HideCover takes the cover site off the network, or puts it back. Xray dials it for each
// customer first, and without it refuses them all.
func (n *Node) HideCover(hidden bool) { n.cover.hide(hidden) }

// Stop ends the server and the cover site for good. Stopping twice is harmless.
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	var errs []error
	if n.server != nil {
		errs = append(errs, n.server.Stop(context.Background()))
	}
	if n.cover != nil {
		errs = append(errs, n.cover.close())
		n.cover = nil
	}
	return errors.Join(errs...)
}

// Running reports whether the server process runs.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server != nil && n.server.Running()
}

// Pid is the process id of the server that runs, or ran last.
func (n *Node) Pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server == nil {
		return 0
	}
	return n.server.Pid()
}

// lines is a writer that logs each line at debug level.
type lines struct{ log *zap.Logger }

// Write logs what the server printed.
func (l lines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		l.log.Debug("xray", zap.String("line", strings.TrimSpace(line)))
	}
	return len(b), nil
}
