package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"sallyport/sandbox/process"
)

const (
	pollEvery = 5 * time.Millisecond
	// retryEvery spaces starts while a killed predecessor is still dying.
	retryEvery = 100 * time.Millisecond
	// portChoices is how often a taken port is replaced by another one.
	portChoices = 5
)

// launch starts the server and waits until it answers. The caller holds mu.
//
// A server that was killed a moment ago still holds its lock file, its memory
// or its port, and then the new one ends at once: hence the tries.
func (c *Cluster) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	choices := 0
	for {
		if c.cfg.TCP && c.port == 0 {
			if err := c.choosePort(); err != nil {
				return err
			}
			choices++
		}
		if err := c.clearLocks(); err != nil {
			return err
		}
		log, err := c.try(ctx)
		if err == nil {
			return nil
		}
		switch {
		case strings.Contains(log, "could not bind IPv4 address") && c.cfg.Port == 0 && choices > 0 && choices < portChoices:
			c.port = 0
		case !dying(log):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryEvery):
		}
	}
}

// clearLocks removes the lock files of a dead server. The server itself does
// so, unless the dead one is a zombie: then it takes it for a living one, for
// ever where nobody reaps orphans, as in a container without an init. We hold
// the directory's lock, so no other server is just starting.
func (c *Cluster) clearLocks() error {
	files := []string{
		filepath.Join(c.data(), "postmaster.pid"),
		filepath.Join(c.socket, fmt.Sprintf(".s.PGSQL.%d.lock", c.socketPort())),
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read a lock file: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(line)
		if err != nil || process.Alive(pid) {
			continue // the server's own check decides
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove a dead server's lock: %w", err)
		}
	}
	return nil
}

// dying reports whether the log of a failed start blames a predecessor that is
// not quite gone.
func dying(log string) bool {
	for _, sign := range []string{
		`lock file "postmaster.pid" already exists`,
		"pre-existing shared memory block",
		"could not bind IPv4 address",
		"could not bind Unix address",
		".lock\" already exists",
	} {
		if strings.Contains(log, sign) {
			return true
		}
	}
	return false
}

func (c *Cluster) choosePort() error {
	c.port = c.cfg.Port
	if c.port != 0 {
		return nil
	}
	port, err := process.FreePort()
	if err != nil {
		return fmt.Errorf("choose a port: %w", err)
	}
	c.port = port
	return nil
}

// try starts the server once; it returns the end of its log beside any error.
func (c *Cluster) try(ctx context.Context) (string, error) {
	log := &process.Tail{Next: lines{c.cfg.Logger}}
	server, err := process.Start(process.Config{
		Path:       filepath.Join(c.bin, "postgres"),
		Args:       c.settings(),
		Dir:        c.dir,
		Env:        append(c.environment(), c.cfg.Env...),
		Output:     log,
		Credential: c.owner.credential(),
		StopSignal: syscall.SIGINT, // fast shutdown: open connections are cut
		Grace:      stopGrace,
	})
	if err != nil {
		return "", fmt.Errorf("run the server: %w", err)
	}
	if err := c.await(ctx, server); err != nil {
		server.Kill()
		return log.String(), fmt.Errorf("%w; the server said:\n%s", err, log)
	}
	c.server = server
	return "", nil
}

func (c *Cluster) settings() []string {
	set := map[string]string{
		"unix_socket_directories": c.socket,
		"unix_socket_permissions": "0700",
		"listen_addresses":        "",
		"max_connections":         strconv.Itoa(c.cfg.MaxConnections),
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"logging_collector":       "off",
		"cluster_name":            "sallyport",
	}
	if c.cfg.TCP {
		set["listen_addresses"] = "127.0.0.1"
		set["port"] = strconv.Itoa(c.port)
	}
	if c.cfg.NoSync {
		set["fsync"] = "off"
		set["synchronous_commit"] = "off"
		set["full_page_writes"] = "off"
	}
	maps.Copy(set, c.cfg.Settings)
	args := []string{"-D", c.data()}
	for name, value := range set {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// await polls the socket until a query is answered.
func (c *Cluster) await(ctx context.Context, server *process.Process) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := c.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-server.Done():
			return errors.New("the server ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("no answer from the server: %w", err)
		case <-tick.C:
		}
	}
}

func (c *Cluster) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.SocketURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.Ping(ctx)
}

// lines is a writer that logs each line at debug level.
type lines struct{ log *zap.Logger }

// Write logs what the server printed.
func (l lines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		l.log.Debug("postgres", zap.String("line", strings.TrimSpace(line)))
	}
	return len(b), nil
}
