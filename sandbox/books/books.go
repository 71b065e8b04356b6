// Package books compares what the shop wrote down with what really happened
// outside: the paid invoices, the charges of Stars, the updates that Telegram was
// rid of, whom the VPN server lets in, and what customers have in their chats.
package books

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/sandbox"
	"sallyport/shop"
)

// Books are those of one world.
type Books struct {
	// DB asks the shop's database past all faults.
	DB *pgxpool.Pool
	// Slack is by how much the end of a subscription may differ from the rule: a
	// second unless clocks were wrong.
	Slack time.Duration
	// Early is how long before its end access may have ended: as far as all clocks
	// together were ahead.
	Early time.Duration
	// Stale says that updates may be stale: they waited long, or clocks were wrong.
	Stale bool
	// Flagged are the payments, by the provider's id, that may be flagged.
	Flagged map[string]bool
	// Before says that the program before was here, which books the price of a sale and not
	// what was paid.
	Before bool

	world *sandbox.World
}

const (
	settleEvery = 50 * time.Millisecond
	connections = 4
)

// Open opens the books of a world. Close closes them.
func Open(ctx context.Context, w *sandbox.World) (*Books, error) {
	config, err := pgxpool.ParseConfig(w.Ready().DatabaseDirectURL)
	if err != nil {
		return nil, fmt.Errorf("books: %w", err)
	}
	config.MaxConns = connections
	config.ConnConfig.RuntimeParams["application_name"] = Name
	db, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("books: %w", err)
	}
	return &Books{DB: db, Slack: time.Second, world: w}, nil
}

// Name is how the books' own connections are named in the database.
const Name = "books"

// Close closes the books.
func (b *Books) Close() { b.DB.Close() }

// Count runs a query for one number.
func (b *Books) Count(ctx context.Context, query string, args ...any) (n int, err error) {
	if err := b.DB.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%w in %s", err, query)
	}
	return n, nil
}

// Lines runs a query for a list of texts.
func (b *Books) Lines(ctx context.Context, query string, args ...any) ([]string, error) {
	return collect(ctx, b, pgx.RowTo[string], query, args...)
}

// rows runs a query for a list.
func rows[T any](ctx context.Context, b *Books, query string, args ...any) ([]T, error) {
	return collect(ctx, b, pgx.RowToStructByPos[T], query, args...)
}

func collect[T any](ctx context.Context, b *Books, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	found, err := b.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, query)
	}
	list, err := pgx.CollectRows(found, scan)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, query)
	}
	return list, nil
}

// Owed says what is still under way, nil if nothing is.
func (b *Books) Owed(ctx context.Context) error {
	if n := b.world.Telegram.Pending(); n > 0 {
		return fmt.Errorf("%d updates at Telegram", n)
	}
	if n := b.world.CryptoPay.Pending(); n > 0 {
		return fmt.Errorf("%d callbacks at Crypto Pay", n)
	}
	return b.none(ctx, []rule{
		{"updates in the inbox", `SELECT count(*) FROM inbox WHERE state = 'waiting'`},
		{"undelivered orders", `SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NULL`},
		{"jobs", `SELECT count(*) FROM river_job
			WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND finalized_at IS NULL`},
		{"comparisons of nodes that missed a change", `SELECT count(*) FROM nodes WHERE owed`},
	})
}

// Settle waits until nothing is owed.
func (b *Books) Settle(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		err := b.Owed(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still owed: %w", err)
		}
	}
}

// rule is something of which there must be none.
type rule struct{ what, query string }

// none checks rules and returns what breaks them.
func (b *Books) none(ctx context.Context, rules []rule) error {
	var problems []error
	for _, r := range rules {
		switch n, err := b.Count(ctx, r.query); {
		case err != nil:
			return err
		case n != 0:
			problems = append(problems, fmt.Errorf("%d %s", n, r.what))
		}
	}
	return errors.Join(problems...)
}

// Check compares everything. Nothing may be under way.
func (b *Books) Check(ctx context.Context) error {
	return errors.Join(
		b.CheckInvoices(ctx), b.CheckStars(ctx), b.CheckFlagged(ctx), b.CheckLedger(ctx), b.CheckPeriods(ctx),
		b.CheckNode(ctx), b.CheckKeys(ctx), b.CheckInbox(ctx), b.CheckJobs(ctx), b.CheckManners(),
	)
}

// CheckLedger checks that the ledger balances and holds what was sold, once.
func (b *Books) CheckLedger(ctx context.Context) error {
	return b.none(ctx, []rule{
		{"currencies of a posting do not sum to zero", `
			SELECT count(*) FROM (SELECT FROM ledger_entries GROUP BY posting_id, currency HAVING sum(minor) <> 0) unbalanced`},
		{"paid orders have not exactly one posting", `
			SELECT count(*) FROM orders o
			WHERE status = 'paid' AND (SELECT count(*) FROM ledger_postings p WHERE p.order_id = o.id) <> 1`},
		{"postings are of no paid order", `
			SELECT count(*) FROM ledger_postings p WHERE reference IS NULL AND NOT EXISTS (SELECT FROM orders o WHERE o.id = p.order_id AND status = 'paid')`},
		{"currencies in which what was sold and what was earned differ", `
			SELECT count(*) FROM (
				SELECT currency FROM (
					SELECT currency, price_minor AS minor FROM orders WHERE status = 'paid'
					UNION ALL
					SELECT currency, minor FROM ledger_entries WHERE account = 'sales'
				) both_sides GROUP BY currency HAVING sum(minor) <> 0
			) differ`},
	})
}

// CheckJobs checks that no job was given up. That of an invoice is dropped when its order
// ends first.
func (b *Books) CheckJobs(ctx context.Context) error {
	lost, err := b.Lines(ctx, `
		SELECT 'job ' || id || ', ' || kind || ' of ' || args || ', is ' || state || coalesce(', ' || errors[cardinality(errors)]::text, '')
		FROM river_job j WHERE kind IN ('converge_user', 'converge_users', 'notify', 'open_invoice') AND state <> 'completed'
			AND NOT (kind = 'open_invoice' AND state = 'cancelled'
				AND EXISTS (SELECT FROM orders o WHERE o.id::text = j.args ->> 'order_id' AND o.status <> 'open'))`)
	problems := []error{err}
	for _, line := range lost {
		problems = append(problems, errors.New(line))
	}
	return errors.Join(problems...)
}

// Stray is an update that was not handled as it should have been.
type Stray struct {
	Update, Lane int64
	Why          string
}

// Strays lists the updates that were not handled, or not in the order of their queue.
// Telegram delivers messages and payments in one queue of a chat, and each other kind in
// one of its own, the next update once the one before was taken: between queues there is
// no order. A payment may be handled before a message that must be tried again. What ended
// an update is told by the number of its transaction, which no clock
// moves.
func (b *Books) Strays(ctx context.Context) ([]Stray, error) {
	return rows[Stray](ctx, b, `
		SELECT update_id, lane, 'its state is ' || state FROM inbox WHERE state <> 'done' AND NOT ($1 AND state = 'stale')
		UNION ALL
		SELECT update_id, lane, 'it was handled out of order, or arrived so' FROM (
			SELECT update_id, lane, xmin::text::bigint < lag(xmin::text::bigint) OVER alike OR update_id < lag(update_id) OVER queue AS back
			FROM inbox WINDOW alike AS (PARTITION BY lane, kind ORDER BY arrival),
				queue AS (PARTITION BY lane, CASE kind WHEN $2 THEN 'message' ELSE kind END ORDER BY arrival)
		) steps WHERE back`, b.Stale, shop.KindPayment)
}

// CheckInbox checks that every update that Telegram was rid of was kept, and ended, in
// the order of its queue. The emulator counts updates one by one, so that a lost one is
// a gap; a question before a payment is answered, not kept.
func (b *Books) CheckInbox(ctx context.Context) error {
	lost, err := b.Count(ctx, `
		SELECT coalesce(max(update_id) - min(update_id) + 1 - count(*), 0)
		FROM (SELECT update_id FROM inbox UNION SELECT unnest($1::bigint[])) told`, b.world.Telegram.CheckoutUpdates())
	if err == nil && lost != 0 {
		err = fmt.Errorf("%d acknowledged updates are lost", lost)
	}
	strays, failed := b.Strays(ctx)
	problems := []error{err, failed}
	for _, s := range strays {
		problems = append(problems, fmt.Errorf("update %d of customer %d: %s", s.Update, s.Lane, s.Why))
	}
	return errors.Join(append(problems, b.none(ctx, []rule{
		{"deliveries were not understood", `SELECT count(*) FROM dead_letters`},
	}))...)
}

// CheckManners checks that the shop kept the Bot API's rules.
func (b *Books) CheckManners() error {
	var problems []error
	for _, broken := range b.world.Telegram.Violations() {
		problems = append(problems, fmt.Errorf("the product broke the Bot API's rules: %s", broken))
	}
	return errors.Join(problems...)
}
