package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/store"
	"sallyport/xray"
)

const (
	nodeName = "bench"
	// leavers is how many customers one job takes off the nodes.
	leavers = 100
	// looks is how often what changes nothing is measured; the median counts.
	looks = 9
	// firstSubscriber is the first of those who have a subscription.
	firstSubscriber = 4_000_000_001
)

// scale measures the workers' use cases over more and more subscriptions, by
// microseconds each.
func (b *bench) scale(ctx context.Context) error {
	t := table{Title: "workers, microseconds an item", Columns: []string{"idle tick ms", "diff", "fill", "expire", "remove"}}
	first, last := make([]float64, 0), make([]float64, 0)
	for _, n := range b.scales {
		values, err := b.scaled(ctx, n)
		if err != nil {
			return fmt.Errorf("%d subscriptions: %w", n, err)
		}
		t.Rows = append(t.Rows, row{fmt.Sprint(n), values})
		if len(first) == 0 {
			first = values
		}
		last = values
	}
	b.report.add(t)
	b.report.atMost("idle tick, ms", last[0], 5)
	for i := 1; i < len(t.Columns); i++ {
		b.report.atMost(fmt.Sprintf("%s, cost of an item at %d x at %d", t.Columns[i], b.scales[len(b.scales)-1], b.scales[0]), over(last[i], first[i]), 1.3)
	}
	return nil
}

// scaled measures with n subscriptions on an Xray that has just started.
func (b *bench) scaled(ctx context.Context, n int) ([]float64, error) {
	if err := b.world.Node.Restart(ctx); err != nil {
		return nil, err
	}
	database, err := b.subscribed(ctx, n)
	if err != nil {
		return nil, err
	}
	w, err := b.workers(ctx, database)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.measure(ctx, n)
}

// subscribed makes a database with n subscriptions.
func (b *bench) subscribed(ctx context.Context, n int) (string, error) {
	database, err := b.database(ctx)
	if err != nil {
		return "", err
	}
	return database, sql(ctx, database, fmt.Sprintf(`INSERT INTO users (id, language) SELECT %d + n, 'en' FROM generate_series(0, %d - 1) n`, firstSubscriber, n),
		`INSERT INTO subscriptions (user_id, plan, status, expires_at, updated_at)
		SELECT id, 'basic', 'active', now() + interval '1 day', now() - interval '1 day' FROM users`, `ANALYZE`)
}

// workers are the shop over one database and one node.
type workers struct {
	shop     *shop.Shop
	database string
	close    func()
}

func (b *bench) workers(ctx context.Context, database string) (*workers, error) {
	s, err := store.Open(ctx, store.Config{URL: database, Name: "work", MaxConns: 7})
	if err != nil {
		return nil, err
	}
	node, err := b.dial()
	if err != nil {
		s.Close()
		return nil, err
	}
	var catalogue atomic.Pointer[shop.Catalogue]
	catalogue.Store(&shop.Catalogue{})
	return &workers{
		shop:     shop.New(shop.Config{Store: s, Catalogue: &catalogue, Nodes: func() []shop.Node { return []shop.Node{node} }}),
		database: database,
		close:    func() { s.Close(); _ = node.Close() }, // nothing is under way
	}, nil
}

// dial returns the world's node.
func (b *bench) dial() (*xray.Node, error) {
	x := b.world.Ready().Xray
	return xray.Dial(xray.Config{
		Name: nodeName, Label: nodeName, API: x.APIDirect, Inbound: x.Inbound, Flow: x.Flow,
		Endpoint: xray.Endpoint{Host: x.Host, Port: x.Port, ServerName: x.ServerName, PublicKey: x.PublicKey, ShortID: x.ShortID, Fingerprint: "chrome"},
		Host:     outbound.New(outbound.Config{Name: nodeName, Timeout: 3 * time.Second, AtOnce: 16}),
	})
}

// measure returns the tick that finds nothing to do, then per item: a full comparison
// that finds nothing, filling an empty node, ending what has run out, and taking that
// off the node.
func (w *workers) measure(ctx context.Context, n int) ([]float64, error) {
	check := func(ctx context.Context) error { return w.shop.CheckNode(ctx, nodeName) }
	tick := func(ctx context.Context) error { return errors.Join(check(ctx), w.shop.Expire(ctx)) }
	fill, err := took(ctx, check)
	if err != nil {
		return nil, err
	}
	var ticks, diffs []float64
	for range looks {
		idle, errIdle := took(ctx, tick)
		errStale := sql(ctx, w.database, `UPDATE nodes SET synced_at = now() - interval '1 hour'`)
		diff, errDiff := took(ctx, check)
		if err := errors.Join(errIdle, errStale, errDiff); err != nil {
			return nil, err
		}
		ticks, diffs = append(ticks, ms(idle)), append(diffs, float64(diff.Microseconds())/float64(n))
	}
	if err := sql(ctx, w.database, `UPDATE subscriptions SET expires_at = now() - interval '1 second'`); err != nil {
		return nil, err
	}
	expire, err := took(ctx, w.shop.Expire)
	if err != nil {
		return nil, err
	}
	remove, err := took(ctx, func(ctx context.Context) error { return w.remove(ctx, n) })
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	return []float64{median(ticks), median(diffs), each(fill), each(expire), each(remove)}, err
}

// remove takes the customers off the node by as many at a time as one job does.
func (w *workers) remove(ctx context.Context, n int) error {
	for first := 0; first < n; first += leavers {
		ids := make([]shop.UserID, 0, leavers)
		for i := first; i < min(first+leavers, n); i++ {
			ids = append(ids, shop.UserID(firstSubscriber+i))
		}
		if err := w.shop.ConvergeAll(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// took returns how long something takes.
func took(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	began := time.Now()
	err := do(ctx)
	return time.Since(began), err
}
