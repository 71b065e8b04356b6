package store_test

import (
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sallyport/shop"
	"sallyport/store"
)

const buyer = shop.UserID(42)

func placed(t *testing.T, s *store.Store) shop.Order {
	t.Helper()
	return placedBy(t, s, shop.CryptoBot)
}

func placedBy(t *testing.T, s *store.Store, p shop.Provider) shop.Order {
	t.Helper()
	return placedFor(t, s, buyer, p)
}

// placedFor places an order of this customer's, to be paid at the provider.
func placedFor(t testing.TB, s *store.Store, buyer shop.UserID, p shop.Provider) shop.Order {
	t.Helper()
	o, err := orderOf(t.Context(), s, buyer, p)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var offered = shop.Offer{
	Plan: shop.Plan{ID: "basic"},
	Period: shop.Period{
		ID: "30d", Length: 30 * 24 * time.Hour,
		Price: shop.Money{Minor: 14900, Currency: "RUB"}, Stars: shop.Money{Minor: 99, Currency: shop.XTR},
	},
}

func paymentOf(o shop.Order) shop.PaymentEvent {
	return shop.PaymentEvent{
		Provider: shop.CryptoBot, ExternalID: "inv-" + o.ID.String(), OrderRef: o.ID.String(), Invoiced: o.Quote.Total,
		PaidAsset: "USDT", PaidAmount: "1.9", PaidAt: time.Now(), Raw: []byte(`{}`),
	}
}

func settle(t testing.TB, s *store.Store, e shop.PaymentEvent) (shop.Outcome, error) {
	t.Helper()
	return settleNow(t.Context(), s, e)
}

func count(t *testing.T, s *store.Store, sql string, args ...any) (n int) {
	t.Helper()
	if err := s.Pool().QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSettleBooksOnceWhateverIsRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	outcomes := make(chan shop.Outcome, 16)
	var wg sync.WaitGroup
	for range cap(outcomes) {
		wg.Go(func() {
			outcome, err := settle(t, s, paymentOf(o))
			if err != nil {
				t.Error(err)
			}
			outcomes <- outcome
		})
	}
	wg.Wait()
	close(outcomes)
	settled := 0
	for outcome := range outcomes {
		if outcome == shop.Settled {
			settled++
		} else if outcome != shop.Duplicate {
			t.Errorf("outcome %q", outcome)
		}
	}
	if settled != 1 {
		t.Errorf("settled %d times", settled)
	}
	if n := count(t, s, `SELECT count(*) FROM ledger_postings`); n != 1 {
		t.Errorf("%d postings", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE kind = 'converge_user'`); n != 1 {
		t.Errorf("%d jobs to give access", n)
	}
	sub, err := s.Subscription(t.Context(), buyer)
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Until(sub.ExpiresAt).Round(time.Hour); got != 30*24*time.Hour {
		t.Errorf("access for %s", got)
	}
}

func TestSettleKeepsAndFlagsWhatIsWrong(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		spoil  func(*shop.PaymentEvent)
		reason string
	}{
		{"another amount", func(e *shop.PaymentEvent) { e.Invoiced.Minor-- }, "wrong_amount"},
		{"another currency", func(e *shop.PaymentEvent) { e.Invoiced.Currency = "USD" }, "wrong_amount"},
		{"an asset not accepted", func(e *shop.PaymentEvent) { e.PaidAsset = "JET" }, "wrong_asset"},
		{"an order nobody knows", func(e *shop.PaymentEvent) { e.OrderRef = shop.NewOrderID().String() }, "unknown_order"},
		{"no order at all", func(e *shop.PaymentEvent) { e.OrderRef = "" }, "unknown_order"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := server.Open(t)
			o := placed(t, s)
			e := paymentOf(o)
			c.spoil(&e)
			for _, want := range []shop.Outcome{shop.Flagged, shop.Duplicate} { // the provider repeats: still one row
				if outcome, err := settle(t, s, e); outcome != want || err != nil {
					t.Fatalf("outcome %q, %v", outcome, err)
				}
			}
			if n := count(t, s, `SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reason = $1`, c.reason); n != 1 {
				t.Errorf("%d flagged events for %s", n, c.reason)
			}
			if n := count(t, s, `SELECT count(*) FROM ledger_postings WHERE kind = 'sale'`); n != 0 {
				t.Errorf("%d postings", n)
			}
			if outcome, err := settle(t, s, paymentOf(o)); outcome != shop.Settled || err != nil {
				t.Errorf("the right payment after the wrong one: %q, %v", outcome, err)
			}
		})
	}
}

func TestSettleHonoursLatePayments(t *testing.T) {
	t.Parallel()
	for _, status := range []shop.OrderStatus{shop.OrderExpired, shop.OrderCancelled} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			s := server.Open(t)
			o := placed(t, s)
			if closed, err := s.CloseOrder(t.Context(), o.ID, status); !closed || err != nil {
				t.Fatal(closed, err)
			}
			if outcome, err := settle(t, s, paymentOf(o)); outcome != shop.Settled || err != nil {
				t.Errorf("outcome %q, %v", outcome, err)
			}
		})
	}
}

func TestSettleFlagsASecondPaymentOfOneOrder(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	first, second := paymentOf(o), paymentOf(o)
	second.ExternalID = "another invoice"
	if outcome, err := settle(t, s, first); outcome != shop.Settled || err != nil {
		t.Fatal(outcome, err)
	}
	if outcome, err := settle(t, s, second); outcome != shop.Flagged || err != nil {
		t.Errorf("outcome %q, %v", outcome, err)
	}
}

// A newer program sells something that this one does not know: what is paid for it waits
// for that program.
func TestAPaymentForAPurposeThatIsUnknownWaits(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	become := func(purpose, plan, period, seconds string) {
		t.Helper()
		if _, err := s.Pool().Exec(t.Context(), `UPDATE orders SET purpose = $2, plan = `+plan+`, period_id = `+period+`, period_seconds = `+seconds+` WHERE id = $1`,
			o.ID.UUID, purpose); err != nil {
			t.Fatal(err)
		}
	}
	become("gift", "NULL", "NULL", "NULL")
	e := paymentOf(o)
	if outcome, err := settle(t, s, e); outcome != shop.Flagged || err != nil {
		t.Fatal(outcome, err)
	}
	got, err := s.Order(t.Context(), o.ID)
	if err != nil || got.Status != shop.OrderOpen || got.Purpose != (shop.UnknownPurpose{Kind: "gift"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if sum := balances(t, s); len(sum) != 0 {
		t.Errorf("booked: %v", sum)
	}
	become("access", "'basic'", "'30d'", "2592000")
	if err := shopOf(s).SweepPayments(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Order(t.Context(), o.ID); err != nil || got.Status != shop.OrderPaid {
		t.Errorf("the newer program: %+v, %v", got, err)
	}
}

func TestSettleKnowsTheOrderByItsInvoiceToo(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	if _, err := s.RequestInvoice(t.Context(), o.ID, shop.CryptoBot, time.Second); err != nil {
		t.Fatal(err)
	}
	e := paymentOf(o)
	if err := s.SaveInvoice(t.Context(), shop.Invoice{Provider: e.Provider, ExternalID: e.ExternalID, OrderID: o.ID, URL: "https://pay.example/1"}, nil); err != nil {
		t.Fatal(err)
	}
	e.OrderRef = ""
	if outcome, err := settle(t, s, e); outcome != shop.Settled || err != nil {
		t.Errorf("outcome %q, %v", outcome, err)
	}
}

func TestLedgerRefusesWhatDoesNotBalance(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	o := placed(t, s)
	cases := []struct {
		name string
		sql  string
	}{
		{"one-sided", `WITH p AS (INSERT INTO ledger_postings (kind, order_id) VALUES ('x', $1) RETURNING id)
			INSERT INTO ledger_entries SELECT id, 'sales', -5, 'RUB' FROM p`},
		{"two currencies that sum to zero", `WITH p AS (INSERT INTO ledger_postings (kind, order_id) VALUES ('x', $1) RETURNING id)
			INSERT INTO ledger_entries SELECT id, a, m, c FROM p, (VALUES ('sales', -5, 'RUB'), ('provider:x', 5, 'USD')) AS e (a, m, c)`},
		{"empty", `INSERT INTO ledger_postings (kind, order_id) VALUES ('x', $1)`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Pool().Exec(t.Context(), c.sql, o.ID.UUID)
			assertCheckViolation(t, err)
		})
	}
	if _, err := settle(t, s, paymentOf(o)); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`UPDATE ledger_entries SET minor = minor * 2`, `DELETE FROM ledger_entries`, `DELETE FROM ledger_postings`} {
		_, err := s.Pool().Exec(t.Context(), sql)
		assertCheckViolation(t, err)
	}
}

func assertCheckViolation(t *testing.T, err error) {
	t.Helper()
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.Code != "23514" {
		t.Errorf("want a check violation, got %v", err)
	}
}

// balances returns what the ledger has on each account.
func balances(t *testing.T, s *store.Store) map[string]int {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), `SELECT concat_ws(' ', account, nullif(currency, 'RUB')), sum(minor) FROM ledger_entries GROUP BY account, currency HAVING sum(minor) <> 0`)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]int)
	var account string
	var minor int
	if _, err := pgx.ForEachRow(rows, []any{&account, &minor}, func() error {
		found[account] = minor
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// The books show what the provider holds, also of money that fits no order, until somebody
// decides.
func TestMoneyThatFitsNoOrderIsInTheBooks(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	holds := func(when string, want map[string]int) {
		t.Helper()
		if diff := cmp.Diff(want, balances(t, s)); diff != "" {
			t.Errorf("%s:\n%s", when, diff)
		}
	}
	must := func(outcome shop.Outcome, err error) {
		t.Helper()
		if err != nil || outcome == "" {
			t.Fatal(outcome, err)
		}
	}
	o := placed(t, s)
	first, second := paymentOf(o), paymentOf(o)
	first.PaidAmount, first.FeeAsset, first.FeeAmount = "1.9", "USDT", "0.057"
	second.ExternalID, second.PaidAsset, second.PaidAmount = "another invoice", "TON", "0.5000000019"
	odd := first
	odd.PaidAsset, odd.FeeAsset = "JET", "JET"
	must(settle(t, s, odd))
	must(settle(t, s, odd))
	jets := map[string]int{"provider:cryptobot JET": 1843000000, "fees JET": 57000000, "exchange JET": -1900000000, "exchange": 14900, "suspense": -14900}
	holds("paid in a coin that is not taken", jets)
	odd.Invoiced.Minor--
	must(settle(t, s, odd)) // the same money, for another reason
	holds("wrong twice over", jets)
	must(settle(t, s, first))
	sold := map[string]int{"provider:cryptobot USDT": 1843000000, "fees USDT": 57000000, "exchange USDT": -1900000000, "exchange": 14900, "sales": -14900}
	holds("and taken after all", sold)
	must(settle(t, s, second))
	twice := maps.Clone(sold)
	twice["provider:cryptobot TON"], twice["exchange TON"], twice["exchange"], twice["suspense"] = 500000001, -500000001, 29800, -14900
	holds("paid twice, the second time without a fee", twice)
	foreign := shop.PaymentEvent{
		Provider: shop.CryptoBot, ExternalID: "foreign", Invoiced: shop.Money{Minor: 1, Currency: "BTC"},
		PaidAsset: "BTC", PaidAmount: "0.000000001", FeeAsset: "BTC", FeeAmount: "0.000000001", Raw: []byte("{}"),
	}
	must(settle(t, s, foreign))
	twice["fees BTC"], twice["suspense BTC"] = 1, -1
	holds("an invoice of somebody else, of which the fee leaves nothing", twice)
	star := shop.PaymentEvent{Provider: shop.Stars, ExternalID: "star", Invoiced: shop.Money{Minor: 99, Currency: shop.XTR}, Raw: []byte("{}")}
	must(settle(t, s, star))
	twice["provider:stars XTR"], twice["suspense XTR"] = 99, -99
	holds("Stars for nothing", twice)
	must(shopOf(s).Refunded(t.Context(), star))
	must(shopOf(s).Refunded(t.Context(), star))
	delete(twice, "provider:stars XTR")
	delete(twice, "suspense XTR")
	holds("and given back", twice)
	must(settle(t, s, shop.PaymentEvent{Provider: shop.Stars, ExternalID: "unread", Raw: []byte("{}")}))
	holds("a row that tells of no amount", twice)
}
