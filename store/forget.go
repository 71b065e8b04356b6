package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// Conditions: whether bytes, as Telegram sends them, name the customer $1.
const (
	aboutRaw  = `encode(raw, 'escape') ` + about
	aboutBody = `encode(body, 'escape') ` + about
	about     = `~ ('"id": ?' || $1::bigint || '[^0-9]')`
)

// forThem is a condition: whether a job is for the customer $1 alone.
const forThem = `(args ->> 'user_id' = $1::bigint::text OR args ->> 'order_id' IN (SELECT id::text FROM orders WHERE user_id = $1))`

// among is a condition: whether a job is for the customer $1 and others.
const among = `args -> 'user_ids' @> to_jsonb($1::bigint)`

// OpenMatters returns what keeps a customer from being forgotten.
func (s *Store) OpenMatters(ctx context.Context, id shop.UserID) (open shop.OpenMatters, err error) {
	err = s.use(ctx, "look for open matters", func(ctx context.Context, conn *pgxpool.Conn) error {
		open, err = openMatters(ctx, conn, id)
		return err
	})
	return open, err
}

func openMatters(ctx context.Context, q querier, id shop.UserID) (open shop.OpenMatters, err error) {
	err = q.QueryRow(ctx, `
		SELECT
			(SELECT count(*) FROM inbox WHERE lane = $1 AND state = 'waiting'),
			(SELECT count(*) FROM river_job WHERE state = 'running' AND (`+forThem+` OR `+among+`)),
			(SELECT count(*) FROM orders WHERE user_id = $1 AND status <> 'paid' AND (status = 'open' OR expires_at > now())),
			(SELECT count(*) FROM orders WHERE user_id = $1 AND status = 'paid' AND delivered_at IS NULL),
			(SELECT count(*) FROM payment_events e WHERE outcome = 'flagged' AND reviewed_at IS NULL
				AND (order_id IN (SELECT id FROM orders WHERE user_id = $1) OR `+aboutRaw+`))
			+ (SELECT count(*) FROM inbox WHERE lane = $1 AND state = 'dead' AND reviewed_at IS NULL)
			+ (SELECT count(*) FROM dead_letters WHERE reviewed_at IS NULL AND `+aboutBody+`)`, id).
		Scan(&open.Updates, &open.Jobs, &open.Orders, &open.Undelivered, &open.Unreviewed)
	return open, err
}

// Forget removes all that tells who the customer is. What the books keep stays, under a
// number that is nobody's.
func (s *Store) Forget(ctx context.Context, id shop.UserID) (f shop.Forgotten, err error) {
	err = s.tx(ctx, "forget", func(ctx context.Context, tx pgx.Tx) error {
		f = shop.Forgotten{}
		if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err // nobody places an order for them any more
		}
		open, err := openMatters(ctx, tx, id)
		if err != nil {
			return err
		}
		var granted bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM subscriptions WHERE user_id = $1 AND status IN ('waiting', 'active'))`, id).Scan(&granted)
		if err != nil {
			return err
		}
		if granted || !open.None() {
			return shop.ErrMattersOpen // they have bought since it was looked
		}
		return forget(ctx, tx, id, &f)
	})
	return f, err
}

func forget(ctx context.Context, tx pgx.Tx, id shop.UserID, f *shop.Forgotten) error {
	var name shop.UserID
	if err := tx.QueryRow(ctx, `SELECT -nextval('forgotten_number')`).Scan(&name); err != nil {
		return err
	}
	for _, step := range []struct {
		sql   string
		count *int // of the rows that it changes; nil if they are counted elsewhere
	}{
		{`DELETE FROM river_job WHERE state <> 'running' AND ` + forThem, &f.Removed},
		{`UPDATE river_job SET args = jsonb_set(args, '{user_ids}', coalesce(
				(SELECT jsonb_agg(other) FROM jsonb_array_elements(args -> 'user_ids') other WHERE other <> to_jsonb($1::bigint)), '[]'))
			WHERE ` + among, nil},
		{`DELETE FROM invoices USING orders WHERE orders.id = order_id AND ` + unsung, nil},
		{`DELETE FROM orders WHERE ` + unsung, &f.Removed},
		{`UPDATE invoices SET url = '' FROM orders WHERE orders.id = order_id AND user_id = $1 AND url <> ''`, nil},
		{`UPDATE orders SET checkout_id = NULL WHERE user_id = $1 AND checkout_id IS NOT NULL`, nil},
		{`UPDATE payment_events SET raw = '' WHERE raw <> '' AND (order_id IN (SELECT id FROM orders WHERE user_id = $1)
			OR outcome = 'flagged' AND ` + aboutRaw + `)`, &f.Emptied},
		{`DELETE FROM dead_letters WHERE ` + aboutBody, &f.Removed},
		{`DELETE FROM lanes WHERE lane = $1`, nil},
		{`DELETE FROM left_alone WHERE user_id = $1`, nil},
		{`DELETE FROM dialogs WHERE user_id = $1`, &f.Removed},
		{`DELETE FROM subscriptions WHERE user_id = $1`, &f.Removed},
	} {
		tag, err := tx.Exec(ctx, step.sql, id)
		if err != nil {
			return err
		}
		if step.count != nil {
			*step.count += int(tag.RowsAffected())
		}
	}
	return rename(ctx, tx, id, name, f)
}

// unsung is a condition: whether an order of the customer $1 was never paid, nor tried to be.
const unsung = `user_id = $1 AND status <> 'paid' AND NOT EXISTS (SELECT FROM payment_events WHERE order_id = orders.id)`

// rename puts the number that is nobody's where theirs was, and removes the customer if
// the books do not name them.
func rename(ctx context.Context, tx pgx.Tx, id, name shop.UserID, f *shop.Forgotten) error {
	tag, err := tx.Exec(ctx, `UPDATE inbox SET lane = $2, body = '' WHERE lane = $1`, id, name)
	if err != nil {
		return err
	}
	f.Emptied += int(tag.RowsAffected())
	kept, err := column[uuid.UUID](ctx, tx, `SELECT id FROM orders WHERE user_id = $1`, id)
	if err != nil {
		return err
	}
	if f.Orders = len(kept); f.Orders == 0 {
		tag, err = tx.Exec(ctx, `DELETE FROM users WHERE id = $1`, id)
		f.Removed += int(tag.RowsAffected())
		return err
	}
	f.Name = name
	_, err = tx.Exec(ctx, `UPDATE users SET id = $2, language = 'en', chosen = false, reachable = false WHERE id = $1`, id, name)
	return err
}
