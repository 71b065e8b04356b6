package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"sallyport/shop"
	"sallyport/store"
)

func TestEnterUserRemembersChoiceAndReturn(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	if _, err := s.User(ctx, buyer); !errors.Is(err, shop.ErrNotFound) {
		t.Errorf("unknown user: %v", err)
	}
	u, err := shopOf(s).Enter(ctx, buyer, "ru")
	if err != nil || u.Language != shop.Russian || u.Chosen || !u.Reachable {
		t.Fatalf("%+v, %v", u, err)
	}
	if err := errors.Join(s.SetLanguage(ctx, buyer, shop.English), s.SetReachable(ctx, buyer, false)); err != nil {
		t.Fatal(err)
	}
	u, err = shopOf(s).Enter(ctx, buyer, "ru")
	if err != nil || u.Language != shop.English || !u.Chosen || !u.Reachable {
		t.Errorf("who comes back is reachable and keeps their language: %+v, %v", u, err)
	}
}

func TestPlaceOrderKeepsOneOpenOrder(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	first := placed(t, s)
	again, err := shopOf(s).PlaceOrder(t.Context(), buyer, first.Access().Plan, first.Access().PeriodID, first.Provider)
	if err != nil || again.ID != first.ID {
		t.Errorf("the open order was not kept: %+v, %v", again, err)
	}
	second := placed(t, s)
	if second.ID == first.ID {
		t.Fatal("a refused order was kept")
	}
	if old, err := s.Order(t.Context(), first.ID); old.Status != shop.OrderCancelled || err != nil {
		t.Errorf("%+v, %v", old, err)
	}
}

func TestAnOrderRemembersItsWholeQuote(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	for _, c := range []struct {
		base any
		rule string
		want shop.Quote
	}{
		{nil, "", shop.Quote{Base: o.Quote.Total, Total: o.Quote.Total}}, // the program before
		{o.Quote.Total.Minor * 2, "half", shop.Quote{Base: shop.Money{Minor: o.Quote.Total.Minor * 2, Currency: "RUB"}, Rule: "half", Total: o.Quote.Total}},
	} {
		if _, err := s.Pool().Exec(t.Context(), `UPDATE orders SET base_minor = $2, price_rule = $3 WHERE id = $1`, o.ID.UUID, c.base, c.rule); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Order(t.Context(), o.ID); err != nil || got.Quote != c.want {
			t.Errorf("%+v, %v", got.Quote, err)
		}
	}
	if again, err := shopOf(s).PlaceOrder(t.Context(), buyer, o.Access().Plan, o.Access().PeriodID, o.Provider); err != nil || again.ID == o.ID {
		t.Errorf("an order at another price is another wish: %+v, %v", again, err)
	}
}

func TestPlaceOrderAtOnceMakesOneOrder(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	first := placed(t, s)
	if _, err := s.CloseOrder(t.Context(), first.ID, shop.OrderCancelled); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := shopOf(s).PlaceOrder(t.Context(), buyer, first.Access().Plan, first.Access().PeriodID, first.Provider); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, s, `SELECT count(*) FROM orders WHERE status = 'open'`); n != 1 {
		t.Errorf("%d open orders", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE kind = 'open_invoice'`); n != 1 {
		t.Errorf("%d invoices asked for", n)
	}
}

func TestUnknownOrdersAndInvoicesSaySo(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	if _, err := s.Order(t.Context(), shop.NewOrderID()); !errors.Is(err, shop.ErrUnknownOrder) {
		t.Error(err)
	}
	if _, err := s.Invoice(t.Context(), shop.NewOrderID()); !errors.Is(err, shop.ErrNotFound) {
		t.Error(err)
	}
}

func TestInvoiceIsKnownAskedForBeforeItIsThere(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	ctx := t.Context()
	for i, want := range []bool{false, true} {
		if again, err := s.RequestInvoice(ctx, o.ID, shop.CryptoBot, time.Minute); again != want || err != nil {
			t.Errorf("request %d: %v, %v", i, again, err)
		}
		_, err := s.RequestInvoice(ctx, o.ID, shop.CryptoBot, time.Minute)
		if busy, ok := errors.AsType[*shop.Error](err); !ok || busy.Kind != shop.KindLimited || busy.RetryAfter <= 0 || busy.RetryAfter > time.Minute {
			t.Errorf("while request %d is under way: %v", i, err)
		}
		if err := s.ReleaseInvoice(ctx, o.ID, shop.CryptoBot); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Invoice(ctx, o.ID); !errors.Is(err, shop.ErrNotFound) {
		t.Errorf("an invoice that is not there yet: %v", err)
	}
	want := shop.Invoice{Provider: shop.CryptoBot, ExternalID: "77", OrderID: o.ID, URL: "https://pay.example/77", ExpiresAt: time.Now().UTC().Truncate(time.Microsecond)}
	if err := s.SaveInvoice(ctx, want, []shop.Job{shop.Notify{UserID: buyer, Notice: shop.NoticeInvoice, OrderID: o.ID}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Invoice(ctx, o.ID); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if ids, err := s.UnpaidInvoices(ctx, shop.CryptoBot, time.Now().Add(-time.Hour), 10); err != nil || !slices.Equal(ids, []string{"77"}) {
		t.Errorf("%v, %v", ids, err)
	}
	e := paymentOf(o)
	e.ExternalID = "77"
	if _, err := settle(t, s, e); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.UnpaidInvoices(ctx, shop.CryptoBot, time.Now().Add(-time.Hour), 10); err != nil || len(ids) != 0 {
		t.Errorf("a paid invoice is asked about: %v, %v", ids, err)
	}
	if ids, err := s.Unsettled(ctx, shop.CryptoBot, []string{"77", "78"}); err != nil || !slices.Equal(ids, []string{"78"}) {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestDeliverAnnouncesEachPaidOrderOnce(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	if _, err := settle(t, s, paymentOf(o)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := shopOf(s).Converge(t.Context(), buyer); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE kind = 'notify'`); n != 1 {
		t.Errorf("%d messages", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE kind = 'notify' AND args ->> 'order_id' = $1`, o.ID.String()); n != 1 {
		t.Errorf("%d messages of the order", n)
	}
}

func TestSubscriptionKeepsItsSecretOverExpiryAndReturn(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	if _, err := settle(t, s, paymentOf(placed(t, s))); err != nil {
		t.Fatal(err)
	}
	before, err := s.Subscription(ctx, buyer)
	if err != nil || before.Access.UUID == uuid.Nil || before.Access.ID == "" {
		t.Fatalf("%+v, %v", before, err)
	}
	if err := change(ctx, s, buyer, func(sub shop.Subscription) shop.Subscription { return sub.Arrive(time.Now()).Expire() }); err != nil {
		t.Fatal(err)
	}
	if _, err := settle(t, s, paymentOf(placed(t, s))); err != nil {
		t.Fatal(err)
	}
	after, err := s.Subscription(ctx, buyer)
	if err != nil || after.Access != before.Access || after.Status != shop.SubscriptionWaiting {
		t.Errorf("%+v, %v", after, err)
	}
}

// change stores what f makes of the user's subscription.
func change(ctx context.Context, s *store.Store, id shop.UserID, f func(shop.Subscription) shop.Subscription) error {
	return s.Do(ctx, "change", func(ctx context.Context, tx shop.Tx) error {
		sub, err := tx.LockSubscription(ctx, id)
		if err != nil {
			return err
		}
		return tx.SaveSubscriptions(ctx, f(sub))
	})
}

func TestNodesAreComparedWithWhoBelongsThere(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	for i := range 5 {
		id := shop.UserID(100 + i)
		if _, err := enter(ctx, s, id); err != nil {
			t.Fatal(err)
		}
		if err := change(ctx, s, id, func(sub shop.Subscription) shop.Subscription {
			sub = sub.Extend("basic", time.Hour, time.Now())
			if i == 4 {
				sub = sub.Arrive(time.Now()).Expire()
			}
			return sub
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n, leaving, err := s.GrantedCount(ctx); n != 4 || leaving != 0 || err != nil {
		t.Errorf("%d granted, %v", n, err)
	}
	var granted []shop.Access
	for after := shop.AccessID(""); ; after = granted[len(granted)-1].ID {
		page, err := s.GrantedAfter(ctx, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if granted = append(granted, page...); len(page) < 3 {
			break
		}
	}
	expired, err := s.Subscription(ctx, 104)
	if err != nil || len(granted) != 4 {
		t.Fatal(len(granted), err)
	}
	asked := []shop.AccessID{granted[0].ID, expired.Access.ID, "a999999"}
	young, err := s.Orphans(ctx, asked, time.Now().Add(-time.Hour))
	if err != nil || fmt.Sprint(young) != "[a999999]" {
		t.Errorf("who has just changed is no orphan yet: %v, %v", young, err)
	}
	old, err := s.Orphans(ctx, asked, time.Now().Add(time.Hour))
	if err != nil || len(old) != 2 || slices.Contains(old, granted[0].ID) {
		t.Errorf("orphans %v, %v", old, err)
	}
	if ids, err := s.WaitingUsers(ctx, 10); len(ids) != 4 || err != nil {
		t.Errorf("waiting %v, %v", ids, err)
	}
}

func TestNodeStateIsRemembered(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	if n, err := s.NodeState(t.Context(), "de1"); n != (shop.NodeState{}) || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
	now := time.Now().Truncate(time.Microsecond)
	want := shop.NodeState{Name: "de1", BootAt: now, Drifted: true, CheckedAt: now, SyncedAt: now}
	if err := s.SaveNodeState(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if n, err := s.NodeState(t.Context(), "de1"); !n.BootAt.Equal(now) || !n.Drifted || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestDialogIsRemembered(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	if _, err := enter(ctx, s, buyer); err != nil {
		t.Fatal(err)
	}
	if id, screen, err := s.Dialog(ctx, buyer); id != 0 || screen != "" || err != nil {
		t.Error(id, screen, err)
	}
	for _, screen := range []string{"menu", "plans"} {
		if err := s.SaveDialog(ctx, buyer, 5, screen); err != nil {
			t.Fatal(err)
		}
		if id, got, err := s.Dialog(ctx, buyer); id != 5 || got != screen || err != nil {
			t.Error(id, got, err)
		}
	}
}

// Everything locks an order before the subscription that it pays for: two that do can
// wait for each other, and never both.
func TestDeliveryWaitsForTheOrderBeforeItTakesTheSubscription(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	if _, err := settle(t, s, paymentOf(o)); err != nil {
		t.Fatal(err)
	}
	tx, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM orders WHERE id = $1 FOR UPDATE`, o.ID.UUID); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- shopOf(s).Converge(t.Context(), buyer)
	}()
	waitFor(t, func() bool {
		return count(t, s, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	if _, err := tx.Exec(t.Context(), `SELECT FROM subscriptions WHERE user_id = $1 FOR UPDATE NOWAIT`, buyer); err != nil {
		t.Errorf("the subscription is taken already: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := count(t, s, `SELECT count(*) FROM orders JOIN subscriptions USING (user_id) WHERE delivered_at IS NOT NULL AND subscriptions.status = 'active'`); n != 1 {
		t.Error("nothing was delivered")
	}
}
