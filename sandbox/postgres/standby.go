package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/sandbox/process"
)

// Standby returns a new server that repeats all that this one does, with the same
// password, at an address of its own. Its data are in a temporary directory.
func (c *Cluster) Standby(ctx context.Context) (*Cluster, error) {
	cfg := c.cfg
	cfg.Dir, cfg.Port = "", 0
	standby := &Cluster{cfg: cfg, bin: c.bin, owner: c.owner, password: c.password}
	err := standby.prepareDir()
	if err == nil {
		err = standby.Follow(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start standby: %w", err), standby.Stop()) //nolint:contextcheck // ctx may have ended
	}
	return standby, nil
}

// Follow makes the server, whether it runs or not, a standby of another. What it held is
// replaced; its address stays.
func (c *Cluster) Follow(ctx context.Context, primary *Cluster) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		if err := c.server.Stop(ctx); err != nil && !errors.Is(err, process.ErrKilled) {
			return fmt.Errorf("stop postgres: %w", err)
		}
	}
	if err := os.RemoveAll(c.data()); err != nil {
		return fmt.Errorf("remove what it held: %w", err)
	}
	if err := c.run(ctx, "pg_basebackup", "-D", c.data(), "-d", primary.SocketURL("postgres"), "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return err
	}
	return c.launch(ctx)
}

// Promote makes a standby a primary that waits for no other, and returns once it is one.
func (c *Cluster) Promote(ctx context.Context) error {
	err := c.session(ctx, func(conn *pgx.Conn) error {
		var promoted bool
		if err := conn.QueryRow(ctx, "SELECT pg_promote()").Scan(&promoted); err != nil {
			return err
		}
		if !promoted {
			return errors.New("it took too long")
		}
		return configure(ctx, conn, "ALTER SYSTEM RESET synchronous_standby_names")
	})
	if err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	return nil
}

// configure changes a setting of a server that runs.
func configure(ctx context.Context, conn *pgx.Conn, change string) error {
	if _, err := conn.Exec(ctx, change); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "SELECT pg_reload_conf()")
	return err
}

// Synchronise has every commit wait until a standby has it too, and returns once there is
// one that has all.
func (c *Cluster) Synchronise(ctx context.Context) error {
	err := c.session(ctx, func(conn *pgx.Conn) error {
		if err := configure(ctx, conn, "ALTER SYSTEM SET synchronous_standby_names = '*'"); err != nil {
			return err
		}
		for {
			var synchronous bool
			err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')").Scan(&synchronous)
			if synchronous || err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(pollEvery):
			}
		}
	})
	if err != nil {
		return fmt.Errorf("synchronise: %w", err)
	}
	return nil
}

// run runs a program of PostgreSQL's to its end.
func (c *Cluster) run(ctx context.Context, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, initLimit)
	defer cancel()
	log := &process.Tail{}
	started, err := process.Start(process.Config{
		Path: filepath.Join(c.bin, program), Args: args, Dir: c.dir,
		Env: c.environment(), Output: log, Credential: c.owner.credential(),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	select {
	case <-started.Done():
		err = started.Err()
	case <-ctx.Done():
		started.Kill()
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; it said:\n%s", program, err, strings.TrimSpace(log.String()))
	}
	return nil
}
