package store

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

const (
	// maxFlushes is how many statements store updates at once: on a disk that takes
	// long to commit, the next need not wait for the one before.
	maxFlushes = 4
	// maxFlush is how many updates one statement stores.
	maxFlush = 64
)

// arrivals stores updates that arrive together in one statement. Whoever comes alone
// waits for nobody: only while maxFlushes statements are under way do updates gather.
type arrivals struct {
	mu       sync.Mutex
	waiting  []*arrival
	flushing int
}

// arrival is an update on its way to the inbox.
type arrival struct {
	update shop.Update
	fresh  bool
	err    error
	stored chan struct{} // closed when fresh and err are there
}

// AddUpdate keeps an update for good; it reports whether it is new. A nil error
// promises that the update is durable. An update whose caller has gone may be stored
// all the same.
func (s *Store) AddUpdate(ctx context.Context, u shop.Update) (fresh bool, err error) {
	a := &arrival{update: u, stored: make(chan struct{})}
	if s.arrivals.join(a) {
		go s.flush(context.WithoutCancel(ctx)) // it stores what others brought, too
	}
	select {
	case <-a.stored:
		return a.fresh, a.err
	case <-ctx.Done():
		return false, shop.Unavailable(context.Cause(ctx))
	}
}

// join adds an arrival; it reports whether the caller must see to a flush.
func (w *arrivals) join(a *arrival) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, a)
	if w.flushing == maxFlushes {
		return false
	}
	w.flushing++
	return true
}

// take returns what is to be stored next; none ends the flush.
func (w *arrivals) take() []*arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxFlush)
	if n == 0 {
		w.flushing--
		return nil
	}
	batch := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	return batch
}

// flush stores what waits until nothing does.
func (s *Store) flush(ctx context.Context) {
	for batch := s.arrivals.take(); batch != nil; batch = s.arrivals.take() {
		err := s.addUpdates(ctx, batch)
		for _, a := range batch {
			a.err = err
			close(a.stored)
		}
	}
}

// addUpdates stores the batch in one statement, in its order.
func (s *Store) addUpdates(ctx context.Context, batch []*arrival) error {
	ids, lanes := make([]int64, len(batch)), make([]int64, len(batch))
	kinds, bodies := make([]string, len(batch)), make([][]byte, len(batch))
	for i, a := range batch {
		ids[i], lanes[i], kinds[i], bodies[i] = a.update.ID, a.update.Lane, a.update.Kind, a.update.Body
	}
	return s.use(ctx, "add updates", func(ctx context.Context, conn *pgxpool.Conn) error {
		added, err := column[int64](ctx, conn, `
			INSERT INTO inbox (update_id, lane, kind, body)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[])
			ON CONFLICT DO NOTHING RETURNING update_id`, ids, lanes, kinds, bodies)
		for _, a := range batch {
			for i, id := range added {
				if id == a.update.ID {
					a.fresh = true
					added[i] = 0 // a second one in the batch is a redelivery
					break
				}
			}
		}
		return err
	})
}
