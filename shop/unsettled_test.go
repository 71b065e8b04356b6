package shop_test

import (
	"testing"

	"sallyport/shop"
)

// events counts the payment events of this outcome that no operator has looked at.
func (w *world) events(outcome shop.Outcome) (n int) {
	w.t.Helper()
	w.must(w.store.Pool().QueryRow(w.t.Context(), `SELECT count(*) FROM payment_events WHERE outcome = $1 AND reviewed_at IS NULL`, outcome).Scan(&n))
	return n
}

// sql changes the database behind the shop's back.
func (w *world) sql(statement string, args ...any) {
	w.t.Helper()
	_, err := w.store.Pool().Exec(w.t.Context(), statement, args...)
	w.must(err)
}

// A fault of ours keeps a payment from being settled, however often it is repeated. It is
// kept, its sender need not repeat it, and it is settled when the fault is gone, also if
// the provider's own list does not go back so far any more.
func TestAPaymentThatCannotBeSettledIsKeptAndSettledLater(t *testing.T) {
	t.Parallel()
	for _, forgotten := range []bool{false, true} {
		w := setup(t)
		o := w.order()
		w.must(w.OpenInvoice(t.Context(), o.ID))
		paid := w.gateway.Pay(o)
		w.sql(`ALTER TABLE ledger_postings RENAME TO mislaid`)
		for _, want := range []shop.Outcome{shop.Flagged, shop.Duplicate} {
			if outcome, err := w.Settle(t.Context(), paid); outcome != want || err != nil {
				t.Errorf("%s, %v", outcome, err)
			}
		}
		w.must(w.SweepPayments(t.Context(), "")) // it keeps no other from being found
		if got := w.status(o); got == shop.OrderPaid || w.events(shop.Flagged) != 1 {
			t.Errorf("%s, %d kept", got, w.events(shop.Flagged))
		}
		w.sql(`ALTER TABLE mislaid RENAME TO ledger_postings`)
		if forgotten {
			w.gateway.Forget()
		}
		w.must(w.SweepPayments(t.Context(), ""))
		if got := w.status(o); got != shop.OrderPaid || w.events(shop.Settled) != 1 || w.events(shop.Flagged) != 0 {
			t.Errorf("%s, %d settled, %d still kept", got, w.events(shop.Settled), w.events(shop.Flagged))
		}
		w.must(w.Converge(t.Context(), anna))
		if !w.node.Has(w.sub().Access) {
			t.Error("they have paid and have no access")
		}
	}
}
