package shop_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
)

// asks is Telegram's question whether the order's own customer may pay it.
func asks(o shop.Order, id string) shop.Checkout {
	return shop.Checkout{ID: id, OrderRef: o.ID.String(), Payer: o.UserID, Amount: o.Quote.Total}
}

// begin asks whether the provider may charge.
func (w *world) begin(c shop.Checkout) error {
	_, err := w.BeginCheckout(w.t.Context(), c)
	return err
}

// agreed says whether the order's checkout counts as agreed.
func (w *world) agreed(o shop.Order) bool {
	w.t.Helper()
	got, err := w.OrderOf(w.t.Context(), o.UserID, o.ID)
	w.must(err)
	return got.Agreed
}

func (w *world) status(o shop.Order) shop.OrderStatus {
	w.t.Helper()
	got, err := w.OrderOf(w.t.Context(), o.UserID, o.ID)
	w.must(err)
	return got.Status
}

func TestCheckoutOfAnythingUnknownIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, ref := range []string{"", "junk", shop.NewOrderID().String()} {
		c := shop.Checkout{ID: "q", OrderRef: ref, Payer: anna, Amount: shop.Money{Minor: 1, Currency: shop.XTR}}
		if err := w.begin(c); !errors.Is(err, shop.ErrUnknownOrder) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	o := w.orderInStars()
	w.must(w.begin(asks(o, "q")))
	w.must(w.EndCheckout(t.Context(), asks(o, "q"), false))
	w.must(w.CancelOrder(t.Context(), anna, o.ID))
	if err := w.begin(asks(o, "q")); !errors.Is(err, shop.ErrNotPayable) {
		t.Error("a cancelled order may be paid", err)
	}
}

func TestWhoMayNotPayKeepsNobodyOff(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	stranger, cheap := asks(o, "q1"), asks(o, "q2")
	stranger.Payer++
	cheap.Amount.Minor--
	for _, c := range []shop.Checkout{stranger, cheap} {
		if err := w.begin(c); err == nil {
			t.Errorf("%+v may be paid", c)
		}
	}
	w.must(w.begin(asks(o, "q3")))
}

func TestOneOrderHasOneCheckoutAtATime(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	w.must(w.begin(asks(o, "first")))
	w.must(w.begin(asks(o, "first"))) // asked again, for want of an answer
	refused := func(id string) {
		t.Helper()
		if err := w.begin(asks(o, id)); !errors.Is(err, shop.ErrBeingPaid) {
			t.Errorf("%s: %v", id, err)
		}
	}
	refused("second")
	w.must(w.EndCheckout(t.Context(), asks(o, "second"), true)) // of one that was never begun
	if w.agreed(o) {
		t.Error("what was not begun counts as agreed")
	}
	w.must(w.EndCheckout(t.Context(), asks(o, "first"), true))
	refused("first") // it is answered
	refused("second")
	w.pass(2*time.Minute - time.Second)
	refused("second")
	if !w.agreed(o) {
		t.Error("what was refused undid what was agreed")
	}
	w.pass(time.Second)
	refused("second") // we may have been away when its payment was told of
	w.must(w.SweepPayments(t.Context(), shop.Stars))
	w.must(w.begin(asks(o, "second")))
	if w.agreed(o) {
		t.Error("agreed before the provider took it")
	}
	w.must(w.EndCheckout(t.Context(), asks(o, "second"), false))
	w.must(w.begin(asks(o, "third"))) // at once
}

// Telegram took our consent, and then we were away for minutes: the customer may have
// paid, and Telegram has not told us yet. Its own list knows.
func TestAnotherCheckoutWaitsUntilTelegramsListIsRead(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{false, true} {
		w := setup(t)
		o := w.orderInStars()
		w.must(w.OpenInvoice(t.Context(), o.ID))
		w.must(w.begin(asks(o, "first")))
		w.must(w.EndCheckout(t.Context(), asks(o, "first"), true))
		w.must(w.SweepPayments(t.Context(), shop.Stars)) // too soon to find all
		if paid {
			w.stars.Pay(o)
		}
		w.pass(3 * time.Minute)
		if err := w.begin(asks(o, "second")); !errors.Is(err, shop.ErrBeingPaid) || w.jobs("sweep_payments") == 0 {
			t.Errorf("%v, %d sweeps", err, w.jobs("sweep_payments"))
		}
		w.stars.Down.Store(true)
		if err := w.SweepPayments(t.Context(), shop.Stars); err == nil {
			t.Error("swept a list that is not there")
		}
		if err := w.begin(asks(o, "second")); !errors.Is(err, shop.ErrBeingPaid) {
			t.Errorf("after a sweep that read nothing: %v", err)
		}
		w.stars.Down.Store(false)
		w.must(w.SweepPayments(t.Context(), shop.Stars))
		switch err := w.begin(asks(o, "second")); {
		case paid && (!errors.Is(err, shop.ErrNotPayable) || w.status(o) != shop.OrderPaid):
			t.Errorf("paid, and charged again: %v", err)
		case !paid && err != nil:
			t.Error(err)
		}
	}
}

func TestOfCheckoutsAtOnceOneIsAgreedTo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	var agreed atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch err := w.begin(asks(o, string(rune('a'+i)))); {
			case err == nil:
				agreed.Add(1)
			case !errors.Is(err, shop.ErrBeingPaid):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := agreed.Load(); n != 1 {
		t.Errorf("%d agreed to", n)
	}
}

// The word of an update is a hint; what we agreed to, and the provider's own list, count.
func TestAnUpdateIsBelievedOnlyOfWhatWasAgreedTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		begun   bool
		answers []bool // of the provider to our consent
		want    shop.OrderStatus
	}{
		{"no checkout", false, nil, shop.OrderOpen},
		{"no answer of the provider's", true, nil, shop.OrderOpen},
		{"refused by the provider", true, []bool{false}, shop.OrderOpen},
		{"taken by the provider", true, []bool{true}, shop.OrderPaid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			o := w.orderInStars()
			forged := shop.PaymentEvent{Provider: shop.Stars, ExternalID: "made-up", OrderRef: o.ID.String(), Invoiced: o.Quote.Total, Raw: []byte("{}")}
			if c.begun {
				w.must(w.begin(asks(o, "q")))
			}
			for _, taken := range c.answers {
				w.must(w.EndCheckout(t.Context(), asks(o, "q"), taken))
			}
			w.must(w.Credit(t.Context(), forged))
			hint := c.want == shop.OrderOpen
			if got := w.status(o); got != c.want || (w.jobs("sweep_payments") > 0) != hint {
				t.Errorf("%s, %d sweeps", got, w.jobs("sweep_payments"))
			}
			w.must(w.SweepPayments(t.Context(), shop.Stars))
			if got := w.status(o); got != c.want {
				t.Errorf("%s once Telegram was asked", got)
			}
			if !hint {
				return
			}
			w.must(w.OpenInvoice(t.Context(), o.ID))
			w.stars.Pay(o) // a real one, of which a crash took our note
			w.must(w.SweepPayments(t.Context(), shop.Stars))
			if got := w.status(o); got != shop.OrderPaid {
				t.Errorf("%s though Telegram has the payment", got)
			}
		})
	}
}

// The update of a payment may overtake the note of our consent: it waits for that, but
// not for long.
func TestAPaymentWaitsForTheNoteOfOurConsent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	w.must(w.begin(asks(o, "q")))
	paid := shop.PaymentEvent{Provider: shop.Stars, ExternalID: "x", OrderRef: o.ID.String(), Invoiced: o.Quote.Total, PaidAt: w.now(), Raw: []byte("{}")}
	if err := w.Credit(t.Context(), paid); shop.KindOf(err) != shop.KindLimited || w.jobs("sweep_payments") != 0 {
		t.Errorf("%v, %d sweeps", err, w.jobs("sweep_payments"))
	}
	w.must(w.EndCheckout(t.Context(), asks(o, "q"), true))
	w.must(w.Credit(t.Context(), paid))
	if got := w.status(o); got != shop.OrderPaid {
		t.Errorf("%s", got)
	}
	w.pass(2 * time.Second)
	paid.OrderRef = shop.NewOrderID().String()
	w.must(w.Credit(t.Context(), paid))
	if w.jobs("sweep_payments") == 0 {
		t.Error("an old payment is no hint")
	}
}

func TestAHintAboutNoOrderIsAHint(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, ref := range []string{"a donation", shop.NewOrderID().String()} {
		w.must(w.Credit(t.Context(), shop.PaymentEvent{Provider: shop.Stars, ExternalID: "x", OrderRef: ref, Raw: []byte("{}")}))
	}
	var events int
	w.must(w.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM payment_events`).Scan(&events))
	if sweeps := w.jobs("sweep_payments"); events != 0 || sweeps == 0 {
		t.Errorf("%d events, %d sweeps", events, sweeps)
	}
}

func TestWhoIsAskedForIsSweptAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.orderInStars()
	w.must(w.OpenInvoice(t.Context(), o.ID))
	w.stars.Pay(o)
	w.gateway.Down.Store(true)
	w.must(w.SweepPayments(t.Context(), shop.Stars)) // and not Crypto Pay, which is down
	if got := w.status(o); got != shop.OrderPaid {
		t.Errorf("%s", got)
	}
}
