package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
)

// BenchmarkLane takes an update from the inbox, ends it and gives its lane back.
func BenchmarkLane(b *testing.B) {
	s := server.Open(b)
	ctx := b.Context()
	body := make([]byte, 700)
	b.ReportAllocs()
	for id := int64(1); b.Loop(); id++ {
		b.StopTimer()
		if _, err := s.AddUpdate(ctx, shop.Update{ID: id, Lane: id, Kind: "callback_query", Body: body}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if u, ok, err := s.ClaimUpdate(ctx, turn(id, "bench"), time.Minute); !ok || err != nil || u.ID != id {
			b.Fatal(u.ID, ok, err)
		}
		if _, err := s.CloseLane(ctx, turn(id, "bench"), id, "done", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSettle settles payments, each once and each a second time, which changes
// nothing.
func BenchmarkSettle(b *testing.B) {
	s := server.Open(b)
	var customers atomic.Int64
	for _, times := range []int{1, 2} {
		b.Run(fmt.Sprintf("time %d", times), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				event := paymentOf(placedFor(b, s, shop.UserID(customers.Add(1)), shop.CryptoBot))
				want := shop.Settled
				if times == 2 {
					if got, err := settle(b, s, event); got != want || err != nil {
						b.Fatal(got, err)
					}
					want = shop.Duplicate
				}
				b.StartTimer()
				if got, err := settle(b, s, event); got != want || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// BenchmarkExpire ends a hundred subscriptions, with the jobs that follow.
func BenchmarkExpire(b *testing.B) {
	const together = 100
	s := server.Open(b)
	ctx := b.Context()
	if _, err := s.Pool().Exec(ctx, `INSERT INTO users (id, language) SELECT n, 'en' FROM generate_series(1, $1) n`, together); err != nil {
		b.Fatal(err)
	}
	ids := make([]shop.UserID, together)
	for i := range ids {
		ids[i] = shop.UserID(i + 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if _, err := s.Pool().Exec(ctx, `
			INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT id, 'basic', 'active', now() FROM users
			ON CONFLICT (user_id) DO UPDATE SET status = 'active'`); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		err := s.Do(ctx, "expire", func(ctx context.Context, tx shop.Tx) error {
			subs, err := tx.LockSubscriptions(ctx, ids)
			if err != nil {
				return err
			}
			jobs := []shop.Job{shop.ConvergeUsers{UserIDs: ids}}
			for i, sub := range subs {
				subs[i] = sub.Expire()
				jobs = append(jobs, shop.Notify{UserID: sub.UserID, Notice: shop.NoticeExpired})
			}
			if err := tx.SaveSubscriptions(ctx, subs...); err != nil {
				return err
			}
			return tx.Enqueue(ctx, jobs...)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
