package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// arrival is an update on its way to the inbox.
type arrival struct {
	update shop.Update
	fresh  bool
}

// AddUpdate keeps an update for good; it reports whether it is new. A nil error
// promises that the update is durable. An update whose caller has gone may be stored
// all the same.
func (s *Store) AddUpdate(ctx context.Context, u shop.Update) (fresh bool, err error) {
	a := &arrival{update: u}
	if err := s.arrivals.add(ctx, a); err != nil {
		return false, err
	}
	return a.fresh, nil
}

// addUpdates stores the batch in one statement, by number, as Telegram counts them: two
// batches with the same updates would else wait for each other.
func (s *Store) addUpdates(ctx context.Context, batch []*arrival) error {
	slices.SortStableFunc(batch, func(a, b *arrival) int { return cmp.Compare(a.update.ID, b.update.ID) })
	ids, lanes := make([]int64, len(batch)), make([]int64, len(batch))
	kinds, bodies := make([]string, len(batch)), make([][]byte, len(batch))
	first := make(map[int64]*arrival, len(batch)) // a second one in the batch is a redelivery
	for i, a := range batch {
		ids[i], lanes[i], kinds[i], bodies[i] = a.update.ID, a.update.Lane, a.update.Kind, a.update.Body
		if first[a.update.ID] == nil {
			first[a.update.ID] = a
		}
	}
	return s.use(ctx, "add updates", func(ctx context.Context, conn *pgxpool.Conn) error {
		added, err := column[int64](ctx, conn, `
			INSERT INTO inbox (update_id, lane, kind, body)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[])
			ON CONFLICT (update_id) DO NOTHING RETURNING update_id`, ids, lanes, kinds, bodies)
		for _, id := range added {
			first[id].fresh = true
		}
		return err
	})
}
