package store_test

import (
	"testing"

	"sallyport/shop"
	"sallyport/store"
)

// number sets the number of the next customer's access.
func number(t *testing.T, s *store.Store, n int64) {
	t.Helper()
	must(t, s, `SELECT setval('access_number', $1, false)`, n)
}

// assertBought has a new customer buy, and asserts what their access is named.
func assertBought(t *testing.T, s *store.Store, buyer shop.UserID, want shop.AccessID) {
	t.Helper()
	o := placedFor(t, s, buyer, shop.CryptoBot)
	if outcome, err := settle(t, s, paymentOf(o)); outcome != shop.Settled || err != nil {
		t.Fatalf("%s, %v", outcome, err)
	}
	sub, err := s.Subscription(t.Context(), buyer)
	if err != nil || sub.Access.ID != want {
		t.Errorf("access %q, want %q, %v", sub.Access.ID, want, err)
	}
}

func TestEveryCustomerGetsAnAccessHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for i, c := range []struct {
		number int64
		id     shop.AccessID
	}{
		{1, "a000001"},
		{100_000, "a100000"},
		{999_999, "a999999"},
		{1_000_000, "a1000000"},
		{1_000_001, "a1000001"},
		{123_456_789_012, "a123456789012"},
	} {
		number(t, s, c.number)
		assertBought(t, s, shop.UserID(1000+i), c.id)
	}
}

// An access that another customer has is a fault of ours: it must not look like
// something that the payment, or the customer, does wrong.
func TestAnAccessTwiceIsAFaultOfOurs(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	number(t, s, 7)
	assertBought(t, s, 1000, "a000007")
	o := placedFor(t, s, 1001, shop.CryptoBot)
	number(t, s, 7)
	if outcome, err := settle(t, s, paymentOf(o)); outcome != shop.Flagged || err != nil {
		t.Errorf("%q, %v", outcome, err)
	}
	assertEvents(t, s, o, 0, 1)
	if n := count(t, s, `SELECT count(*) FROM payment_events WHERE reason = 'unsettled' AND reviewed_at IS NULL`); n != 1 {
		t.Errorf("%d are kept until they can be settled", n)
	}
	if outcome, err := settle(t, s, paymentOf(o)); outcome != shop.Settled || err != nil { // the next number is free
		t.Errorf("%s, %v", outcome, err)
	}
}
