package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// EnterUser returns the user, created with this language if new, and notes that they can
// be reached, together with the jobs that back returns if they could not be before.
func (s *Store) EnterUser(ctx context.Context, id shop.UserID, guess shop.Language, back func(shop.User) []shop.Job) (u shop.User, err error) {
	u, err = s.User(ctx, id)
	if (err == nil && u.Reachable) || (err != nil && !errors.Is(err, shop.ErrNotFound)) {
		return u, err
	}
	err = s.tx(ctx, "enter user", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO users (id, language) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, guess); err != nil {
			return err
		}
		u, err = one[shop.User](ctx, tx, shop.ErrNotFound, `
			SELECT id, language, chosen, reachable, missed_at IS NOT NULL AS missed, created_at FROM users WHERE id = $1
			FOR NO KEY UPDATE`, id)
		if err != nil || u.Reachable {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET reachable = true WHERE id = $1`, id); err != nil {
			return err
		}
		u.Reachable = true
		return s.enqueue(ctx, tx, back(u))
	})
	return u, err
}

// User returns the user, or ErrNotFound.
func (s *Store) User(ctx context.Context, id shop.UserID) (shop.User, error) {
	return s.user(ctx, "read user", `
		SELECT id, language, chosen, reachable, missed_at IS NOT NULL AS missed, created_at FROM users WHERE id = $1`, id)
}

func (s *Store) user(ctx context.Context, op, sql string, args ...any) (u shop.User, err error) {
	err = s.use(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		u, err = one[shop.User](ctx, conn, shop.ErrNotFound, sql, args...)
		return err
	})
	return u, err
}

// SetLanguage records the customer's choice.
func (s *Store) SetLanguage(ctx context.Context, id shop.UserID, language shop.Language) error {
	_, err := s.exec(ctx, "set language", `
		UPDATE users SET language = $2, chosen = true WHERE id = $1`, id, language)
	return err
}

// SetReachable records whether messages get through to the customer.
func (s *Store) SetReachable(ctx context.Context, id shop.UserID, reachable bool) error {
	_, err := s.exec(ctx, "set reachable", `
		UPDATE users SET reachable = $2 WHERE id = $1 AND reachable <> $2`, id, reachable)
	return err
}

// Miss notes that a customer who cannot be reached could not be told something. It
// reports false, and notes nothing, if they can be reached.
func (s *Store) Miss(ctx context.Context, id shop.UserID) (bool, error) {
	n, err := s.exec(ctx, "miss notice", `
		UPDATE users SET missed_at = coalesce(missed_at, now()) WHERE id = $1 AND NOT reachable`, id)
	return n == 1, err
}

// Told notes that a customer who can be reached has missed nothing any more.
func (s *Store) Told(ctx context.Context, id shop.UserID) error {
	_, err := s.exec(ctx, "told", `UPDATE users SET missed_at = NULL WHERE id = $1 AND reachable`, id)
	return err
}

// nullable turns the zero time into NULL.
func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// orZero turns NULL into the zero time.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
