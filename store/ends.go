package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// Now returns the time by the database's clock.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.use(ctx, "read clock", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	})
	return now.UTC(), err
}

// EndsState returns what is remembered of the last look for what has run out.
func (s *Store) EndsState(ctx context.Context) (e shop.EndsState, err error) {
	err = s.use(ctx, "read ends", func(ctx context.Context, conn *pgxpool.Conn) error {
		e, err = one[shop.EndsState](ctx, conn, shop.ErrNotFound, `SELECT judged_at, held FROM ends`)
		return err
	})
	return e, err
}

// ChangeEndsState remembers after, and since when ends are held, if what is remembered is
// still before.
func (s *Store) ChangeEndsState(ctx context.Context, before, after shop.EndsState) (changed bool, err error) {
	n, err := s.exec(ctx, "change ends", `
		UPDATE ends SET judged_at = $3, held = $4::integer, held_since = CASE WHEN $4::integer > 0 THEN coalesce(held_since, now()) END
		WHERE judged_at = $1 AND held = $2`, before.JudgedAt, before.Held, after.JudgedAt, after.Held)
	return n == 1, err
}

// CountDue returns how many subscriptions are due, and how many users are let in, those
// among them.
func (s *Store) CountDue(ctx context.Context, now time.Time) (due, granted int, err error) {
	err = s.use(ctx, "count due", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM subscriptions WHERE status = 'active' AND expires_at <= $1),
				(SELECT count(*) FROM subscriptions WHERE status IN ('waiting', 'active'))`, now).Scan(&due, &granted)
	})
	return due, granted, err
}

// DueSubscriptions returns at most limit users whose subscription is due.
func (s *Store) DueSubscriptions(ctx context.Context, now time.Time, limit int) ([]shop.UserID, error) {
	return s.userIDs(ctx, "due subscriptions", `
		SELECT user_id FROM subscriptions
		WHERE status = 'active' AND expires_at <= $1
		ORDER BY expires_at LIMIT $2`, now, limit)
}
