package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"sallyport/sandbox"
	"sallyport/sandbox/books"
	"sallyport/sandbox/postgres"
	"sallyport/sandbox/process"
)

const (
	// speed divides the waits of Telegram and Crypto Pay between redeliveries.
	speed = 50
	// shortPeriod is how long the shortest access that is sold lasts.
	shortPeriod = 15 * time.Second
)

// stage is everything that a run needs, running.
type stage struct {
	dir   string
	world *sandbox.World
	books *books.Books
	fleet *fleet
	door  *door
	way   *toxiproxy.Proxy // from the replicas to PostgreSQL
	disk  *disk            // nil if we are not root
	clock *clock           // PostgreSQL's
	ends  []func() error
}

// newStage starts everything; also a stage that did not start must be stopped. The
// product is built from the tree at root.
func newStage(ctx context.Context, root string, seed uint64) (*stage, error) {
	s := &stage{}
	for _, step := range []func(context.Context) error{
		s.makeDir, s.startWorld,
		func(ctx context.Context) error { return s.startProduct(ctx, root, seed) },
	} {
		if err := step(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *stage) makeDir(context.Context) error {
	dir, err := os.MkdirTemp("/tmp", "sallyport-chaos-")
	if err != nil {
		return fmt.Errorf("a directory: %w", err)
	}
	s.dir = dir
	s.ends = append(s.ends, func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as another user
		return fmt.Errorf("a directory: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if s.disk, err = newDisk(filepath.Join(dir, "disk")); err != nil {
		return err
	}
	s.ends = append(s.ends, s.disk.close)
	return nil
}

// startWorld starts all that the shop needs, with a PostgreSQL that syncs, because it
// will crash.
func (s *stage) startWorld(ctx context.Context) error {
	library, err := shim(ctx, s.dir)
	if err != nil {
		return err
	}
	if s.clock, err = newClock(filepath.Join(s.dir, "clock-postgres")); err != nil {
		return err
	}
	s.ends = append(s.ends, s.clock.close)
	port, err := process.FreePort()
	if err != nil {
		return err
	}
	cfg := sandbox.Config{
		NoProduct: true, AppPort: port, Speed: speed, ShortPeriod: shortPeriod, Sync: true,
		Postgres: postgres.Config{
			Env:      []string{"LD_PRELOAD=" + library, s.clock.env()},
			Settings: map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB"},
		},
	}
	if s.disk != nil {
		cfg.Postgres.Dir = filepath.Join(s.disk.dir, "postgres")
	}
	if s.world, err = sandbox.Start(ctx, cfg); err != nil {
		return err
	}
	s.ends = append(s.ends, s.world.Stop)
	if s.books, err = books.Open(ctx, s.world); err != nil {
		return err
	}
	s.ends = append(s.ends, func() error { s.books.Close(); return nil })
	return nil
}

// startProduct builds the shop and starts the replicas, behind the door and with a
// breakable way to PostgreSQL.
func (s *stage) startProduct(ctx context.Context, root string, seed uint64) error {
	program, err := buildProduct(ctx, root, s.dir)
	if err != nil {
		return err
	}
	database, err := s.layWay()
	if err != nil {
		return err
	}
	log, err := os.Create(s.logPath())
	if err != nil {
		return fmt.Errorf("the replicas' log: %w", err)
	}
	s.ends = append(s.ends, log.Close)
	s.fleet = &fleet{program: program, dir: s.dir, log: log, env: append(s.world.Environment(),
		"DATABASE_URL="+database, "SWEEP_PAYMENTS_EVERY=10s", "LOG_LEVEL=debug",
	)}
	s.ends = append(s.ends, s.fleet.close)
	app, err := url.Parse(s.world.Ready().AppURL)
	if err != nil {
		return fmt.Errorf("the shop's address: %w", err)
	}
	var port int
	if _, err := fmt.Sscan(app.Port(), &port); err != nil {
		return fmt.Errorf("the shop's address: %w", err)
	}
	if s.door, err = newDoor(ctx, port, s.fleet, seed); err != nil {
		return err
	}
	s.ends = append(s.ends, s.door.close)
	for range replicas {
		if _, err := s.fleet.add(); err != nil {
			return err
		}
	}
	return s.allReady(ctx)
}

// allReady waits until every replica is.
func (s *stage) allReady(ctx context.Context) error {
	for _, r := range s.fleet.members() {
		if err := r.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// layWay puts toxiproxy before PostgreSQL and returns the replicas' connection string.
func (s *stage) layWay() (string, error) {
	u, err := url.Parse(s.world.Ready().DatabaseURL)
	if err != nil {
		return "", fmt.Errorf("the database's address: %w", err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	s.way = toxiproxy.NewProxy(server, "postgres", "127.0.0.1:0", u.Host)
	if err := s.way.Start(); err != nil {
		return "", fmt.Errorf("toxiproxy: %w", err)
	}
	s.ends = append(s.ends, func() error { s.way.Stop(); return nil })
	u.Host = s.way.Listen
	return u.String(), nil
}

// logPath is the file that all replicas write to.
func (s *stage) logPath() string { return filepath.Join(s.dir, "sallyport.log") }

// keepLog puts the replicas' log where it outlives the run.
func (s *stage) keepLog() string {
	kept := s.dir + ".log"
	if err := os.Rename(s.logPath(), kept); err != nil {
		return err.Error()
	}
	return kept
}

// stop ends everything, the last first.
func (s *stage) stop() error {
	var problems []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		problems = append(problems, s.ends[i]())
	}
	s.ends = nil
	return errors.Join(problems...)
}
