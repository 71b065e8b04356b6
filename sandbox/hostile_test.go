package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// Customers' names, commands and payloads, and strangers' headers, may hold anything:
// the log stays one JSON object a line, and says nothing in their words.
func TestNobodyOutsideWritesALineOfTheLog(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{Env: []string{"LOG_LEVEL=debug", "TRUSTED_PROXIES=127.0.0.1/32", "TELEGRAM_GATE=warn"}})
	o := &outside{t: t, ctx: t.Context(), w: w, books: newBooks(t, w)}
	const forged = "\n{\"level\":\"error\",\"msg\":\"FORGED\"}\x1b[2J\r\u2028"
	p := w.Person(telegram.User{ID: 7, FirstName: "A" + forged, LastName: forged, Username: "anna", LanguageCode: "en"})
	for _, text := range []string{"/start FORGED", "/FORGED" + forged, forged} {
		if err := p.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	for n, body := range []string{
		string(rawPress(firstRawUpdate, 8, 3, "FORGED"+forged)),
		fmt.Sprintf(`{"update_id":%d,"message":{"from":{"id":9,"language_code":%q},"chat":{"id":9,"type":"private"},"text":"x"}}`, firstRawUpdate+1, "FORGED"),
		"FORGED" + forged, `{"update_id":"FORGED"}`,
		fmt.Sprintf(`{"update_id":%d,"message":"FORGED"}`, firstRawUpdate+2),
		fmt.Sprintf(`{"update_id":%d,"message":{"from":{"id":9},"chat":{"id":9,"type":"private"},"successful_payment":{"currency":"FORGED","total_amount":1,"invoice_payload":"FORGED","telegram_payment_charge_id":"c"}}}`, firstRawUpdate+3),
	} {
		for _, path := range []string{updatesPath, callbacksPath} {
			header := o.telegram()
			header["Crypto-Pay-Api-Signature"] = []string{"FORGED"}
			header["X-Forwarded-For"] = []string{"FORGED", "::1%FORGED"}
			header["User-Agent"] = []string{"FORGED"}
			if status := o.post(path+"?FORGED", body, header); status != http.StatusOK && path == updatesPath {
				t.Errorf("update %d: %d", n, status)
			}
		}
	}
	if err := o.books.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(w.Ready().ProductLog)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var said map[string]any
		if err := json.Unmarshal([]byte(line), &said); err != nil || strings.ContainsAny(line, "\x1b\r\u2028") || said["msg"] == "FORGED" || strings.Contains(line, "FORGED") {
			t.Errorf("%v: %q", err, line)
		}
	}
}

// Callbacks about two orders of one customer come in the wrong order, and both again:
// each settles its own order, once.
func TestCallbacksInAnyOrderSettleEachTheirOwn(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	o.w.CryptoPay.HoldWebhooks(true)
	var bodies []string
	var headers []http.Header
	var p *customer
	for id := range int64(2) { // the second order cancels the first, which is paid all the same
		way := []string{"30 days", "90 days"}[id]
		if p == nil {
			p = newCustomer(o.w, 7)
		}
		address, err := p.ordersFor(o.ctx, way)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.settles(address); err != nil {
			t.Fatal(err)
		}
		invoice, _ := o.w.CryptoPay.ByHash(address[strings.LastIndex(address, "/")+1:])
		body, signature, ok := o.w.CryptoPay.LastDelivery(invoice.ID)
		if !ok {
			t.Fatal("there is no callback")
		}
		bodies, headers = append(bodies, string(body)), append(headers, http.Header{"Crypto-Pay-Api-Signature": {signature}})
	}
	for _, n := range []int{1, 0, 1, 0, 0, 1} {
		if status := o.post(callbacksPath, bodies[n], headers[n]); status != http.StatusOK {
			t.Errorf("callback %d: %d", n, status)
		}
	}
	o.w.CryptoPay.HoldWebhooks(false)
	if err := o.books.Settle(o.ctx); err != nil {
		t.Fatal(err)
	}
	o.books.check(o.books.CheckInvoices, o.books.CheckLedger)
	if n := o.books.count(`SELECT count(*) FROM orders WHERE status = 'paid'`); n != 2 {
		t.Errorf("%d orders are paid", n)
	}
}

// A thousand messages of one customer to the product itself: twenty others buy
// meanwhile as if nothing were, and what the customer pays in the middle is theirs.
func TestAFloodToTheProductDelaysNoPayment(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	b := newBooks(t, w)
	flooder := newCustomer(w, 7)
	address, err := flooder.orders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var g errgroup.Group
	g.Go(func() error {
		for n := range 1000 {
			if err := flooder.Write([]string{"/start", "hello", "/menu"}[n%3]); err != nil {
				return err
			}
			if n == 500 {
				if _, err := flooder.Pay(address); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for n := range int64(3) {
		g.Go(func() error { return newCustomer(w, 100+n).buys(t.Context()) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	bought := time.Since(began)
	if err := flooder.receives(t.Context(), 0, "vless://"); err != nil {
		t.Error(err)
	}
	if err := b.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("three bought within %s; after %s nothing was owed; %d updates were left out",
		bought.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), b.count(`SELECT count(*) FROM inbox WHERE state = 'stale'`))
	b.check(b.CheckInvoices, b.CheckLedger, b.CheckPeriods, b.CheckNode, b.CheckKeys)
	if n := b.count(`SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'stale') OR lane <> 7 AND state <> 'done'`); n != 0 {
		t.Errorf("%d updates were not handled", n)
	}
}
