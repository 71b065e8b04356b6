package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"sallyport/sandbox"
)

// subject is the shop in its world.
type subject struct {
	options options
	world   *sandbox.World
	db      *pgx.Conn // past the faults
	began   time.Time
	ends    []func() error
}

// start starts a world in which a pass for a day lasts as long as a day does.
func start(ctx context.Context, o options) (*subject, error) {
	s := &subject{options: o}
	config := sandbox.Config{
		Program: o.program, Env: o.environment(),
		ShortPeriod: max(passable, o.compress(dayPass)).Round(time.Second),
	}
	if o.log != "" {
		file, err := os.Create(o.log)
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		s.ends, config.ProductOutput = append(s.ends, file.Close), file
	}
	var err error
	if s.world, err = sandbox.Start(ctx, config); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.ends = append(s.ends, s.world.Stop)
	if s.db, err = connect(ctx, s.world.Ready().DatabaseDirectURL); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.ends = append(s.ends, func() error { return s.db.Close(context.WithoutCancel(ctx)) })
	return s, nil
}

func (s *subject) stop() error {
	var problems []error
	for _, end := range slices.Backward(s.ends) {
		problems = append(problems, end())
	}
	s.ends = nil
	return errors.Join(problems...)
}

// soak loads the shop for the length of the run while its world grows older, and
// returns what was seen.
func (s *subject) soak(ctx context.Context) (r record, err error) {
	c, err := newClock(ctx, s.options, s.world.Ready().DatabaseDirectURL)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.close(ctx)) }()
	look := &sampler{
		db: s.db, pid: s.world.Ready().ProductPID, pages: s.world.Ready().AppURL,
		client: &http.Client{Timeout: sampleLimit}, seen: make(map[string][]float64),
	}
	s.began = time.Now()
	people := &crowd{world: s.world, began: s.began}
	run, stop := context.WithTimeout(ctx, s.options.length)
	defer stop()
	g, run := errgroup.WithContext(run)
	g.Go(func() error { return c.run(run) })
	g.Go(func() error { people.run(run, ctx); return nil })
	g.Go(func() error { return look.run(run, max(fastestSample, s.options.length/samples)) })
	g.Go(func() (err error) { r.Troubles, err = s.trouble(run); return err })
	if err := g.Wait(); err != nil {
		return r, fmt.Errorf("%w; the shop said last:\n%s", err, s.world.ProductTail())
	}
	if ctx.Err() != nil {
		return r, fmt.Errorf("%w; wrong until then: %s", context.Cause(ctx), strings.Join(people.wrong, ", "))
	}
	return r, s.conclude(ctx, &r, people, look)
}

// conclude waits until nothing is owed and completes the record.
func (s *subject) conclude(ctx context.Context, r *record, people *crowd, look *sampler) (err error) {
	r.Length, r.Schedule = s.options.length, s.options.schedule
	r.Series = maps.Clone(look.seen)
	r.Series[replyHalf] = replySeries(people.replies, r.Length, 0.5)
	r.Series[replyMost] = replySeries(people.replies, r.Length, 0.99)
	r.Wrong, r.Presses = people.wrong, people.presses
	if s.world.Ready().ProductPID != look.pid {
		r.Wrong = append(r.Wrong, "the shop's process ended and was started again")
	}
	lost, err := s.books(ctx)
	if err != nil {
		return err
	}
	r.Wrong = append(r.Wrong, lost...)
	if r.Removed, err = s.removed(ctx); err != nil {
		return err
	}
	r.Rows = make(map[string]int)
	for _, table := range slices.Sorted(maps.Keys(grows())) {
		if r.Rows[table], err = s.count(ctx, `SELECT count(*) FROM `+pgx.Identifier{table}.Sanitize()); err != nil {
			return err
		}
	}
	r.Orders, r.People = r.Rows["orders"], r.Rows["users"]
	return nil
}

// removed counts what the shop has ended or removed because its time was over. What the
// run was too short for is left out.
func (s *subject) removed(ctx context.Context) (map[string]int, error) {
	found := make(map[string]int)
	for _, one := range []struct {
		what  string
		keeps time.Duration // of the schedule
		slack time.Duration // of the run, until it is looked at
		query string
	}{
		{"updates removed after 72 hours", keeps("inbox"), 0, deleted("inbox")},
		{"jobs removed after 6 hours", keeps("river_job"), cleanerEvery, deleted("river_job")},
		{"orders closed after 30 minutes", keeps("orders"), payable, `SELECT count(*) FROM orders WHERE status = 'expired'`},
		{"customers whose access has ended", dayPass, passable, `SELECT count(*) FROM subscriptions WHERE status = 'expired'`},
	} {
		if s.options.compress(one.keeps)+one.slack+removedSlack > s.options.length {
			continue
		}
		n, err := s.count(ctx, one.query)
		if err != nil {
			return nil, err
		}
		found[one.what] = n
	}
	return found, nil
}

const (
	// cleanerEvery is how often the queue removes old jobs; no setting says so.
	cleanerEvery = 30 * time.Second
	removedSlack = 5 * time.Second
)

func deleted(table string) string {
	return `SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = '` + table + `'`
}

// count asks the database for one number.
func (s *subject) count(ctx context.Context, query string, args ...any) (n int, err error) {
	if err := s.db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", strings.TrimSpace(query), err)
	}
	return n, nil
}
