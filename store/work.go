package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sallyport/shop"
)

// Do runs do in one transaction.
func (s *Store) Do(ctx context.Context, op string, do func(context.Context, shop.Tx) error) error {
	for try := 1; ; try++ {
		w := &work{store: s}
		err := s.tx(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
			w.Tx = tx
			return do(ctx, w)
		})
		if err == nil {
			w.done()
			return nil
		}
		if try == mostTries || !isBrokenOff(err) {
			return err
		}
	}
}

// mostTries is how often a transaction is tried that others break off.
const mostTries = 3

// isBrokenOff says whether PostgreSQL ended a transaction because of others.
func isBrokenOff(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"40001", "40P01"}, pg.Code) // serialization failure, deadlock
}

// work is one transaction, and what to count once it is committed.
type work struct {
	pgx.Tx

	store *Store
	count []func(books)
}

var _ shop.Tx = (*work)(nil)

func (w *work) done() {
	for _, count := range w.count {
		count(w.store.books)
	}
}

// reached counts orders that reach a state.
func (w *work) reached(state string, n int) {
	w.count = append(w.count, func(b books) { b.reached(state, n) })
}

// Enqueue stores jobs that follow from what is stored.
func (w *work) Enqueue(ctx context.Context, jobs ...shop.Job) error {
	return w.store.enqueue(ctx, w.Tx, jobs)
}
