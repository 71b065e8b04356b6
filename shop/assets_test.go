package shop_test

import (
	"testing"

	"sallyport/shop"
)

// What an order may be paid in is fixed when it is placed: a setting that changes while
// its invoice stands takes nobody's money for nothing.
func TestAnOrderIsPaidInWhatItWasPlacedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.must(w.OpenInvoice(t.Context(), o.ID))
	later := w.shopTaking([]string{"TON"}, w.node)
	paid := w.gateway.Pay(o) // in USDT
	foreign := paid
	foreign.PaidAsset = "TON"
	if outcome, err := later.Settle(t.Context(), foreign); outcome != shop.Flagged || err != nil {
		t.Errorf("paid in what its invoice did not take: %s, %v", outcome, err)
	}
	if outcome, err := later.Settle(t.Context(), paid); outcome != shop.Settled || err != nil {
		t.Errorf("%s, %v", outcome, err)
	}
}

// Orders of the program before this one name no assets.
func TestAnOrderThatNamesNoAssetsIsPaidInThoseOfToday(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.must(w.OpenInvoice(t.Context(), o.ID))
	w.sql(`UPDATE orders SET assets = NULL`)
	if outcome, err := w.shopTaking([]string{"TON"}, w.node).Settle(t.Context(), w.gateway.Pay(o)); outcome != shop.Flagged || err != nil {
		t.Errorf("%s, %v", outcome, err)
	}
	if outcome, err := w.Settle(t.Context(), w.gateway.Pay(o)); outcome != shop.Settled || err != nil {
		t.Errorf("%s, %v", outcome, err)
	}
}
