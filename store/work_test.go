package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// Two that lock in another order than everybody else: one is broken off by PostgreSQL, and
// both are done all the same.
func TestWhatOthersBreakOffIsDoneAgain(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ids := []shop.UserID{1, 2}
	for _, id := range ids {
		if _, err := enter(t.Context(), s, id); err != nil {
			t.Fatal(err)
		}
	}
	meet, tries := make(chan struct{}), atomic.Int64{}
	var g errgroup.Group
	for i := range ids {
		g.Go(func() error {
			first := true
			return s.Do(t.Context(), "extend", func(ctx context.Context, tx shop.Tx) error {
				tries.Add(1)
				for n, id := range []shop.UserID{ids[i], ids[1-i]} {
					sub, err := tx.LockSubscription(ctx, id)
					if err != nil {
						return err
					}
					if n == 0 && first { // each has one, and wants the other's
						first = false
						select {
						case meet <- struct{}{}:
						case <-meet:
						}
					}
					if err := tx.SaveSubscriptions(ctx, sub.Extend("basic", time.Hour, time.Now())); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := tries.Load(); n < 3 {
		t.Errorf("%d tries: none of two was broken off", n)
	}
	for _, id := range ids {
		sub, err := s.Subscription(t.Context(), id)
		if left := time.Until(sub.ExpiresAt); err != nil || left < 110*time.Minute || left > 2*time.Hour {
			t.Errorf("customer %d has %s, %v: not both, once each", id, left, err)
		}
	}
}

// Whatever a transaction stored before it failed is not there, nor counted.
func TestWhatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	web, _, counted := pools(t)
	if _, err := enter(t.Context(), web, buyer); err != nil {
		t.Fatal(err)
	}
	fault := errors.New("fault")
	err := web.Do(t.Context(), "half", func(ctx context.Context, tx shop.Tx) error {
		fresh, err := shop.NewOrder(buyer, offered, shoptest.By(shop.CryptoBot), time.Now())
		if err := errors.Join(err, tx.AddOrder(ctx, fresh), tx.Enqueue(ctx, shop.OpenInvoice{OrderID: fresh.ID})); err != nil {
			return err
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Error(err)
	}
	if n := count(t, web, `SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM river_job)`); n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := counted("sallyport_orders_total")["placed"]; n != 0 {
		t.Errorf("%v counted", n)
	}
}

// While a transaction holds a connection, nothing but it may be asked.
func TestATransactionCallsNothingElse(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	err := s.Do(t.Context(), "two at once", func(ctx context.Context, _ shop.Tx) error {
		_, err := s.Order(ctx, shop.NewOrderID())
		return err
	})
	if !errors.Is(err, shop.ErrHoldsResource) {
		t.Error(err)
	}
}
