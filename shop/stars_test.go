package shop_test

import (
	"errors"
	"testing"

	"sallyport/shop"
)

func (w *world) orderInStars() shop.Order {
	w.t.Helper()
	o, err := w.PlaceOrder(w.t.Context(), anna, "basic", "30d", shop.Stars)
	w.must(err)
	return o
}

func TestAnotherWayToPayIsAnotherWish(t *testing.T) {
	t.Parallel()
	w := setup(t)
	roubles, stars := w.order(), w.orderInStars()
	if old, err := w.OrderOf(t.Context(), anna, roubles.ID); err != nil || old.Status != shop.OrderCancelled || stars.ID == roubles.ID {
		t.Errorf("%+v, %v", old, err)
	}
	if stars.Quote.Total != (shop.Money{Minor: 99, Currency: shop.XTR}) || stars.Provider != shop.Stars {
		t.Errorf("%+v", stars)
	}
	if again := w.orderInStars(); again.ID != stars.ID {
		t.Error("a repeated press made a second order")
	}
	if _, err := w.PlaceOrder(t.Context(), anna, "basic", "90d", shop.Stars); !errors.Is(err, shop.ErrNoOffer) {
		t.Error("sold for Stars without a price in Stars", err)
	}
	if kept, err := w.OrderOf(t.Context(), anna, stars.ID); err != nil || kept.Status != shop.OrderOpen {
		t.Errorf("a wish that cannot be met cancelled the order: %+v, %v", kept, err)
	}
}

func TestInvoiceComesFromTheOrdersProvider(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	w.must(w.OpenInvoice(t.Context(), o.ID))
	if i, err := w.InvoiceOf(t.Context(), o.ID); err != nil || i.Provider != shop.Stars || w.stars.Made() != 1 || w.gateway.Made() != 0 {
		t.Errorf("%+v, %v; made %d and %d", i, err, w.stars.Made(), w.gateway.Made())
	}
}

func TestAPaymentInStarsCountsOnceWhoeverTellsOfIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	w.must(w.OpenInvoice(t.Context(), o.ID))
	e := w.stars.Pay(o)
	for i, want := range []shop.Outcome{shop.Settled, shop.Duplicate, shop.Duplicate} {
		if got, err := w.Settle(t.Context(), e); got != want || err != nil {
			t.Errorf("%d: %s, %v", i, got, err)
		}
		w.must(w.SweepPayments(t.Context(), ""))
	}
	if sub := w.sub(); sub.Status != shop.SubscriptionWaiting || !sub.ExpiresAt.Equal(w.now().Add(month)) {
		t.Errorf("%+v", sub)
	}
	var sum, entries int64
	w.must(w.store.Pool().QueryRow(t.Context(), `
		SELECT coalesce(sum(minor) FILTER (WHERE account = 'provider:stars'), 0), count(*) FROM ledger_entries WHERE currency = 'XTR'`).Scan(&sum, &entries))
	if sum != 99 || entries != 2 {
		t.Errorf("%d Stars in %d entries", sum, entries)
	}
}

// Each provider is swept, and one that is down hides nothing of the others.
func TestSweepFindsWhatOneProviderHasWhileAnotherIsDown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.order()
	w.must(w.OpenInvoice(t.Context(), first.ID))
	w.gateway.Pay(first)
	second := w.orderInStars()
	w.must(w.OpenInvoice(t.Context(), second.ID))
	w.stars.Pay(second)
	w.gateway.Down.Store(true)
	if err := w.SweepPayments(t.Context(), ""); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("an outage was not told: %v", err)
	}
	for id, want := range map[shop.OrderID]shop.OrderStatus{first.ID: shop.OrderCancelled, second.ID: shop.OrderPaid} {
		if o, err := w.OrderOf(t.Context(), anna, id); err != nil || o.Status != want {
			t.Errorf("%+v, want it %s, %v", o, want, err)
		}
	}
	w.gateway.Down.Store(false)
	w.stars.Down.Store(true)
	if err := w.SweepPayments(t.Context(), ""); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("an outage was not told: %v", err)
	}
	if o, err := w.OrderOf(t.Context(), anna, first.ID); err != nil || o.Status != shop.OrderPaid {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestWhoSaysThatTheyPaidHasTheirProviderAsked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 3 {
		w.must(w.AskAboutPayments(t.Context(), w.order()))
	}
	if polls, sweeps := w.jobs("poll_invoices"), w.jobs("sweep_payments"); polls != 2 && polls != 3 || sweeps != 0 {
		t.Errorf("%d polls, %d sweeps: impatience must cost one now and one later", polls, sweeps)
	}
	before := w.jobs("poll_invoices")
	for range 3 {
		w.must(w.AskAboutPayments(t.Context(), w.orderInStars()))
	}
	if polls, sweeps := w.jobs("poll_invoices"), w.jobs("sweep_payments"); polls != before || sweeps != 2 && sweeps != 3 {
		t.Errorf("%d polls, %d sweeps: impatience must cost one now and one later", polls, sweeps)
	}
	w.must(w.PollInvoices(t.Context(), "")) // no invoice in Stars can be asked about
}

func TestARefundIsKeptForAnOperatorAndTakesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	e := w.stars.Pay(o)
	if got, err := w.Settle(t.Context(), e); got != shop.Settled || err != nil {
		t.Fatal(got, err)
	}
	before := w.sub()
	for i, want := range []shop.Outcome{shop.Flagged, shop.Duplicate} {
		if got, err := w.Refunded(t.Context(), e); got != want || err != nil {
			t.Errorf("%d: %s, %v", i, got, err)
		}
	}
	if after := w.sub(); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	e.OrderRef, e.ExternalID = "of another shop", "elsewhere"
	if got, err := w.Refunded(t.Context(), e); got != shop.Flagged || err != nil {
		t.Errorf("of an order that we do not know: %s, %v", got, err)
	}
	var orders, events int
	w.must(w.store.Pool().QueryRow(t.Context(), `
		SELECT count(order_id), count(*) FROM payment_events WHERE outcome = 'flagged' AND reason = 'refunded'`).Scan(&orders, &events))
	if orders != 1 || events != 2 {
		t.Errorf("%d refunds kept, %d with their order", events, orders)
	}
}

func TestAnOrderOfAProviderThatIsNotSetUpIsAFault(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	if err := shop.New(shop.Config{Store: w.store}).OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindInternal {
		t.Errorf("%v", err)
	}
}

func TestLanguageIsTheCustomersElseAGuess(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.must(w.ChooseLanguage(t.Context(), anna, shop.English))
	if got := w.LanguageOf(t.Context(), anna, "ru"); got != shop.English {
		t.Errorf("answered in %s", got)
	}
	if got := w.LanguageOf(t.Context(), anna+1, "ru"); got != shop.Russian {
		t.Errorf("a stranger is answered in %s", got)
	}
}
