package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"sallyport/sandbox"
	"sallyport/sandbox/cryptopay"
)

// books compares what the product wrote down with what really happened.
type books struct {
	t  *testing.T
	w  *sandbox.World
	db *pgx.Conn // past the faults
}

func newBooks(t *testing.T, w *sandbox.World) *books {
	t.Helper()
	db, err := pgx.Connect(t.Context(), w.Ready().DatabaseDirectURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	return &books{t: t, w: w, db: db}
}

// count runs a query for one number.
func (b *books) count(query string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.db.QueryRow(b.t.Context(), query, args...).Scan(&n); err != nil {
		b.t.Fatalf("%v in %s", err, query)
	}
	return n
}

// owed says what is still under way, nil if nothing is.
func (b *books) owed() error {
	b.t.Helper()
	for _, part := range []struct {
		what string
		n    int
	}{
		{"updates at Telegram", b.w.Telegram.Pending()},
		{"callbacks at Crypto Pay", b.w.CryptoPay.Pending()},
		{"updates in the inbox", b.count(`SELECT count(*) FROM inbox WHERE state = 'waiting'`)},
		{"undelivered orders", b.count(`SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NULL`)},
		{"jobs", b.count(`SELECT count(*) FROM river_job
			WHERE kind IN ('converge_user', 'converge_users', 'notify', 'open_invoice') AND finalized_at IS NULL`)},
	} {
		if part.n > 0 {
			return fmt.Errorf("%d %s", part.n, part.what)
		}
	}
	return nil
}

// settle waits until nothing is owed.
func (b *books) settle(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.owed()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still owed: %w", err)
		}
	}
}

// check compares everything. Nothing may be under way.
func (b *books) check() {
	b.t.Helper()
	b.checkInvoices()
	b.checkStars()
	b.checkLedger()
	b.checkSubscriptions()
	b.checkInbox()
	for _, broken := range b.w.Telegram.Violations() {
		b.t.Errorf("the product broke the Bot API's rules: %s", broken)
	}
}

// checkInvoices checks that each order has one invoice at the provider, and that
// each paid one paid its order exactly once.
func (b *books) checkInvoices() {
	b.t.Helper()
	paid, made := 0, make(map[string]int64)
	for _, invoice := range b.w.CryptoPay.Invoices() {
		if other, twice := made[invoice.Payload]; twice {
			b.t.Errorf("order %s has two invoices, %d and %d", invoice.Payload, other, invoice.ID)
		}
		made[invoice.Payload] = invoice.ID
		if invoice.Status != cryptopay.StatusPaid {
			continue
		}
		paid++
		b.checkPaid("cryptobot", invoice.Payload, fmt.Sprint(invoice.ID))
	}
	b.checkNumber("cryptobot", paid)
}

// checkStars checks that each charge of Stars paid its order exactly once.
func (b *books) checkStars() {
	b.t.Helper()
	charges := 0
	for _, user := range b.w.Telegram.Users() {
		for _, m := range b.w.Telegram.Chat(user).Messages {
			if m.Payment != nil {
				charges++
				b.checkPaid("stars", m.Payment.Payload, m.Payment.ChargeID)
			}
		}
	}
	b.checkNumber("stars", charges)
}

// checkPaid checks that what was paid at the provider paid its order exactly once.
func (b *books) checkPaid(provider, order, payment string) {
	b.t.Helper()
	var status string
	var delivered bool
	var events, sales int
	err := b.db.QueryRow(b.t.Context(), `
		SELECT o.status, o.delivered_at IS NOT NULL,
			(SELECT count(*) FROM payment_events e WHERE e.order_id = o.id
				AND (e.provider, e.external_id, e.outcome, e.currency) = ($2, $3, 'settled', o.currency)),
			(SELECT count(*) FROM ledger_postings p WHERE p.order_id = o.id AND p.kind = 'sale')
		FROM orders o WHERE o.id = $1::uuid AND o.provider = $2`, order, provider, payment).Scan(&status, &delivered, &events, &sales)
	if err != nil || status != "paid" || !delivered || events != 1 || sales != 1 {
		b.t.Errorf("%s %s is paid; its order: %v, %q, delivered: %t, %d settled events, %d sales",
			provider, payment, err, status, delivered, events, sales)
	}
}

// checkNumber checks how many orders were paid by way of a provider.
func (b *books) checkNumber(provider string, paid int) {
	b.t.Helper()
	if n := b.count(`SELECT count(*) FROM orders WHERE status = 'paid' AND provider = $1`, provider); n != paid {
		b.t.Errorf("%d orders are paid by %s, want %d", n, provider, paid)
	}
	if n := b.count(`SELECT count(*) FROM payment_events WHERE provider = $1`, provider); n != paid {
		b.t.Errorf("%d payment events of %s, want %d", n, provider, paid)
	}
}

// checkLedger checks that the ledger balances and holds what was sold, once.
func (b *books) checkLedger() {
	b.t.Helper()
	if n := b.count(`SELECT coalesce(sum(minor), 0) FROM ledger_entries`); n != 0 {
		b.t.Errorf("the ledger's sum is %d", n)
	}
	if sales, sold := b.count(`SELECT count(*) FROM ledger_postings`), b.count(`SELECT count(*) FROM orders WHERE status = 'paid'`); sales != sold {
		b.t.Errorf("%d postings for %d paid orders", sales, sold)
	}
	if n := b.count(`
		SELECT count(*) FROM (
			SELECT currency FROM (
				SELECT currency, price_minor AS minor FROM orders WHERE status = 'paid'
				UNION ALL
				SELECT currency, minor FROM ledger_entries WHERE account = 'sales'
			) both_sides GROUP BY currency HAVING sum(minor) <> 0
		) differ`); n != 0 {
		b.t.Errorf("what was sold and what was earned differ in %d currencies", n)
	}
}

// entitled is a customer who paid, and what the product promised them.
type entitled struct {
	User          int64
	Access        string
	UUID          uuid.UUID
	Status        string
	Expires, Paid time.Time // the end, and the first payment
	Orders        int
	Seconds       float64 // paid for, and waited for between each payment and its delivery
}

// off is by how much the promise differs from the rule: every period that was
// paid for, and the wait for each, from the first payment on. It holds for those
// who order again only once they have what they ordered before.
func (e entitled) off() time.Duration {
	return e.Expires.Sub(e.Paid.Add(time.Duration(e.Seconds * float64(time.Second))))
}

func (b *books) entitled() []entitled {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), `
		SELECT s.user_id, s.access_id, s.uuid, s.status, s.expires_at, min(o.paid_at), count(*),
			sum(o.period_seconds + extract(epoch FROM o.delivered_at - o.paid_at))::float8
		FROM subscriptions s JOIN orders o ON o.user_id = s.user_id AND o.status = 'paid'
		GROUP BY s.user_id`)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entitled])
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// checkSubscriptions checks that everybody has the time that they paid for and the
// time that they waited, no more and no less, and that their key is in their chat
// and at the VPN server, and no other.
func (b *books) checkSubscriptions() {
	b.t.Helper()
	_, users := ask[[]struct{ ID, UUID string }](b.t, http.MethodGet, b.w.Ready().ControlURL+"/xray/users", "")
	let := make(map[string]string, len(users))
	for _, u := range users {
		let[u.ID] = u.UUID
	}
	list := b.entitled()
	for _, e := range list {
		if e.Status != "active" || e.off().Abs() > time.Second {
			b.t.Errorf("customer %d is %s until %s, which is %s off what %d orders and the wait for them give",
				e.User, e.Status, e.Expires, e.off(), e.Orders)
		}
		if let[e.Access] != e.UUID.String() {
			b.t.Errorf("customer %d: the VPN server knows %q as %q", e.User, e.Access, let[e.Access])
		}
		if !b.holdsKey(e.User, e.UUID) {
			b.t.Errorf("customer %d never got the key", e.User)
		}
	}
	if len(let) != len(list) {
		b.t.Errorf("the VPN server lets %d in, want %d", len(let), len(list))
	}
}

// holdsKey says whether the customer's chat shows the key.
func (b *books) holdsKey(user int64, key uuid.UUID) bool {
	for _, m := range b.w.Telegram.Chat(user).Messages {
		if m.FromBot && strings.Contains(m.Text, "vless://"+key.String()) {
			return true
		}
	}
	return false
}

// checkInbox checks that every update that Telegram was rid of was kept and
// handled. The emulator counts updates one by one, so that a lost one is a gap; a
// question before a payment is answered, not kept.
func (b *books) checkInbox() {
	b.t.Helper()
	if n := b.count(`
		SELECT coalesce(max(update_id) - min(update_id) + 1 - count(*), 0)
		FROM (SELECT update_id FROM inbox UNION SELECT unnest($1::bigint[])) told`, b.w.Telegram.CheckoutUpdates()); n != 0 {
		b.t.Errorf("%d acknowledged updates are lost", n)
	}
	if n := b.count(`SELECT count(*) FROM inbox WHERE state <> 'done'`); n != 0 {
		b.t.Errorf("%d updates were not handled", n)
	}
	if n := b.count(`SELECT count(*) FROM dead_letters`); n != 0 {
		b.t.Errorf("%d deliveries were not understood", n)
	}
	if n := b.count(`SELECT count(*) FROM river_job
		WHERE kind IN ('converge_user', 'converge_users', 'notify', 'open_invoice') AND state <> 'completed'`); n != 0 {
		b.t.Errorf("%d jobs were given up", n)
	}
}
