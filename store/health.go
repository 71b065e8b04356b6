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
	OldestUpdate    time.Duration // of the waiting ones that their own customer's chat does not hold up
	DeadUpdates     int           // that no operator has looked at, like the letters and payments below
	DeadLetters     int
	FlaggedPayments int
	Unsettled       int                   // payments that a fault of ours keeps from being settled
	RefusedInvoices map[shop.Provider]int // open orders whose invoice the provider does not make
	OpenOrders      int
	Undelivered     int                      // orders that are paid and not delivered
	Undelivering    time.Duration            // since the oldest of them was paid
	Jobs            map[string]JobVitals     // by kind
	IdleJobs        []string                 // kinds of periodic jobs that have not succeeded for too long
	NodeAges        map[string]time.Duration // since the last check of a node that ended well
	HeldEnds        int                      // that wait for an operator
	ClockAhead      time.Duration            // of the process whose clock is farthest from the database's; negative: behind
	ClockOf         string                   // that process
	Backup          BackupVitals
	Silence         SilenceVitals
}

// SilenceVitals says for how long no update has come, and what is usual. All are whole
// hours.
type SilenceVitals struct {
	Lasts int // in which Telegram could deliver, one after the other, and no update came
	Heard int // of the week up to the last update, with an update in them
	Usual int // the longest time from one of them to the next
}

// BackupVitals says how the backups of the database go.
type BackupVitals struct {
	Expected bool          // they are made here
	Age      time.Duration // since the last that succeeded, or since they are expected
	Failure  string        // why the last one failed; empty if it did not
}

// JobVitals are the numbers of one kind of job.
type JobVitals struct {
	Waiting int           // to be tried, or to end
	Oldest  time.Duration // of the waiting ones that their own customer's chat does not hold up
	Dead    int           // given up within the last day
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
	var batch pgx.Batch
	v.queueCounts(&batch)
	v.queueRefusals(&batch)
	v.queueJobs(&batch)
	v.queuePeriodic(&batch)
	v.queueClocks(&batch)
	v.queueBackup(&batch)
	v.queueSilence(&batch)
	err = p.with(ctx, func(conn *pgx.Conn) error { return conn.SendBatch(ctx, &batch).Close() })
	return v, err
}

// withAlone names the customers for whom messages wait for the sake of their own chat:
// nobody else is kept waiting, so these are not late. When they are more than a few it is
// no matter of theirs.
const withAlone = `
		WITH paused AS (SELECT user_id FROM left_alone WHERE alone_until > now() LIMIT 11),
			alone AS (SELECT user_id FROM paused WHERE (SELECT count(*) FROM paused) <= 10)`

func (v *Vitals) queueCounts(batch *pgx.Batch) {
	batch.Queue(withAlone + `
		SELECT
			(SELECT count(*) FROM inbox WHERE state = 'waiting'),
			(SELECT coalesce(now() - min(received_at), '0') FROM inbox
				WHERE state = 'waiting' AND (kind = 'payment' OR lane NOT IN (SELECT user_id FROM alone))),
			(SELECT count(*) FROM inbox WHERE state = 'dead' AND reviewed_at IS NULL),
			(SELECT count(*) FROM dead_letters WHERE reviewed_at IS NULL),
			(SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reviewed_at IS NULL AND reason <> 'unsettled'),
			(SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reviewed_at IS NULL AND reason = 'unsettled'),
			(SELECT count(*) FROM orders WHERE status = 'open'),
			(SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NULL),
			(SELECT coalesce(now() - min(paid_at), '0') FROM orders WHERE status = 'paid' AND delivered_at IS NULL)`).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&v.WaitingUpdates, &v.OldestUpdate, &v.DeadUpdates, &v.DeadLetters, &v.FlaggedPayments, &v.Unsettled,
				&v.OpenOrders, &v.Undelivered, &v.Undelivering)
		})
}

// queueRefusals reads which open orders cannot be paid for want of an invoice.
func (v *Vitals) queueRefusals(batch *pgx.Batch) {
	v.RefusedInvoices = make(map[shop.Provider]int)
	batch.Queue(`
		SELECT i.provider, count(*) FROM invoices i JOIN orders o ON o.id = i.order_id
		WHERE i.refusals > 1 AND i.external_id IS NULL AND i.requested_at > now() - interval '1 hour'
			AND o.status = 'open' AND o.provider = i.provider
		GROUP BY i.provider`).
		Query(func(rows pgx.Rows) error {
			var provider shop.Provider
			var n int
			_, err := pgx.ForEachRow(rows, []any{&provider, &n}, func() error {
				v.RefusedInvoices[provider] = n
				return nil
			})
			return err
		})
}

// queueJobs reads what is owed. A customer's job that is tried right now is owed, too,
// lest one that hangs look done; a periodic job has only one try, and may take long.
func (v *Vitals) queueJobs(batch *pgx.Batch) {
	v.Jobs = make(map[string]JobVitals)
	batch.Queue(withAlone + `
		SELECT kind, count(*) FILTER (WHERE state <> 'discarded'),
			coalesce(now() - min(created_at) FILTER (WHERE state <> 'discarded'
				AND NOT (kind = 'notify' AND (args ->> 'user_id')::bigint IN (SELECT user_id FROM alone))), '0'),
			count(*) FILTER (WHERE state = 'discarded')
		FROM river_job
		WHERE state IN ('available', 'retryable', 'scheduled') OR (state = 'running' AND max_attempts > 1)
			OR (state = 'discarded' AND finalized_at > now() - interval '1 day')
		GROUP BY kind`).
		Query(func(rows pgx.Rows) error {
			var kind string
			var job JobVitals
			_, err := pgx.ForEachRow(rows, []any{&kind, &job.Waiting, &job.Oldest, &job.Dead}, func() error {
				v.Jobs[kind] = job
				return nil
			})
			return err
		})
}

// queuePeriodic reads what should happen again and again, and for how long it has not.
// Kinds that never succeeded are judged by their oldest try.
func (v *Vitals) queuePeriodic(batch *pgx.Batch) {
	var kinds []string
	var limits []time.Duration
	for _, j := range shop.Jobs() {
		if idle := j.Policy().Idle; idle > 0 {
			kinds, limits = append(kinds, j.Kind()), append(limits, idle)
		}
	}
	batch.Queue(`
		SELECT limits.kind FROM unnest($1::text[], $2::interval[]) AS limits (kind, most)
		JOIN river_job USING (kind)
		WHERE NOT args ? 'provider' -- what somebody asked for is not by schedule
		GROUP BY limits.kind, limits.most
		HAVING coalesce(max(finalized_at) FILTER (WHERE state = 'completed'), min(created_at)) < now() - limits.most
		ORDER BY 1`, kinds, limits).
		Query(func(rows pgx.Rows) (err error) {
			v.IdleJobs, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	v.NodeAges = make(map[string]time.Duration)
	batch.Queue(`SELECT name, greatest(now() - checked_at, now() - failing_since) FROM nodes`).
		Query(func(rows pgx.Rows) error {
			var name string
			var age time.Duration
			_, err := pgx.ForEachRow(rows, []any{&name, &age}, func() error {
				v.NodeAges[name] = age
				return nil
			})
			return err
		})
}

// queueClocks reads what is held for fear of a wrong clock, and whose clock is wrong. A
// process that is alive no more is not asked.
func (v *Vitals) queueClocks(batch *pgx.Batch) {
	batch.Queue(`SELECT held FROM ends`).QueryRow(func(row pgx.Row) error { return row.Scan(&v.HeldEnds) })
	batch.Queue(`
		SELECT holder, clock_ahead FROM processes WHERE seen_at > now() - $1::interval
		ORDER BY greatest(clock_ahead, -clock_ahead) DESC, holder LIMIT 1`, farthest).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&v.ClockOf, &v.ClockAhead}, func() error { return nil })
			return err
		})
}

// queueBackup reads what the script that makes backups has told.
func (v *Vitals) queueBackup(batch *pgx.Batch) {
	batch.Queue(`SELECT now() - coalesce(succeeded_at, since), reason FROM backups`).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&v.Backup.Age, &v.Backup.Failure}, func() error {
				v.Backup.Expected = true
				return nil
			})
			return err
		})
}

// queueSilence reads for how long no update has come, of the few hours that are remembered.
// Those in which Telegram could not deliver are no silence.
func (v *Vitals) queueSilence(batch *pgx.Batch) {
	batch.Queue(`
		WITH past AS (
			SELECT hour, heard FROM listened WHERE hour < floor(extract(epoch FROM now()) / 3600)
				OR heard AND hour = floor(extract(epoch FROM now()) / 3600)
		), last AS (
			SELECT max(hour) AS hour FROM past WHERE heard
		), busy AS (
			SELECT past.hour - lag(past.hour, 1, last.hour - $1) OVER (ORDER BY past.hour) AS after
			FROM past, last WHERE heard AND past.hour > last.hour - $1
		), silent AS (
			SELECT past.hour, past.hour - row_number() OVER (ORDER BY past.hour) AS run FROM past, last WHERE past.hour > last.hour
		)
		SELECT (SELECT count(*) FROM silent WHERE run = (SELECT run FROM silent ORDER BY hour DESC LIMIT 1)),
			count(*), coalesce(max(after), 0) FROM busy`, usualHours).
		QueryRow(func(row pgx.Row) error { return row.Scan(&v.Silence.Lasts, &v.Silence.Heard, &v.Silence.Usual) })
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
