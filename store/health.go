package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
)

// Prober looks at the database through a connection of its own, so that it tells
// the truth when every pool is used up.
type Prober struct {
	url string

	mu   sync.Mutex
	conn *pgx.Conn
}

// NewProber returns a Prober; it connects when first asked.
func NewProber(url string) *Prober { return &Prober{url: url} }

// Vitals are the numbers by which an operator sees whether work gets done.
type Vitals struct {
	WaitingUpdates  int
	OldestUpdate    time.Duration
	DeadUpdates     int // of the last day, like all below but the owed jobs
	DeadLetters     int
	OwedJobs        int
	OldestJob       time.Duration
	DeadJobs        int
	FlaggedPayments int
	IdleJobs        []string                 // kinds of periodic jobs that have not succeeded for too long
	NodeAges        map[string]time.Duration // since the last check that reached a node
}

// Ping returns nil if the database answers.
func (p *Prober) Ping(ctx context.Context) error {
	return p.with(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT 1`)
		return err
	})
}

// Vitals counts.
func (p *Prober) Vitals(ctx context.Context) (v Vitals, err error) {
	var update, job float64
	err = p.with(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT
				(SELECT count(*) FROM inbox WHERE state = 'waiting'),
				(SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8 FROM inbox WHERE state = 'waiting'),
				(SELECT count(*) FROM inbox WHERE state = 'dead' AND closed_at > now() - interval '1 day'),
				(SELECT count(*) FROM dead_letters WHERE received_at > now() - interval '1 day'),
				(SELECT count(*) FROM river_job WHERE state IN ('available', 'retryable', 'scheduled')),
				(SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
					FROM river_job WHERE state IN ('available', 'retryable', 'scheduled')),
				(SELECT count(*) FROM river_job WHERE state = 'discarded' AND finalized_at > now() - interval '1 day'),
				(SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND received_at > now() - interval '1 day')`).
			Scan(&v.WaitingUpdates, &update, &v.DeadUpdates, &v.DeadLetters, &v.OwedJobs, &job, &v.DeadJobs, &v.FlaggedPayments)
	})
	if err == nil {
		err = p.with(ctx, v.readPeriodic(ctx))
	}
	v.OldestUpdate = time.Duration(update * float64(time.Second))
	v.OldestJob = time.Duration(job * float64(time.Second))
	return v, err
}

// readPeriodic reads what should happen again and again, and for how long it has not.
// Kinds that never succeeded are judged by their oldest try.
func (v *Vitals) readPeriodic(ctx context.Context) func(*pgx.Conn) error {
	return func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT limits.kind FROM (VALUES ('expire_due', interval '1 minute'), ('poll_invoices', interval '3 minutes'),
				('sweep_payments', interval '30 minutes'), ('clean_up', interval '30 minutes')) AS limits (kind, most)
			JOIN river_job USING (kind)
			GROUP BY limits.kind, limits.most
			HAVING coalesce(max(finalized_at) FILTER (WHERE state = 'completed'), min(created_at)) < now() - limits.most
			ORDER BY 1`)
		if err != nil {
			return err
		}
		if v.IdleJobs, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		v.NodeAges = make(map[string]time.Duration)
		rows, err = conn.Query(ctx, `SELECT name, now() - checked_at FROM nodes`)
		if err != nil {
			return err
		}
		var name string
		var age time.Duration
		_, err = pgx.ForEachRow(rows, []any{&name, &age}, func() error {
			v.NodeAges[name] = age
			return nil
		})
		return err
	}
}

// with runs do with the connection, made anew if it was lost.
func (p *Prober) with(ctx context.Context, do func(*pgx.Conn) error) error {
	if !lock(ctx, &p.mu) {
		return shop.Unavailable(errors.New("no answer from the database"))
	}
	defer p.mu.Unlock()
	if p.conn == nil || p.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, p.url)
		if err != nil {
			return shop.Unavailable(fmt.Errorf("connect: %w", err))
		}
		p.conn = conn
	}
	if err := do(p.conn); err != nil {
		_ = p.conn.Close(context.WithoutCancel(ctx)) // the next look starts afresh
		return translate(err)
	}
	return nil
}

// lock takes mu, but does not wait for it beyond ctx.
func lock(ctx context.Context, mu *sync.Mutex) bool {
	for !mu.TryLock() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// Close closes the connection.
func (p *Prober) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.conn.Close(ctx) // the process ends
	}
}
