package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// AddUser stores a customer whose language is guessed, unless they are stored.
func (w *work) AddUser(ctx context.Context, id shop.UserID, guess shop.Language) error {
	_, err := w.Exec(ctx, `
		INSERT INTO users (id, language) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, guess)
	return err
}

// LockUser returns the customer, locked, or ErrNotFound.
func (w *work) LockUser(ctx context.Context, id shop.UserID) (shop.User, error) {
	return one[shop.User](ctx, w, shop.ErrNotFound, `
		SELECT id, language, chosen, reachable, missed_at IS NOT NULL AS missed, created_at FROM users WHERE id = $1
		FOR NO KEY UPDATE`, id)
}

// SetReachable records whether messages get through to the customer.
func (w *work) SetReachable(ctx context.Context, id shop.UserID, reachable bool) error {
	_, err := w.Exec(ctx, `UPDATE users SET reachable = $2 WHERE id = $1`, id, reachable)
	return err
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
