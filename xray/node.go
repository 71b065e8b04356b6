package xray

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"sallyport/outbound"
	"sallyport/shop"
)

// Config says which node to drive, and how.
type Config struct {
	// Name is the node's name in the catalogue and in errors.
	Name string
	// Label is what a customer's client calls the node: "<Brand> <node title>".
	Label string
	// API is where Xray's gRPC API listens: unix:///path, unix-abstract:name or
	// host:port.
	API string
	// Inbound is the tag of the VLESS inbound. The inbound of another protocol
	// would crash Xray at the first Ensure.
	Inbound string
	// Flow of every client: Vision, or empty for plain VLESS.
	Flow string
	// Endpoint is where customers connect.
	Endpoint Endpoint
	// Host bounds every call to the API.
	Host *outbound.Host
	// Credentials secure the API connection. They may be nil, in the clear, only
	// for an API on this machine.
	Credentials credentials.TransportCredentials
}

// Node is one Xray server. It is safe for use by many goroutines at once.
type Node struct {
	cfg    Config
	conn   *grpc.ClientConn
	secret *regexp.Regexp
}

var _ shop.Node = (*Node)(nil)

// Dial returns the node of cfg without connecting: the first call does, so that a
// node which is down never delays a start. Its error names every problem of cfg.
func Dial(cfg Config) (*Node, error) {
	target, err := cfg.target()
	if err := errors.Join(err, cfg.validate()); err != nil {
		return nil, fmt.Errorf("node %s: %w", cfg.Name, err)
	}
	secure := cfg.Credentials
	if secure == nil {
		secure = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(target, append(dialOptions(), grpc.WithTransportCredentials(secure))...)
	if err != nil {
		return nil, fmt.Errorf("node %s: api: %w", cfg.Name, err)
	}
	secret := regexp.MustCompile(`(?i)vless://\S*|[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}`)
	return &Node{cfg: cfg, conn: conn, secret: secret}, nil
}

// dialOptions reconnect within a fraction of a second of a restart (gRPC's own
// back-off takes a whole one), and find a connection whose other end vanished:
// without keepalive the calls on it would time out one after the other for long.
func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 200 * time.Millisecond,
			},
			MinConnectTimeout: 3 * time.Second,
		}),
		// Xray's server drops a client that pings an idle connection.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
	}
}

// Close ends the connection; calls under way fail as unavailable.
func (n *Node) Close() error {
	if err := n.conn.Close(); err != nil {
		return fmt.Errorf("node %s: close: %w", n.cfg.Name, err)
	}
	return nil
}

// Name is the node's name in the catalogue.
func (n *Node) Name() string { return n.cfg.Name }

// Link returns the vless:// link by which a customer connects. It is a secret.
func (n *Node) Link(a shop.Access) string {
	return Link(n.cfg.Endpoint, a, n.cfg.Flow, n.cfg.Label)
}

// do makes one operation on the node within its host's limits. The operation may
// be several calls: they share one time limit.
func (n *Node) do(ctx context.Context, op string, call func(context.Context) error) error {
	return n.named(op, n.cfg.Host.Do(ctx, op, call))
}

func (n *Node) named(op string, err error) error {
	if err != nil {
		return fmt.Errorf("node %s: %s: %w", n.cfg.Name, op, err)
	}
	return nil
}

func (c Config) validate() error {
	var problems []error
	for _, field := range []struct{ name, value string }{
		{"name", c.Name}, {"label", c.Label}, {"inbound", c.Inbound},
	} {
		if strings.TrimSpace(field.value) == "" {
			problems = append(problems, fmt.Errorf("%s: is empty", field.name))
		}
	}
	if c.Flow != "" && c.Flow != Vision {
		problems = append(problems, fmt.Errorf("flow: %q is neither empty nor %s", c.Flow, Vision))
	}
	if c.Host == nil {
		problems = append(problems, errors.New("host: is missing"))
	}
	return errors.Join(append(problems, about("endpoint", c.Endpoint.Validate()))...)
}

// target returns the API's address as gRPC wants it. A host is resolved at each
// connection, by passthrough, since gRPC's own resolver would keep its answer.
func (c Config) target() (string, error) {
	if path, ok := strings.CutPrefix(c.API, "unix://"); ok && len(path) > 1 && path[0] == '/' {
		return c.API, nil
	}
	if name, ok := strings.CutPrefix(c.API, "unix-abstract:"); ok && name != "" {
		return c.API, nil
	}
	host, port, err := net.SplitHostPort(c.API)
	number, perr := strconv.Atoi(port)
	if err != nil || perr != nil || checkPort(number) != nil || checkHost(host) != nil {
		return "", fmt.Errorf("api: %q is none of unix:///path, unix-abstract:name, host:port", c.API)
	}
	if c.Credentials == nil && !isLoopback(host) {
		return "", fmt.Errorf("api: %s is not this machine, so it needs credentials", host)
	}
	return "passthrough:///" + c.API, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
