package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/cryptopay"
)

const (
	updatesPath   = "/telegram/webhook"
	callbacksPath = "/payments/cryptobot"
)

// outside is whoever posts to the product's receivers.
type outside struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // of the test
	w     *sandbox.World
	books *ledgers
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	w := start(t, sandbox.Config{})
	return &outside{t: t, ctx: ctx, w: w, books: newBooks(t, w)}
}

func (o *outside) post(path, body string, header http.Header) int {
	o.t.Helper()
	status, _, _ := send(o.t, http.MethodPost, o.w.Ready().AppURL+path, body, header)
	return status
}

func (o *outside) telegram() http.Header {
	return http.Header{"X-Telegram-Bot-Api-Secret-Token": {o.w.Ready().WebhookSecret}}
}

func (o *outside) signed(body string) http.Header {
	return http.Header{"Crypto-Pay-Api-Signature": {cryptopay.Sign(o.w.Ready().CryptoPayToken, []byte(body))}}
}

// opened returns a customer at their pay page, and the invoice.
func (o *outside) opened(id int64) (*customer, cryptopay.Invoice) {
	o.t.Helper()
	p := newCustomer(o.w, id)
	address, err := p.orders(o.ctx)
	if err != nil {
		o.t.Fatal(err)
	}
	invoice, ok := o.w.CryptoPay.ByHash(address[strings.LastIndex(address, "/")+1:])
	if !ok {
		o.t.Fatalf("no invoice at %s", address)
	}
	return p, invoice
}

// paidCallback is a callback about an invoice, after change.
func paidCallback(invoice cryptopay.Invoice, change map[string]any) string {
	payload := map[string]any{
		"invoice_id": invoice.ID, "hash": invoice.Hash, "currency_type": "fiat", "fiat": "RUB", "amount": invoice.Amount,
		"paid_asset": "USDT", "paid_amount": "3.5", "fee_asset": "USDT", "fee_amount": "0.1", "status": "paid",
		"payload": invoice.Payload, "paid_at": "2026-11-21T20:00:00.000Z",
	}
	for name, value := range change {
		payload[name] = value
	}
	body, _ := json.Marshal(map[string]any{
		"update_id": 1, "update_type": "invoice_paid", "request_date": "2026-11-21T20:00:00.000Z", "payload": payload,
	})
	return string(body)
}

func TestReceiversRefuseWhatIsNotGenuine(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	_, invoice := o.opened(7)
	forged, large := paidCallback(invoice, nil), strings.Repeat("a", 1<<20+1)
	press := string(rawPress(firstRawUpdate, 7, 3, "menu"))
	updates := o.books.count(`SELECT count(*) FROM inbox`)
	for _, c := range []struct {
		name, path, body string
		header           http.Header
		want             int
	}{
		{"an update without the secret", updatesPath, press, nil, 401},
		{"an update with a wrong secret", updatesPath, press, http.Header{"X-Telegram-Bot-Api-Secret-Token": {"wrong"}}, 401},
		{"no update, with a wrong secret", updatesPath, "hello", http.Header{"X-Telegram-Bot-Api-Secret-Token": {"wrong"}}, 401},
		{"a callback without a signature", callbacksPath, forged, nil, 401},
		{"a callback with another's signature", callbacksPath, forged, o.signed(forged + " "), 401},
		{"a callback with an odd signature", callbacksPath, forged, http.Header{"Crypto-Pay-Api-Signature": {"zz"}}, 401},
		{"an update without end", updatesPath, large, o.telegram(), 413},
		{"a callback without end", callbacksPath, large, o.signed(large), 413},
		{"an unknown path", "/telegram", press, o.telegram(), 404},
		{"a path below", updatesPath + "/more", press, o.telegram(), 404},
		{"a provider that is not ours", "/payments/other", forged, o.signed(forged), 404},
	} {
		if status := o.post(c.path, c.body, c.header); status != c.want {
			t.Errorf("%s: %d, want %d", c.name, status, c.want)
		}
	}
	if n := o.books.count(`SELECT count(*) FROM inbox`); n != updates {
		t.Errorf("%d refused updates are in the inbox", n-updates)
	}
	if n := o.books.count(`SELECT (SELECT count(*) FROM payment_events) + (SELECT count(*) FROM dead_letters)`); n != 0 {
		t.Errorf("%d refused deliveries were kept", n)
	}
}

func TestWhatIsGenuineButNotUnderstoodIsKeptForAnOperator(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	for _, c := range []struct{ source, path, body string }{
		{"telegram", updatesPath, "hello"},
		{"telegram", updatesPath, `{"message":{"text":"no id"}}`},
		{"telegram", updatesPath, `{"update_id":"5"}`},
		{"telegram", updatesPath, ``},
		{"cryptobot", callbacksPath, "hello"},
		{"cryptobot", callbacksPath, `{"update_type":"invoice_paid","payload":[]}`},
		{"cryptobot", callbacksPath, `{"update_type":"invoice_paid","payload":{"status":"paid"}}`},
	} {
		header := o.signed(c.body)
		if c.source == "telegram" {
			header = o.telegram()
		}
		for range 2 { // a repeated one is kept once
			if status := o.post(c.path, c.body, header); status != http.StatusOK {
				t.Errorf("%s %q: %d", c.source, c.body, status)
			}
		}
		if n := o.books.count(`SELECT count(*) FROM dead_letters WHERE source = $1 AND body = $2`, c.source, []byte(c.body)); n != 1 {
			t.Errorf("%s %q is kept %d times", c.source, c.body, n)
		}
	}
	other := `{"update_id":1,"update_type":"something_new","payload":{}}`
	if status := o.post(callbacksPath, other, o.signed(other)); status != http.StatusOK {
		t.Errorf("a callback of another kind: %d", status)
	}
}

func TestPaymentsThatAreNotRightAreKeptAndGrantNothing(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	p, invoice := o.opened(7)
	for _, c := range []struct {
		reason string
		change map[string]any
	}{
		{"wrong_amount", map[string]any{"amount": "1"}},
		{"wrong_amount", map[string]any{"invoice_id": invoice.ID + 1, "amount": "298.99"}},
		{"wrong_amount", map[string]any{"invoice_id": invoice.ID + 2, "fiat": "USD"}},
		{"wrong_asset", map[string]any{"paid_asset": "DOGE"}},
		{"unknown_order", map[string]any{"invoice_id": 77, "payload": "00000000-0000-7000-8000-000000000000"}},
		{"unknown_order", map[string]any{"invoice_id": 78, "payload": ""}},
	} {
		body := paidCallback(invoice, c.change)
		for range 2 {
			if status := o.post(callbacksPath, body, o.signed(body)); status != http.StatusOK {
				t.Errorf("%v: %d", c.change, status)
			}
		}
		if n := o.books.count(`SELECT count(*) FROM payment_events
			WHERE outcome = 'flagged' AND reason = $1 AND raw = $2`, c.reason, []byte(body)); n != 1 {
			t.Errorf("%v is flagged as %s %d times, want once", c.change, c.reason, n)
		}
	}
	if n := o.books.count(`SELECT (SELECT count(*) FROM orders WHERE status = 'paid') + (SELECT count(*) FROM ledger_postings WHERE kind = 'sale')
		+ (SELECT count(*) FROM subscriptions)`); n != 0 {
		t.Errorf("something was granted: %d", n)
	}
	o.paysRightly(p, invoice)
}

// paysRightly has the customer pay in earnest: what was flagged does not stand in the way.
func (o *outside) paysRightly(p *customer, invoice cryptopay.Invoice) {
	o.t.Helper()
	before, err := p.settles(invoice.BotInvoiceURL)
	if err == nil {
		err = p.receives(o.ctx, before, "vless://")
	}
	if err != nil {
		o.t.Error(err)
	}
	if err := o.books.Settle(o.ctx); err != nil {
		o.t.Fatal(err)
	}
	o.books.check(o.books.CheckLedger, o.books.CheckPeriods, o.books.CheckNode, o.books.CheckKeys)
}

func TestACallbackSettlesOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	o.w.CryptoPay.HoldWebhooks(true)
	p, invoice := o.opened(7)
	before, err := p.settles(invoice.BotInvoiceURL)
	if err != nil {
		t.Fatal(err)
	}
	body, signature, ok := o.w.CryptoPay.LastDelivery(invoice.ID)
	if !ok {
		t.Fatal("there is no callback")
	}
	header := http.Header{"Crypto-Pay-Api-Signature": {signature}}
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			if status := o.post(callbacksPath, string(body), header); status != http.StatusOK {
				t.Errorf("one of many at once: %d", status)
			}
		})
	}
	g.Wait()
	o.w.CryptoPay.HoldWebhooks(false)
	for range 3 {
		if err := o.w.CryptoPay.Redeliver(invoice.ID); err != nil {
			t.Errorf("once more: %v", err)
		}
	}
	if err := p.receives(o.ctx, before, "vless://"); err != nil {
		t.Fatal(err)
	}
	if err := o.books.Settle(o.ctx); err != nil {
		t.Fatal(err)
	}
	o.books.check()
	if n := strings.Count(fmt.Sprint(o.w.Telegram.Chat(7).Messages), "Your access is ready\n"); n != 1 {
		t.Errorf("the customer was told %d times", n)
	}
}

func TestALatePaymentIsStillAPayment(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	o.w.CryptoPay.HoldWebhooks(true) // the money is on its way when the order is closed
	for id, close := range map[int64]func(p *customer, order string) error{
		7: func(p *customer, _ string) error {
			return p.until(o.ctx, "The order is cancelled", p.presses("Cancel"))
		},
		8: func(_ *customer, order string) error {
			_, err := o.books.DB.Exec(o.ctx, `UPDATE orders SET expires_at = now() - interval '1 hour' WHERE id = $1::uuid`, order)
			return err
		},
	} {
		p, invoice := o.opened(id)
		order, _, _ := strings.Cut(invoice.Payload, " ")
		if err := close(p, order); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if n := o.books.count(`SELECT count(*) FROM orders WHERE id = $1::uuid AND status IN ('cancelled', 'expired')`, order); n != 1 {
				return fmt.Errorf("the order of %s is not closed", strconv.FormatInt(id, 10))
			}
			return nil
		})
		before, err := p.settles(invoice.BotInvoiceURL)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.w.CryptoPay.Redeliver(invoice.ID); err != nil {
			t.Error(err)
		}
		if err := p.receives(o.ctx, before, "vless://"); err != nil {
			t.Error(err)
		}
	}
	o.w.CryptoPay.HoldWebhooks(false)
	if err := o.books.Settle(o.ctx); err != nil {
		t.Fatal(err)
	}
	o.books.check()
}
