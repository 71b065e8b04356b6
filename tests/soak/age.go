package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"sallyport/shop"
	"sallyport/store"
)

// Periods of the shop's schedule. Those that are settings are set; the rest is constant
// in the shop, and told here.
const (
	expireEvery = 2 * time.Second
	checkEvery  = 2 * time.Second
	pollEvery   = 15 * time.Second
	sweepEvery  = 10 * time.Minute
	cleanEvery  = 10 * time.Minute
	// dayPass is how long the plan lasts that customers buy.
	dayPass = 24 * time.Hour
	// passable is how long it lasts at least: beyond the longest fault of a short run,
	// so that the key still comes before the end.
	passable = 8 * time.Second
	// fastest is the shortest period set: any shorter and the run would measure the
	// queue of jobs.
	fastest = 500 * time.Millisecond
	// payable is how long an order stays open at least, so that somebody can pay it.
	payable = 5 * time.Second
	ageStep = time.Second
)

// ageing is a time for which the shop keeps something: rows that are as old as that by
// the schedule are given the age that they have by it. Nothing else of them changes, and
// each row is touched once, so that the tables are hardly disturbed.
type ageing struct {
	table string
	keeps time.Duration
	// least is how long it is kept in any case.
	least time.Duration
	// query makes older, by $1, what is older than $2 and has not been made older yet:
	// it is younger than $3.
	query string
}

// ageings are all that the shop keeps for a time. What is under way does not age: an
// update that waits, or a job, takes as long as it takes.
func ageings() []ageing {
	return []ageing{
		{table: "inbox", keeps: 72 * time.Hour, query: `
			UPDATE inbox SET received_at = received_at - $1::interval, closed_at = closed_at - $1::interval
			WHERE state IN ('done', 'stale') AND received_at < now() - $2::interval AND received_at > now() - $3::interval`},
		{table: "river_job", keeps: 6 * time.Hour, query: `
			UPDATE river_job SET finalized_at = finalized_at - $1::interval, created_at = created_at - $1::interval
			WHERE state IN ('completed', 'cancelled') AND finalized_at < now() - $2::interval AND finalized_at > now() - $3::interval`},
		{table: "lanes", keeps: time.Hour, query: `
			UPDATE lanes SET leased_until = leased_until - $1::interval
			WHERE leased_until < now() - $2::interval AND leased_until > now() - $3::interval`},
		{table: "orders", keeps: shop.OrderLifetime, least: payable, query: `
			UPDATE orders SET created_at = created_at - $1::interval, expires_at = expires_at - $1::interval
			WHERE status = 'open' AND created_at < now() - $2::interval AND created_at > now() - $3::interval`},
		{table: "invoices", keeps: shop.OrderLifetime + 5*time.Minute, least: payable, query: `
			UPDATE invoices SET requested_at = requested_at - $1::interval
			WHERE requested_at < now() - $2::interval AND requested_at > now() - $3::interval`},
	}
}

// keeps returns for how long a table that must not grow keeps its rows.
func keeps(table string) time.Duration {
	for _, a := range ageings() {
		if a.table == table {
			return a.keeps
		}
	}
	return 0
}

// environment are the shop's settings: its schedule, compressed.
func (o options) environment() []string {
	set := func(name string, every time.Duration) string {
		return fmt.Sprintf("%s=%s", name, max(fastest, o.compress(every)).Round(time.Millisecond))
	}
	return []string{
		set("EXPIRE_EVERY", expireEvery), set("CHECK_NODES_EVERY", checkEvery),
		set("POLL_INVOICES_EVERY", pollEvery), set("SWEEP_PAYMENTS_EVERY", sweepEvery), "LOG_LEVEL=warn",
	}
}

// clock makes the world older while the run goes on.
type clock struct {
	options options
	db      *pgx.Conn
	queue   *river.Client[pgx.Tx] // stores jobs, works none
}

func newClock(ctx context.Context, o options, database string) (*clock, error) {
	db, err := connect(ctx, database)
	if err != nil {
		return nil, err
	}
	queue, err := river.NewClient(riverpgxv5.New(nil), &river.Config{})
	if err != nil {
		_ = db.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("queue: %w", err)
	}
	return &clock{options: o, db: db, queue: queue}, nil
}

// run ages the world until ctx ends.
func (c *clock) run(ctx context.Context) error {
	tick := time.NewTicker(min(ageStep, c.options.length/100))
	defer tick.Stop()
	var cleaned time.Time
	for {
		select {
		case now := <-tick.C:
			if err := c.step(context.WithoutCancel(ctx)); err != nil {
				return err
			}
			if now.Sub(cleaned) < max(fastest, c.options.compress(cleanEvery)) {
				continue
			}
			cleaned = now
			if err := c.clean(context.WithoutCancel(ctx)); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// step gives rows the age that they have by the schedule.
func (c *clock) step(ctx context.Context) error {
	for _, a := range ageings() {
		reached := max(a.least, c.options.compress(a.keeps))
		if reached >= a.keeps { // time is not compressed as much
			continue
		}
		by := a.keeps - reached
		if _, err := c.db.Exec(ctx, a.query, by, reached, by); err != nil {
			return fmt.Errorf("age %s: %w", a.table, err)
		}
	}
	return nil
}

// clean stores the job that removes what is old, as the shop's own schedule does: how
// often that is, is no setting.
func (c *clock) clean(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, c.db, func(tx pgx.Tx) error {
		_, err := c.queue.InsertTx(ctx, tx, shop.CleanUp{}, store.JobOpts(shop.CleanUp{}))
		return err //nolint:wrapcheck // below
	})
	if err != nil {
		return fmt.Errorf("store clean_up: %w", err)
	}
	return nil
}

func (c *clock) close(ctx context.Context) error {
	return c.db.Close(context.WithoutCancel(ctx)) //nolint:wrapcheck // nothing to add
}
