package store_test

import (
	"testing"

	"sallyport/shop"
)

// nobody owes those who come back anything.
func nobody(shop.User) []shop.Job { return nil }

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
				_, err := s.EnterUser(t.Context(), buyer, shop.English, func(u shop.User) []shop.Job {
					return []shop.Job{shop.Notify{UserID: u.ID, Notice: shop.NoticeMissed}}
				})
				return err
			}
			if err := enter(); err != nil {
				t.Fatal(err)
			}
			if err := s.SetReachable(t.Context(), buyer, false); err != nil {
				t.Fatal(err)
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
