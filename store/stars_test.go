package store_test

import (
	"sync"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/store"
)

// starsFor is Telegram's word that an order was paid in Stars.
func starsFor(o shop.Order) shop.PaymentEvent {
	return shop.PaymentEvent{
		Provider: shop.Stars, ExternalID: "stx-" + o.ID.String(), OrderRef: o.ID.String(), Invoiced: o.Quote.Total,
		PaidAt: time.Now(), Raw: []byte(`{"update_id":1}`),
	}
}

func TestAnOrderRemembersByWhomItIsPaid(t *testing.T) {
	t.Parallel()
	for _, p := range []shop.Provider{shop.CryptoBot, shop.Stars} {
		s := server.Open(t)
		o := placedBy(t, s, p)
		got, err := s.Order(t.Context(), o.ID)
		if err != nil || got.Provider != p || got.Quote.Total != o.Quote.Total {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// The program before this column places orders without it, and they are CryptoBot's.
func TestAnOrderThatNamesNoProviderIsCryptoBots(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	id := shop.NewOrderID()
	if _, err := s.Pool().Exec(t.Context(), `
		INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at)
		SELECT $2, user_id, plan, period_id, period_seconds, price_minor, currency, 'cancelled', created_at, expires_at
		FROM orders WHERE id = $1`, o.ID.UUID, id.UUID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Order(t.Context(), id); err != nil || got.Provider != shop.CryptoBot {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStarsAndXTRGoTogether(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placedBy(t, s, shop.Stars)
	for _, sql := range []string{
		`UPDATE orders SET currency = 'RUB' WHERE id = $1`,
		`UPDATE orders SET provider = 'cryptobot' WHERE id = $1`,
	} {
		_, err := s.Pool().Exec(t.Context(), sql, o.ID.UUID)
		assertCheckViolation(t, err)
	}
}

// The update and the sweep tell of the same payment at once, again and again.
func TestAPaymentInStarsSettlesOnceWhateverComesAtOnce(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placedBy(t, s, shop.Stars)
	swept := starsFor(o)
	swept.Raw, swept.PaidAt = []byte(`{"id":"stx"}`), swept.PaidAt.Add(time.Second)
	outcomes := make(chan shop.Outcome, 16)
	var wg sync.WaitGroup
	for i := range cap(outcomes) {
		wg.Go(func() {
			outcome, err := settle(t, s, []shop.PaymentEvent{starsFor(o), swept}[i%2])
			if err != nil {
				t.Error(err)
			}
			outcomes <- outcome
		})
	}
	wg.Wait()
	close(outcomes)
	seen := make(map[shop.Outcome]int)
	for outcome := range outcomes {
		seen[outcome]++
	}
	if seen[shop.Settled] != 1 || seen[shop.Duplicate] != cap(outcomes)-1 {
		t.Errorf("%v", seen)
	}
	if n := count(t, s, `SELECT count(*) FROM ledger_entries WHERE currency = 'XTR' AND (account, minor) IN (('provider:stars', 99), ('sales', -99))`); n != 2 {
		t.Errorf("%d entries of 99 Stars", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE kind = 'converge_user'`); n != 1 {
		t.Errorf("%d jobs to give access", n)
	}
	if ids, err := s.Unsettled(t.Context(), shop.Stars, []string{swept.ExternalID, "other"}); err != nil || len(ids) != 1 || ids[0] != "other" {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestStarsThatAreNotRightAreFlaggedOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		by     shop.Provider
		spoil  func(*shop.PaymentEvent)
	}{
		{"wrong_amount", shop.Stars, func(e *shop.PaymentEvent) { e.Invoiced.Minor++ }},
		{"wrong_amount", shop.Stars, func(e *shop.PaymentEvent) { e.Invoiced.Currency = "RUB" }},
		{"wrong_amount", shop.CryptoBot, func(e *shop.PaymentEvent) { e.Invoiced.Currency = shop.XTR }}, // of an order in roubles
		{"unknown_order", shop.Stars, func(e *shop.PaymentEvent) { e.OrderRef = shop.NewOrderID().String() }},
		{"unknown_order", shop.Stars, func(e *shop.PaymentEvent) { e.OrderRef = "a donation" }},
	} {
		s := server.Open(t)
		e := starsFor(placedBy(t, s, c.by))
		c.spoil(&e)
		for _, want := range []shop.Outcome{shop.Flagged, shop.Duplicate} {
			if outcome, err := settle(t, s, e); outcome != want || err != nil {
				t.Errorf("%s: %s, %v", c.reason, outcome, err)
			}
		}
		if n := count(t, s, `SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reason = $1 AND raw = $2`, c.reason, e.Raw); n != 1 {
			t.Errorf("%s: %d events", c.reason, n)
		}
		if n := count(t, s, `SELECT count(*) FROM ledger_postings WHERE kind = 'sale'`); n != 0 {
			t.Errorf("%s: %d postings", c.reason, n)
		}
	}
}

func TestFlagKeepsOnceAndStaysApartFromWhatIsSettled(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placedBy(t, s, shop.Stars)
	flag := func(want shop.Outcome) {
		t.Helper()
		if outcome, err := shopOf(s).Refunded(t.Context(), starsFor(o)); outcome != want || err != nil {
			t.Errorf("%s, %v", outcome, err)
		}
	}
	flag(shop.Flagged) // before we heard of the payment
	if outcome, err := settle(t, s, starsFor(o)); outcome != shop.Settled || err != nil {
		t.Errorf("%s, %v", outcome, err)
	}
	flag(shop.Duplicate)
	assertEvents(t, s, o, 1, 1)
}

func assertEvents(t *testing.T, s *store.Store, o shop.Order, settled, flagged int) {
	t.Helper()
	for outcome, want := range map[shop.Outcome]int{shop.Settled: settled, shop.Flagged: flagged} {
		if n := count(t, s, `SELECT count(*) FROM payment_events WHERE order_id = $1 AND outcome = $2`, o.ID.UUID, outcome); n != want {
			t.Errorf("%d %s, want %d", n, outcome, want)
		}
	}
}
