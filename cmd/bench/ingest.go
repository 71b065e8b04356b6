package main

import (
	"context"
	"fmt"
)

const (
	// steadyRate is the rate of the open loop, in updates a second, steadyConns how
	// many connections it may use.
	steadyRate  = 1000
	steadyConns = 64
)

// figures are what the rounds of one measurement have found.
type figures struct {
	rate, p50, p99 []float64
	refused        float64 // in all rounds
}

func (f *figures) add(o outcome) {
	f.rate = append(f.rate, o.rate)
	f.p50 = append(f.p50, o.at(0.5))
	f.p99 = append(f.p99, o.at(0.99))
	f.refused += o.refused
}

// usualDisk measures durable ingest on this machine's own disk.
func (b *bench) usualDisk(ctx context.Context) error {
	roles := []role{bare, plain, stored, ignored, live}
	for _, conns := range []int{64, 100} {
		if err := b.saturated(ctx, "", conns, roles); err != nil {
			return err
		}
	}
	return b.steady(ctx, "", roles)
}

// slowDisk measures the same where each commit takes two milliseconds more.
func (b *bench) slowDisk(ctx context.Context) error {
	server := b.world.Postgres.URL("postgres")
	if err := sql(ctx, server, `ALTER SYSTEM SET commit_delay = 2000`, `ALTER SYSTEM SET commit_siblings = 0`, `SELECT pg_reload_conf()`); err != nil {
		return err
	}
	roles := []role{plain, stored, ignored, live}
	if err := b.saturated(ctx, ", slow disk", 64, roles); err != nil {
		return err
	}
	if err := b.steady(ctx, ", slow disk", roles); err != nil {
		return err
	}
	return sql(ctx, server, `ALTER SYSTEM RESET commit_delay`, `ALTER SYSTEM RESET commit_siblings`, `SELECT pg_reload_conf()`)
}

// each measures all roles in turn, so that what disturbs a round disturbs them alike.
func (b *bench) each(ctx context.Context, roles []role, measure func(addr string) (outcome, error)) (map[role]*figures, error) {
	found := make(map[role]*figures)
	for range b.rounds {
		for _, r := range roles {
			if found[r] == nil {
				found[r] = new(figures)
			}
			err := b.on(ctx, r, func(addr string) error {
				o, err := measure(addr)
				found[r].add(o)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// saturated sends as fast as the target answers.
func (b *bench) saturated(ctx context.Context, where string, conns int, roles []role) error {
	found, err := b.each(ctx, roles, func(addr string) (outcome, error) {
		l := &load{addr: addr, conns: conns, warm: b.warm, lasts: b.round, least: b.least, requests: presses}
		return l.closed(ctx)
	})
	if err != nil {
		return err
	}
	title := fmt.Sprintf("durable ingest, %d connections%s", conns, where)
	t := table{Title: title, Columns: []string{"updates/s", "p50 ms", "p99 ms", "x plain", "x bare", "refused"}}
	ratio := func(r, limit role) float64 {
		if found[limit] == nil {
			return none
		}
		return over(median(found[r].rate), median(found[limit].rate))
	}
	for _, r := range roles {
		f := found[r]
		t.Rows = append(t.Rows, row{string(r), []float64{median(f.rate), median(f.p50), median(f.p99), ratio(r, plain), ratio(r, bare), f.refused}})
	}
	b.report.add(t)
	b.report.atLeast(title+": ignored x plain", ratio(ignored, plain), 1.5)
	if where == "" {
		b.report.atLeast(title+": ignored x bare", ratio(ignored, bare), 0.4)
	}
	b.report.atLeast(title+": live x plain", ratio(live, plain), 0.5)
	return nil
}

// steady sends at a rate that is nobody's limit.
func (b *bench) steady(ctx context.Context, where string, roles []role) error {
	found, err := b.each(ctx, roles, func(addr string) (outcome, error) {
		l := &load{addr: addr, conns: steadyConns, warm: b.warm, lasts: b.round, requests: presses}
		return l.open(ctx, steadyRate)
	})
	if err != nil {
		return err
	}
	title := fmt.Sprintf("durable ingest, %d/s%s", steadyRate, where)
	t := table{Title: title, Columns: []string{"updates/s", "p50 ms", "p99 ms", "p99 x plain", "refused"}}
	limit := median(found[plain].p99)
	for _, r := range roles {
		f := found[r]
		t.Rows = append(t.Rows, row{string(r), []float64{median(f.rate), median(f.p50), median(f.p99), over(median(f.p99), limit), f.refused}})
	}
	b.report.add(t)
	for _, r := range []role{ignored, live} {
		b.report.atMost(fmt.Sprintf("%s: p99, %s x plain", title, r), over(median(found[r].p99), limit), 1.5)
	}
	return nil
}
