package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/migrations"
	"sallyport/sandbox"
	"sallyport/sandbox/process"
)

// size says how much is measured.
type size struct {
	rounds  int           // of each figure; the median counts
	warm    time.Duration // before each round
	round   time.Duration
	least   int64 // answers that each round counts, however long it takes
	buys    int   // customers who pay and connect
	orders  int   // that are paid by callbacks
	scales  []int // subscriptions for the workers
	leavers int   // subscriptions that end at once
	starts  int   // of the product
}

func sizeOf(c allCommand) size {
	s := size{
		rounds: 3, warm: 200 * time.Millisecond, round: time.Second, least: 200,
		buys: 20, orders: 1000, scales: []int{1000, 10_000, 100_000}, leavers: 100_000, starts: 3,
	}
	if c.Tiny {
		s = size{rounds: 1, warm: 10 * time.Millisecond, round: 200 * time.Millisecond, least: 20, buys: 1, orders: 20, scales: []int{100, 200}, leavers: 200, starts: 1}
	}
	return s
}

// bench measures in a world of its own.
type bench struct {
	size
	self      string // our own program, which is every target too
	sallyport string // the product's
	profiles  string // the directory for profiles of the targets; empty means none
	world     *sandbox.World
	telegram  *stub
	product   *process.Process // nil until it is needed
	report    *report
	databases int
}

// template is the migrated database that others are copies of.
const template = "bench"

func newBench(ctx context.Context, c allCommand) (b *bench, err error) {
	b = &bench{size: sizeOf(c), sallyport: c.Sallyport, profiles: c.Profile, report: newReport()}
	defer func() { //nolint:contextcheck // ctx may have ended
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.self, err = os.Executable(); err != nil {
		return b, fmt.Errorf("find our own program: %w", err)
	}
	if b.sallyport == "" {
		b.sallyport = filepath.Join(filepath.Dir(b.self), "sallyport")
	}
	if b.world, err = sandbox.Start(ctx, sandbox.Config{Sync: true, NoProduct: true}); err != nil {
		return b, err
	}
	if b.telegram, err = newStub(ctx); err != nil {
		return b, err
	}
	if err = b.world.Postgres.CreateDatabase(ctx, template, ""); err != nil {
		return b, err
	}
	pool, err := migrations.Open(ctx, b.world.Postgres.URL(template))
	if err != nil {
		return b, fmt.Errorf("migrate: %w", err)
	}
	defer pool.Close()
	_, err = migrations.Up(ctx, pool)
	return b, err
}

func (b *bench) close() error {
	var problems []error
	if b.product != nil {
		problems = append(problems, b.product.Stop(context.Background()))
	}
	if b.telegram != nil {
		problems = append(problems, b.telegram.close())
	}
	if b.world != nil {
		problems = append(problems, b.world.Stop())
	}
	return errors.Join(problems...)
}

// database makes a fresh, migrated database and returns its address.
func (b *bench) database(ctx context.Context) (string, error) {
	b.databases++
	name := fmt.Sprintf("bench_%d", b.databases)
	if err := b.world.Postgres.CreateDatabase(ctx, name, template); err != nil {
		return "", err
	}
	return b.world.Postgres.URL(name), nil
}

// drop removes the database that was made last.
func (b *bench) drop(ctx context.Context) error {
	return b.world.Postgres.DropDatabase(ctx, fmt.Sprintf("bench_%d", b.databases))
}

// on has a fresh target in a process of its own measured, with a fresh database: what
// it leaves behind must not slow the next.
func (b *bench) on(ctx context.Context, r role, measure func(addr string) error) error {
	database, err := b.database(ctx)
	if err != nil {
		return err
	}
	port, err := process.FreePort()
	if err != nil {
		return err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	said := &process.Tail{}
	target, err := process.Start(process.Config{
		Path: b.self,
		Args: []string{
			"target", "--role", string(r), "--listen", addr, "--database", database, "--telegram", b.telegram.url,
			"--profile", b.profileOf(r),
		},
		Output: said,
	})
	if err != nil {
		return err
	}
	defer target.Kill()
	err = until(ctx, func() error { return listens(ctx, addr) })
	if err == nil {
		err = measure(addr)
	}
	if err != nil {
		return fmt.Errorf("target %s: %w\n%s", r, err, said)
	}
	if b.profiles == "" {
		target.Kill() // whatever it still had to do
	} else if err := target.Stop(ctx); err != nil {
		return err
	}
	return b.drop(ctx)
}

// listens returns nil if somebody does.
func listens(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	conn.Close()
	return nil
}

// profileOf names the file for the profile of the target that is about to start.
func (b *bench) profileOf(r role) string {
	if b.profiles == "" {
		return ""
	}
	return filepath.Join(b.profiles, fmt.Sprintf("%d-%s.pprof", b.databases, r))
}

// awaitLimit bounds what is waited for.
const awaitLimit = time.Minute

// until tries again and again, until it succeeds.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", err)
		}
	}
}

// sql runs statements on a database.
func sql(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // what matters is committed
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
	return nil
}

// median returns the middle one of some values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
