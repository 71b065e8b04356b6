package store_test

import (
	"context"
	"sync/atomic"
	"testing"

	"sallyport/shop"
	"sallyport/shop/shoptest"
	"sallyport/store"
)

// shopOf returns a shop over the storage, whose nodes let everybody in.
func shopOf(s *store.Store) *shop.Shop {
	var catalogue atomic.Pointer[shop.Catalogue]
	catalogue.Store(&shop.Catalogue{Plans: []shop.Plan{{ID: offered.Plan.ID, Periods: []shop.Period{offered.Period}}}})
	node := shoptest.NewNode("de1")
	return shop.New(shop.Config{
		Store: s, Catalogue: &catalogue, Nodes: func() []shop.Node { return []shop.Node{node} }, Providers: shoptest.Providers(nil, nil),
	})
}

func enter(ctx context.Context, s *store.Store, id shop.UserID) (shop.User, error) {
	return shopOf(s).Enter(ctx, id, "en")
}

// Who comes back is owed what they missed: whatever breaks on the way, they do not count as
// back before that is stored.
func TestWhoComesBackIsOwedWhatTheyMissedWhateverBreaks(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ breaks, mends string }{
		"the read":    {`ALTER TABLE users RENAME COLUMN chosen TO mislaid`, `ALTER TABLE users RENAME COLUMN mislaid TO chosen`},
		"the jobs":    {`ALTER TABLE river_job RENAME TO mislaid`, `ALTER TABLE mislaid RENAME TO river_job`},
		"their state": {`ALTER TABLE users ADD CONSTRAINT odd CHECK (NOT reachable) NOT VALID`, `ALTER TABLE users DROP CONSTRAINT odd`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server.Open(t)
			enter := func() error {
				_, err := enter(t.Context(), s, buyer)
				return err
			}
			if err := enter(); err != nil {
				t.Fatal(err)
			}
			if err := s.SetReachable(t.Context(), buyer, false); err != nil {
				t.Fatal(err)
			}
			if missed, err := s.Miss(t.Context(), buyer); !missed || err != nil {
				t.Fatal(missed, err)
			}
			must(t, s, fault.breaks)
			if err := enter(); err == nil {
				t.Error("nobody heard of the fault")
			}
			must(t, s, fault.mends)
			for range 2 {
				if err := enter(); err != nil {
					t.Fatal(err)
				}
			}
			if n := count(t, s, `SELECT count(*) FROM river_job WHERE kind = 'notify'`); n != 1 {
				t.Errorf("%d notices", n)
			}
		})
	}
}
