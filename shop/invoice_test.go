package shop_test

import (
	"sync"
	"testing"

	"sallyport/shop"
)

// endLeases has every lease of an invoice end, as time does.
func (w *world) endLeases() {
	w.t.Helper()
	w.sql(`UPDATE invoices SET leased_until = now() - interval '1 second'`)
}

// The provider takes its time with an invoice, and the process that asked for it is
// thought dead: its job is given to others. The order gets one invoice all the same.
func TestAnOrderGetsOneInvoiceWhoeverAsksForItMeanwhile(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	var others sync.WaitGroup
	w.gateway.BeforeInvoice(func() {
		for range 3 {
			others.Go(func() {
				if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindLimited {
					t.Errorf("while another asks: %v", err)
				}
			})
		}
		others.Wait()
	})
	w.must(w.OpenInvoice(t.Context(), o.ID))
	w.must(w.OpenInvoice(t.Context(), o.ID)) // a job that is done twice
	if made, told := w.gateway.Made(), w.notices()["invoice"]; made != 1 || told != 1 {
		t.Errorf("%d invoices, told %d times", made, told)
	}
}

// An invoice whose answer was lost is found again, when nobody can be about to get it.
func TestAnInvoiceWhoseAnswerWasLostIsFoundWhenTheLeaseIsOver(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.gateway.LoseReply.Store(true)
	if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindUnavailable {
		t.Fatal(err)
	}
	if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindLimited {
		t.Fatal(err)
	}
	w.endLeases()
	w.must(w.OpenInvoice(t.Context(), o.ID))
	if made := w.gateway.Made(); made != 1 {
		t.Errorf("%d invoices", made)
	}
}

// A provider that says no has made none: nobody need wait before asking again.
func TestAnInvoiceThatWasRefusedMayBeAskedForAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.gateway.Refuse.Store(true)
	for range 2 {
		if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindInternal {
			t.Fatal(err)
		}
	}
	w.gateway.Refuse.Store(false)
	w.must(w.OpenInvoice(t.Context(), o.ID))
	if made := w.gateway.Made(); made != 1 {
		t.Errorf("%d invoices", made)
	}
}
