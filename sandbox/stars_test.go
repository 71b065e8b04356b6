package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/node/client"
	"sallyport/sandbox/telegram"
)

// galaxy is a world in which customers pay in Stars.
type galaxy struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // of the test
	w     *sandbox.World
	books *ledgers
}

func newGalaxy(t *testing.T, cfg sandbox.Config) *galaxy {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	w := start(t, cfg)
	return &galaxy{t: t, ctx: ctx, w: w, books: newBooks(t, w)}
}

// customer is one who pays in Stars.
func (g *galaxy) customer(id int64) *customer {
	p := newCustomer(g.w, id)
	p.stars = true
	return p
}

// opened returns a customer at the link by which they pay.
func (g *galaxy) opened(id int64) (p *customer, link string) {
	g.t.Helper()
	p = g.customer(id)
	link, err := p.orders(g.ctx)
	if err != nil || !strings.HasPrefix(link, telegram.LinkPrefix) {
		g.t.Fatalf("the button leads to %q, %v", link, err)
	}
	return p, link
}

func (g *galaxy) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// allDone waits until nothing is owed and compares everything.
func (g *galaxy) allDone() {
	g.t.Helper()
	g.must(g.books.Settle(g.ctx))
	g.books.check()
}

// key is the link in the customer's chat.
func (g *galaxy) key(user int64) string {
	g.t.Helper()
	link := regexp.MustCompile(`vless://\S+`).FindString(fmt.Sprint(g.w.Telegram.Chat(user).Messages))
	if link == "" {
		g.t.Fatalf("customer %d has no key", user)
	}
	return link
}

// connects fetches the page behind the tunnel with a key.
func (g *galaxy) connects(link string) {
	g.t.Helper()
	device, err := client.Start(g.ctx, g.w.Ready().Xray.Binary, link)
	g.must(err)
	defer func() { g.must(device.Stop()) }()
	request, err := http.NewRequestWithContext(g.ctx, http.MethodGet, g.w.Ready().InternetURL, http.NoBody)
	g.must(err)
	response, err := device.HTTPClient().Do(request)
	g.must(err)
	defer response.Body.Close()
	if page, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(page), "through the tunnel") {
		g.t.Errorf("behind the tunnel: %q, %v", page, err)
	}
}

// counted waits until the product has counted so many payments in Stars.
func (g *galaxy) counted(outcome string, want int) {
	g.t.Helper()
	line := fmt.Sprintf("sallyport_payments_total{outcome=%q,provider=\"stars\"} %d\n", outcome, want)
	eventually(g.t, func() error {
		if _, _, page := send(g.t, http.MethodGet, g.w.Ready().AppURL+"/metrics", "", nil); !bytes.Contains(page, []byte(line)) {
			return fmt.Errorf("the product does not say %s", line)
		}
		return nil
	})
}

// state is everything that a payment changes.
func (g *galaxy) state() (text string) {
	g.t.Helper()
	g.must(g.books.DB.QueryRow(g.ctx, `
		SELECT (SELECT json_agg(o ORDER BY id)::text FROM orders o) || (SELECT json_agg(s ORDER BY user_id)::text FROM subscriptions s)
			|| (SELECT json_agg(e)::text FROM ledger_entries e) || (SELECT json_agg(p)::text FROM payment_events p)`).Scan(&text))
	return text
}

func TestACustomerPaysInStarsAndConnects(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{})
	g.must(g.customer(7).buys(g.ctx))
	g.allDone()
	g.connects(g.key(7))
	g.counted("settled", 1)
	if n := g.books.count(`SELECT count(*) FROM ledger_entries WHERE (account, minor, currency) IN (('provider:stars', 199, 'XTR'), ('sales', -199, 'XTR'))`); n != 2 {
		t.Errorf("%d entries of 199 Stars", n)
	}

	var body []byte // the same payment, told by another update
	g.must(g.books.DB.QueryRow(g.ctx, `SELECT raw FROM payment_events`).Scan(&body))
	var update map[string]json.RawMessage
	g.must(json.Unmarshal(body, &update))
	delete(update, "update_id")
	again, err := json.Marshal(update)
	g.must(err)
	before := g.state()
	for range 2 {
		g.must(g.w.Telegram.Inject(again))
	}
	g.counted("duplicate", 2)
	g.allDone()
	if after := g.state(); after != before {
		t.Errorf("a payment that was told again changed\n%s\nto\n%s", before, after)
	}
}

func TestKilledRightAfterAPaymentInStarsItLosesNothing(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{})
	for id := int64(7); id < 11; id++ {
		p, link := g.opened(id)
		p.pays = func(int64) { control(t, g.w, "kill") }
		before, err := p.settles(link)
		g.must(err)
		g.must(p.receives(g.ctx, before, "vless://"))
	}
	g.allDone()
	g.connects(g.key(10))
}

// refused has somebody pay a link and checks why they cannot; nothing is charged.
func (g *galaxy) refused(p *customer, link, reason string) {
	g.t.Helper()
	err := p.PayStars(link)
	if r, ok := errors.AsType[*telegram.RefusedError](err); !ok || !strings.Contains(r.Reason, reason) {
		g.t.Errorf("%v, want it refused: %q", err, reason)
	}
	for _, m := range g.w.Telegram.Chat(p.id).Messages {
		if m.Payment != nil {
			g.t.Errorf("customer %d was charged: %+v", p.id, m.Payment)
		}
	}
}

func TestNobodyIsChargedForWhatTheyCannotHave(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{})
	const gone = "cannot be paid any more"
	cancelled, link := g.opened(7)
	g.must(cancelled.until(g.ctx, "The order is cancelled", cancelled.presses("Cancel")))
	g.refused(cancelled, link, gone)

	expired, link := g.opened(8)
	_, err := g.books.DB.Exec(g.ctx, `UPDATE orders SET expires_at = now() - interval '1 second' WHERE user_id = 8`)
	g.must(err)
	g.refused(expired, link, gone)
	eventually(t, func() error {
		if g.books.count(`SELECT count(*) FROM orders WHERE user_id = 8 AND status = 'expired'`) != 1 {
			return errors.New("the order does not expire")
		}
		return nil
	})
	g.refused(expired, link, gone)

	owner, link := g.opened(9)
	g.refused(cancelled, link, gone) // another's
	for _, mode := range []fault.Mode{fault.Down, fault.Hung} {
		g.must(g.w.Fault(sandbox.PostgresTarget).Set(mode, 0, 0))
		g.refused(owner, link, "something is slow")
		g.w.Fault(sandbox.PostgresTarget).Clear()
	}
	before := len(g.w.Telegram.Chat(9).Messages)
	eventually(t, func() error { return owner.PayStars(link) }) // once the database is back
	g.must(owner.receives(g.ctx, before, "vless://"))
	g.refusedAgain(owner, link)

	g.must(cancelled.buys(g.ctx)) // who was refused orders again
	g.allDone()
}

// refusedAgain checks that a link that was paid is not paid twice.
func (g *galaxy) refusedAgain(p *customer, link string) {
	g.t.Helper()
	if r, ok := errors.AsType[*telegram.RefusedError](p.PayStars(link)); !ok || r.Reason == "" {
		g.t.Errorf("charged twice: %v", r)
	}
}

// The update never comes, and Crypto Pay is away: the list of transactions is enough.
func TestAPaymentInStarsThatNobodyToldOfIsFound(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{Env: []string{"SWEEP_PAYMENTS_EVERY=500ms"}})
	g.w.Telegram.LosePayments(true)
	p, link := g.opened(7)
	g.must(g.w.Fault(sandbox.CryptoPayTarget).Set(fault.Down, 0, 0))
	before, err := p.settles(link)
	g.must(err)
	g.must(p.receives(g.ctx, before, "vless://"))
	if n := g.books.count(`SELECT count(*) FROM inbox WHERE kind = 'payment'`); n != 0 {
		t.Errorf("%d updates told of it", n)
	}
	g.w.Fault(sandbox.CryptoPayTarget).Clear()
	g.allDone()
	g.connects(g.key(7))
}

// Whoever knows the webhook's secret can tell of a payment; Telegram's list does not have it.
func TestAForgedPaymentInStarsGivesNothing(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{})
	p, link := g.opened(7)
	var order string
	g.must(g.books.DB.QueryRow(g.ctx, `SELECT id FROM orders WHERE status = 'open'`).Scan(&order))
	g.must(g.w.Telegram.Inject(fmt.Appendf(nil, `{"message":{"message_id":1,"date":1767225600,"from":{"id":7},"chat":{"id":7,"type":"private"},
		"successful_payment":{"currency":"XTR","total_amount":199,"invoice_payload":%q,"telegram_payment_charge_id":"made-up"}}}`, order)))
	eventually(t, func() error {
		if g.books.count(`SELECT count(*) FROM river_job WHERE kind = 'sweep_payments' AND args ? 'provider' AND state = 'completed'`) == 0 {
			return errors.New("Telegram is not asked")
		}
		return nil
	})
	if n := g.books.count(`SELECT (SELECT count(*) FROM payment_events) + (SELECT count(*) FROM orders WHERE status <> 'open')`); n != 0 {
		t.Errorf("a forged payment is believed: %s", g.state())
	}
	before, err := p.settles(link)
	g.must(err)
	g.must(p.receives(g.ctx, before, "vless://"))
	g.allDone()
}

func TestWhoSaysThatTheyPaidInStarsIsBelievedOnceTelegramAgrees(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{}) // by itself, it looks every ten minutes
	g.w.Telegram.LosePayments(true)
	p, link := g.opened(7)
	before, err := p.settles(link)
	g.must(err)
	g.must(p.presses("I have paid")())
	g.must(p.receives(g.ctx, before, "vless://"))
	g.allDone()
}

func TestStarsThatAreGivenBackAreToldToAnOperator(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{})
	g.must(g.customer(7).buys(g.ctx))
	g.must(g.books.Settle(g.ctx))
	var charge string
	g.must(g.books.DB.QueryRow(g.ctx, `SELECT external_id FROM payment_events`).Scan(&charge))
	r := g.w.Ready()
	status, _, answer := send(t, http.MethodPost, fmt.Sprintf("%s/bot%s/refundStarPayment", r.TelegramAPI, r.BotToken),
		fmt.Sprintf(`{"user_id":7,"telegram_payment_charge_id":%q}`, charge), http.Header{"Content-Type": {"application/json"}})
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	g.counted("flagged", 1)
	_, report := ask[struct {
		Components map[string]struct{ Status, Reason string }
	}](t, http.MethodGet, r.AppURL+"/healthz", "")
	if got := report.Components["payments"]; got.Status == "ok" {
		t.Errorf("/healthz says %+v", got)
	}
	if n := g.books.count(`SELECT count(*) FROM subscriptions WHERE status = 'active'`); n != 1 {
		t.Errorf("%d have access, want it left to the operator", n)
	}
}
