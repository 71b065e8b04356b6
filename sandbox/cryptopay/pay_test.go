package cryptopay_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"sallyport/sandbox/cryptopay"
)

// inbox is the shop's webhook endpoint: it refuses as often as told.
type inbox struct {
	mu      sync.Mutex
	refuse  int
	bodies  [][]byte
	headers []http.Header
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.bodies = append(i.bodies, body)
		i.headers = append(i.headers, r.Header.Clone())
	}
	if i.refuse > 0 {
		i.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (i *inbox) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.bodies)
}

func (i *inbox) body(n int) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.bodies[n]
}

func withInbox(t *testing.T, refuse int) (*bundle, *inbox) {
	t.Helper()
	box := &inbox{refuse: refuse}
	endpoint := httptest.NewServer(box)
	t.Cleanup(endpoint.Close)
	b := setup(t)
	b.SetWebhook(endpoint.URL + "/hook")
	return b, box
}

func TestWebhookTrustsTheRootsThatAreGiven(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	endpoint := httptest.NewTLSServer(box)
	t.Cleanup(endpoint.Close)
	roots := x509.NewCertPool()
	roots.AddCert(endpoint.Certificate())
	for _, trusted := range []bool{false, true} {
		b := setup(t, func(c *cryptopay.Config) {
			if trusted {
				c.Roots = roots
			}
		})
		b.SetWebhook(endpoint.URL)
		b.HoldWebhooks(true)
		invoice := b.create(t, `{"asset":"USDT","amount":"1"}`)
		if _, err := b.Pay(invoice.ID, ""); err != nil {
			t.Fatal(err)
		}
		if err := b.Redeliver(invoice.ID); (err == nil) != trusted {
			t.Errorf("trusted %t: %v", trusted, err)
		}
	}
	if n := box.count(); n != 1 {
		t.Errorf("%d webhooks came over a trusted connection", n)
	}
}

func TestPayErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fiat := b.create(t, fiatInvoice)
	ton := b.create(t, `{"asset":"TON","amount":"1"}`)
	brief := b.create(t, `{"asset":"TON","amount":"1","expires_in":60}`)
	b.clock.Advance(time.Minute)
	cases := []struct {
		name, asset string
		id          int64
		want        error
	}{
		{"an unknown invoice", "TON", 1, cryptopay.ErrNotFound},
		{"an asset that is not accepted", "BTC", fiat.ID, cryptopay.ErrAsset},
		{"another asset than invoiced", "USDT", ton.ID, cryptopay.ErrAsset},
		{"an invoice at its last second", "TON", brief.ID, cryptopay.ErrExpired},
		{"an invoice in time", "", fiat.ID, nil},
		{"the same again", "USDT", fiat.ID, cryptopay.ErrPaid},
	}
	for _, c := range cases {
		if _, err := b.Pay(c.id, c.asset); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if late, _ := b.Invoice(brief.ID); late.Status != cryptopay.StatusExpired {
		t.Errorf("the late invoice is %s", late.Status)
	}
	if _, found := b.Invoice(1); found {
		t.Error("an unknown invoice is found")
	}
}

func TestPaidAmountsAreExact(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *cryptopay.Config) { c.AssetUSD = map[string]string{"BTC": "100000"} })
	cases := []struct{ name, body, asset, paid, rate, fee, feeUSD string }{
		{"roubles by a stablecoin", fiatInvoice, "USDT", "2.50983983", "79.287928", "0.07529519", "0.07530272"},
		{"roubles by a coin", fiatInvoice, "TON", "0.80451629", "247.3536", "0.02413549", "0.07530273"},
		{"a coin by itself", `{"asset":"BTC","amount":"0.1"}`, "BTC", "0.1", "", "0.003", "300"},
		{"less than eight places can show", `{"asset":"BTC","amount":"0.000000001"}`, "BTC", "0.000000001", "", "0.00000000003", "0.000003"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := b.Pay(b.create(t, c.body).ID, c.asset)
			if err != nil {
				t.Fatal(err)
			}
			if got.PaidAsset != c.asset || got.FeeAsset != c.asset || got.Status != cryptopay.StatusPaid {
				t.Errorf("got %+v", got)
			}
			if got.PaidAmount != c.paid || got.PaidFiatRate != c.rate || got.FeeAmount != c.fee || got.FeeInUSD != c.feeUSD {
				t.Errorf("got paid %s rate %s fee %s = %s USD", got.PaidAmount, got.PaidFiatRate, got.FeeAmount, got.FeeInUSD)
			}
		})
	}
}

func TestSwapIsNotGuaranteed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, err := b.Pay(b.create(t, `{"asset":"TON","amount":"1","swap_to":"USDT"}`).ID, "")
	if err != nil || got.SwapTo != "USDT" || got.IsSwapped == nil || *got.IsSwapped {
		t.Errorf("got %+v %v", got, err)
	}
}

func TestWhatIsPaidMayBeSwappedCommentedAndAnonymous(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t, `{"asset":"TON","amount":"10","swap_to":"USDT"}`).ID
	got, err := b.PayWith(id, cryptopay.Payment{Comment: "for a friend \u2028\u2029 <&> \\u2028", Anonymous: true, Swap: true})
	if err != nil || !*got.IsSwapped || got.SwappedTo != "USDT" || got.SwappedOutput == "" || got.SwappedRate == "" || !got.PaidAnonymously {
		t.Errorf("got %+v %v", got, err)
	}
	body, _, _ := b.LastDelivery(id)
	if want := "\"comment\":\"for a friend \u2028\u2029 <&> \\\\u2028\""; !bytes.Contains(body, []byte(want)) {
		t.Errorf("not as JavaScript writes it: %s", body)
	}
	plain := b.create(t, `{"asset":"TON","amount":"1","allow_comments":false,"allow_anonymous":false}`).ID
	for want, p := range map[error]cryptopay.Payment{cryptopay.ErrComment: {Comment: "x"}, cryptopay.ErrAnonymous: {Anonymous: true}} {
		if _, err := b.PayWith(plain, p); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	for _, code := range []string{"JET"} {
		if _, err := b.Pay(b.create(t, `{"asset":"`+code+`","amount":"1"}`).ID, ""); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
	for _, code := range []string{"KGS", "TJS"} {
		b.create(t, `{"currency_type":"fiat","fiat":"`+code+`","amount":"1"}`)
	}
}

func TestSignatureIsThatOfTheVectors(t *testing.T) {
	t.Parallel()
	body := `{"update_id":42,"update_type":"invoice_paid","request_date":"2026-03-18T12:00:05.000Z","payload":{"invoice_id":528890,"status":"paid","currency_type":"crypto","asset":"USDT","amount":"2.5","payload":"ord_01HZX3"}}`
	if got := cryptopay.Sign(token, []byte(body)); got != "9bdd385aab8ee647a05c242bb29a0941c7dbad1c91a6fbd68ac9225b034338e2" {
		t.Errorf("got %s", got)
	}
}

func TestWebhookIsSignedAndRetriedWithTheSameBytes(t *testing.T) {
	t.Parallel()
	b, box := withInbox(t, 3)
	invoice := b.create(t, fiatInvoice)
	if _, err := b.Pay(invoice.ID, "TON"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the webhook is taken", func() bool { return b.Pending() == 0 })
	if box.count() != 4 || !b.WebhookEnabled() {
		t.Fatalf("got %d attempts, enabled %v", box.count(), b.WebhookEnabled())
	}
	body, signature, ok := b.LastDelivery(invoice.ID)
	for i, header := range box.headers {
		if !ok || !bytes.Equal(box.body(i), body) || header.Get("Crypto-Pay-Api-Signature") != signature {
			t.Errorf("attempt %d differs", i)
		}
	}
	if signature != cryptopay.Sign(token, body) {
		t.Error("the signature is wrong")
	}
	var update struct {
		ID   int64  `json:"update_id"`
		Type string `json:"update_type"`
		Date string `json:"request_date"`
		Load struct {
			ID                           int64 `json:"invoice_id"`
			Status, Payload, Amount, Fee string
			PaidAt                       string `json:"paid_at"`
		} `json:"payload"`
	}
	decode(t, body, &update)
	load := update.Load
	if update.ID != 1 || update.Type != "invoice_paid" || update.Date != "2026-03-18T12:00:03.000Z" ||
		load.ID != invoice.ID || load.Status != "paid" || load.Payload != "order-1" || load.Amount != "199" ||
		load.Fee != "0.02413549" || load.PaidAt != "2026-03-18T12:00:03.000Z" {
		t.Errorf("got %s", body)
	}
}

func TestUpdateIDIsNotUnique(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.create(t, fiatInvoice), b.create(t, fiatInvoice)
	var ids [2]struct {
		ID int64 `json:"update_id"`
	}
	for i, invoice := range []cryptopay.Invoice{first, second} {
		if _, err := b.Pay(invoice.ID, ""); err != nil {
			t.Fatal(err)
		}
		body, _, _ := b.LastDelivery(invoice.ID)
		decode(t, body, &ids[i])
	}
	if ids[0].ID != ids[1].ID {
		t.Errorf("got %v", ids)
	}
}

func TestWebhookIsSwitchedOffAfterAllAttempts(t *testing.T) {
	t.Parallel()
	b, box := withInbox(t, cryptopay.Attempts+1)
	invoice := b.create(t, fiatInvoice)
	if _, err := b.Pay(invoice.ID, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the webhook is switched off", func() bool { return !b.WebhookEnabled() && b.Pending() == 0 })
	if box.count() != cryptopay.Attempts {
		t.Errorf("got %d attempts", box.count())
	}
	if _, err := b.Pay(b.create(t, fiatInvoice).ID, ""); err != nil || b.Pending() != 0 {
		t.Errorf("a webhook is sent while off: %v", err)
	}
	if err := b.Redeliver(invoice.ID); !errors.Is(err, cryptopay.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestHeldWebhooksComeLater(t *testing.T) {
	t.Parallel()
	b, box := withInbox(t, 0)
	b.HoldWebhooks(true)
	b.HoldWebhooks(true)
	invoice := b.create(t, fiatInvoice)
	if _, err := b.Pay(invoice.ID, ""); err != nil {
		t.Fatal(err)
	}
	if b.Pending() != 1 || box.count() != 0 {
		t.Fatalf("pending %d, sent %d", b.Pending(), box.count())
	}
	if err := b.Redeliver(invoice.ID); err != nil {
		t.Fatal(err)
	}
	b.HoldWebhooks(false)
	b.HoldWebhooks(false)
	eventually(t, "the held webhook arrives", func() bool { return b.Pending() == 0 })
	if box.count() != 2 || !bytes.Equal(box.body(0), box.body(1)) {
		t.Errorf("got %d deliveries", box.count())
	}
}

func TestRedeliverErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	invoice := b.create(t, fiatInvoice)
	if err := b.Redeliver(1); !errors.Is(err, cryptopay.ErrNotFound) {
		t.Errorf("unknown: got %v", err)
	}
	if err := b.Redeliver(invoice.ID); !errors.Is(err, cryptopay.ErrUnpaid) {
		t.Errorf("unpaid: got %v", err)
	}
	if _, err := b.Pay(invoice.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.Redeliver(invoice.ID); !errors.Is(err, cryptopay.ErrNoWebhook) {
		t.Errorf("no webhook: got %v", err)
	}
	b.SetWebhook("http://127.0.0.1:1/nobody")
	if err := b.Redeliver(invoice.ID); !errors.Is(err, cryptopay.ErrRefused) {
		t.Errorf("nobody listens: got %v", err)
	}
	b.SetWebhook("::")
	if err := b.Redeliver(invoice.ID); !errors.Is(err, cryptopay.ErrRefused) {
		t.Errorf("no address: got %v", err)
	}
}

func TestCloseEndsHeldAndRetriedWebhooks(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *cryptopay.Config) { c.Speed = 0; c.WebhookURL = "http://127.0.0.1:1/" })
	if _, err := b.Pay(b.create(t, fiatInvoice).ID, ""); err != nil {
		t.Fatal(err)
	}
	b.HoldWebhooks(true)
	if _, err := b.Pay(b.create(t, fiatInvoice).ID, ""); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if b.Pending() != 0 || !b.WebhookEnabled() {
		t.Errorf("pending %d, enabled %v", b.Pending(), b.WebhookEnabled())
	}
	if _, err := b.Pay(b.create(t, fiatInvoice).ID, ""); err != nil || b.Pending() != 0 {
		t.Errorf("after Close: %v, pending %d", err, b.Pending())
	}
}

func TestOnePaymentOfManyAtOnce(t *testing.T) {
	t.Parallel()
	b, box := withInbox(t, 0)
	invoice := b.create(t, fiatInvoice)
	var group sync.WaitGroup
	wins := make(chan struct{}, 16)
	for range 16 {
		group.Go(func() {
			if _, err := b.Pay(invoice.ID, ""); err == nil {
				wins <- struct{}{}
			}
		})
	}
	group.Wait()
	eventually(t, "the webhook is taken", func() bool { return b.Pending() == 0 })
	if len(wins) != 1 || box.count() != 1 {
		t.Errorf("%d payments, %d webhooks", len(wins), box.count())
	}
}
