package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
)

// Many come at once, each of them twice, the second time the other way round: every update is stored once, and exactly one
// of the two is told that it is new.
func TestUpdatesThatArriveTogetherAreStoredOnce(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	const updates = 500
	var fresh [updates]atomic.Int32
	var wg sync.WaitGroup
	for n := range 2 * updates {
		wg.Go(func() {
			id := min(n, 2*updates-1-n)
			isNew, err := s.AddUpdate(t.Context(), shop.Update{ID: int64(id + 1), Lane: int64(id), Kind: "message", Body: fmt.Appendf(nil, `{"n":%d}`, id)})
			if err != nil {
				t.Error(err)
			}
			if isNew {
				fresh[id].Add(1)
			}
		})
	}
	wg.Wait()
	for id := range fresh {
		if n := fresh[id].Load(); n != 1 {
			t.Errorf("update %d was new %d times", id+1, n)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM inbox WHERE body = convert_to(format('{"n":%s}', update_id - 1), 'UTF8') AND lane = update_id - 1`); n != updates {
		t.Errorf("%d rows are as they should be", n)
	}
}

func TestAnUpdateThatCannotBeStoredIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	if _, err := s.Pool().Exec(t.Context(), `ALTER TABLE inbox ADD CONSTRAINT full_up CHECK (update_id < 5)`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddUpdate(t.Context(), shop.Update{ID: 7, Kind: "message", Body: []byte("{}")}); err == nil {
		t.Error("acknowledged")
	}
	add(t, s, 1, 1) // the next one is not held up
}

// Whoever waits for the database no longer than they want is let go, and what they
// brought is stored once it answers.
func TestWhoCannotWaitIsLetGo(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	lock, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), `LOCK TABLE inbox`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.AddUpdate(ctx, shop.Update{ID: 7, Kind: "message", Body: []byte("{}")}); shop.KindOf(err) != shop.KindUnavailable || err == nil {
		t.Errorf("while the inbox is locked: %v", err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddUpdate(t.Context(), shop.Update{ID: 8, Kind: "message", Body: []byte("{}")}); err != nil {
		t.Error(err)
	}
}

// BenchmarkAddUpdate stores updates that come on 64 connections at once, beside the
// same number of plain statements, and one after the other.
func BenchmarkAddUpdate(b *testing.B) {
	s := server.OpenURL(b, server.Database(b))
	var next atomic.Int64
	body := make([]byte, 400)
	plain := func(ctx context.Context, u shop.Update) error {
		_, err := s.Pool().Exec(ctx, `INSERT INTO inbox (update_id, lane, kind, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, u.ID, u.Lane, u.Kind, u.Body)
		return err
	}
	gathered := func(ctx context.Context, u shop.Update) error {
		_, err := s.AddUpdate(ctx, u)
		return err
	}
	for _, c := range []struct {
		name   string
		atOnce int
		add    func(context.Context, shop.Update) error
	}{{"plain/64", 32, plain}, {"gathered/64", 32, gathered}, {"plain/1", 0, plain}, {"gathered/1", 0, gathered}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if c.atOnce == 0 {
				for b.Loop() {
					id := next.Add(1)
					if err := c.add(b.Context(), shop.Update{ID: id, Lane: id, Kind: "message", Body: body}); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.SetParallelism(c.atOnce)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := next.Add(1)
					if err := c.add(b.Context(), shop.Update{ID: id, Lane: id, Kind: "message", Body: body}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
