package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"sallyport/sandbox/process"
)

const (
	defaultUser           = "app"
	defaultMaxConnections = 200
	// startLimit bounds a start: after a crash the server recovers first.
	startLimit = 30 * time.Second
	// stopGrace is how long a server may take for its shutdown checkpoint.
	stopGrace = 10 * time.Second
)

// Config says what cluster to run. The zero value is a new one in a temporary
// directory, reachable over its socket only.
type Config struct {
	// Dir keeps the cluster. It is created if need be and kept by Stop. Empty
	// means a new temporary directory, which Stop removes.
	Dir string
	// User is the superuser's name, "app" if empty.
	User string
	// TCP makes the server listen on 127.0.0.1 too, with a random password.
	TCP bool
	// Port is the TCP port, 0 for a free one. Only with TCP.
	Port int
	// NoSync gives up safety against a crash of the machine for speed.
	NoSync bool
	// MaxConnections is 200 if zero.
	MaxConnections int
	// Settings are the server's, by name, in place of what this package would set.
	Settings map[string]string
	// Env is added to the server's environment, as NAME=value.
	Env []string
	// Logger receives the server's log at debug level; nil means none.
	Logger *zap.Logger
}

// Cluster is a running server with its data. Its methods may be called at once
// from several goroutines.
type Cluster struct {
	cfg      Config
	bin      string // where initdb and postgres are
	owner    *owner // who the server runs as, nil for ourselves
	dir      string
	socket   string // the directory of the socket
	temp     []string
	lock     *os.File
	password string
	port     int

	mu     sync.Mutex
	server *process.Process
}

// Start returns a cluster that answers queries. A directory that already holds
// a cluster is started as it is, with the settings of this Config.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.User == "" {
		cfg.User = defaultUser
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = defaultMaxConnections
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	c := &Cluster{cfg: cfg, dir: cfg.Dir}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), c.Stop()) //nolint:contextcheck // ctx may have ended
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.bin, err = findPrograms(); err != nil {
		return err
	}
	if c.owner, err = serverOwner(); err != nil {
		return err
	}
	if err := c.prepareDir(); err != nil {
		return err
	}
	if err := c.initialise(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.launch(ctx)
}

// Restart stops the server, if it runs, and starts it again with the same
// address, password and data. It also brings a killed server back.
func (c *Cluster) Restart(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		if err := c.server.Stop(ctx); err != nil && !errors.Is(err, process.ErrKilled) {
			return fmt.Errorf("stop postgres: %w", err)
		}
	}
	if err := c.launch(ctx); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return nil
}

// Stop shuts the server down, cutting open connections, and removes the
// directory if it was a temporary one. Stopping twice is harmless.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	if c.server != nil {
		errs = append(errs, c.server.Stop(context.Background()))
		c.server = nil
	}
	for _, dir := range c.temp {
		errs = append(errs, os.RemoveAll(dir))
	}
	c.temp = nil
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
		c.lock = nil
	}
	return errors.Join(errs...)
}

// Kill ends the server with SIGKILL, as a crash would. Restart recovers it.
func (c *Cluster) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		c.server.Kill()
	}
}

// Signal sends a signal to the server process, for instance SIGSTOP to make it hang.
func (c *Cluster) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return errors.New("postgres does not run")
	}
	return c.server.Signal(sig)
}

// Running reports whether the server process runs.
func (c *Cluster) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server != nil && c.server.Running()
}

// Pid is the process id of the server, 0 after Stop.
func (c *Cluster) Pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return 0
	}
	return c.server.Pid()
}

// Dir is the directory that keeps the cluster.
func (c *Cluster) Dir() string { return c.dir }
