package store

import (
	"context"
	"errors"
	"time"

	"sallyport/shop"
)

// cleanBatch is how many rows one statement of the clean-up removes, at most.
const cleanBatch = 1000

// clean is one part of the clean-up: a statement that is given how long rows are kept and
// how many it may take, and does away with the oldest whose time is over. Its command tag
// counts those it took. It finds them by an index that holds no row which stays.
type clean struct {
	op   string
	keep time.Duration
	sql  string
}

func cleans(keep shop.Retention) []clean {
	return []clean{
		{"remove handled updates", keep.Handled, `
			DELETE FROM inbox WHERE update_id IN (
				SELECT update_id FROM inbox WHERE state IN ('done', 'stale') AND received_at < now() - $1::interval
				ORDER BY received_at LIMIT $2)`},
		{"renumber dead updates", keep.Handled, `
			UPDATE inbox SET update_id = -arrival WHERE update_id IN (
				SELECT update_id FROM inbox WHERE state = 'dead' AND update_id > 0 AND received_at < now() - $1::interval
				ORDER BY received_at LIMIT $2)`},
		{"remove reviewed updates", keep.Reviewed, `
			DELETE FROM inbox WHERE update_id IN (
				SELECT update_id FROM inbox WHERE state = 'dead' AND reviewed_at < now() - $1::interval
				ORDER BY reviewed_at LIMIT $2)`},
		{"remove dead updates", keep.Unreviewed, `
			DELETE FROM inbox WHERE update_id IN (
				SELECT update_id FROM inbox WHERE state = 'dead' AND reviewed_at IS NULL AND received_at < now() - $1::interval
				ORDER BY received_at LIMIT $2)`},
		{"remove reviewed letters", keep.Reviewed, `
			DELETE FROM dead_letters WHERE id IN (
				SELECT id FROM dead_letters WHERE reviewed_at < now() - $1::interval ORDER BY reviewed_at LIMIT $2)`},
		{"remove dead letters", keep.Unreviewed, `
			DELETE FROM dead_letters WHERE id IN (
				SELECT id FROM dead_letters WHERE reviewed_at IS NULL AND received_at < now() - $1::interval
				ORDER BY received_at LIMIT $2)`},
		{"empty settled payments", keep.Evidence, `
			UPDATE payment_events SET raw = '' WHERE id IN (
				SELECT id FROM payment_events WHERE outcome = 'settled' AND raw <> '' AND received_at < now() - $1::interval
				ORDER BY received_at LIMIT $2)`},
		{"empty reviewed payments", keep.Evidence, `
			UPDATE payment_events SET raw = '' WHERE id IN (
				SELECT id FROM payment_events WHERE outcome = 'flagged' AND raw <> '' AND reviewed_at < now() - $1::interval
				ORDER BY reviewed_at LIMIT $2)`},
		{"remove unpaid orders", keep.Unpaid, `
			WITH due AS (
				SELECT id FROM orders
				WHERE status IN ('expired', 'cancelled') AND created_at < now() - $1::interval
					AND NOT EXISTS (SELECT FROM payment_events WHERE order_id = orders.id)
				ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
			), demands AS (
				DELETE FROM invoices WHERE order_id IN (SELECT id FROM due)
			)
			DELETE FROM orders WHERE id IN (SELECT id FROM due)`},
		{"remove silent customers", keep.Silent, `
			WITH due AS (
				SELECT id FROM users WHERE looked_at < now() - $1::interval
				ORDER BY looked_at LIMIT $2 FOR UPDATE SKIP LOCKED
			), kept AS (
				UPDATE users SET looked_at = now() FROM due
				WHERE users.id = due.id AND (
					EXISTS (SELECT FROM orders WHERE user_id = users.id)
					OR EXISTS (SELECT FROM subscriptions WHERE user_id = users.id AND status <> 'new')
					OR EXISTS (SELECT FROM dialogs WHERE user_id = users.id AND updated_at >= now() - $1::interval))
				RETURNING users.id
			), silent AS (
				SELECT id FROM due EXCEPT SELECT id FROM kept
			), seen AS (
				DELETE FROM dialogs WHERE user_id IN (SELECT id FROM silent)
			), entitled AS (
				DELETE FROM subscriptions WHERE user_id IN (SELECT id FROM silent)
			), gone AS (
				DELETE FROM users WHERE id IN (SELECT id FROM silent)
			)
			SELECT FROM due`},
		{"drop old leases", time.Hour, `
			DELETE FROM lanes WHERE lane IN (
				SELECT lane FROM lanes WHERE leased_until NOT BETWEEN now() - $1::interval AND now() + $1::interval LIMIT $2)`},
		{"drop old pauses", 0, `
			DELETE FROM left_alone WHERE user_id IN (
				SELECT user_id FROM left_alone WHERE alone_until < now() - $1::interval LIMIT $2)`},
	}
}

// CleanUp does away with what was kept long enough, by the database's clock, a batch at a
// time. What goes wrong with one table keeps no other from its turn.
func (s *Store) CleanUp(ctx context.Context, keep shop.Retention) error {
	var failed error
	for _, c := range cleans(keep) {
		failed = errors.Join(failed, s.clean(ctx, c))
	}
	return failed
}

func (s *Store) clean(ctx context.Context, c clean) error {
	for {
		taken, err := s.exec(ctx, c.op, c.sql, c.keep, cleanBatch)
		if err != nil || taken < cleanBatch {
			return err
		}
	}
}
