package cryptobot_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sallyport/outbound"
	"sallyport/payments/cryptobot"
	"sallyport/sandbox/cryptopay"
	"sallyport/shop"
)

var _ shop.Gateway = (*cryptobot.Client)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noon() time.Time { return time.Date(2026, 3, 18, 12, 0, 0, 0, time.UTC) }

// bundle is a client of a sandbox over real HTTP.
type bundle struct {
	*cryptobot.Client
	pay   *cryptopay.Server
	calls *atomic.Int64
}

func setup(t *testing.T) bundle {
	t.Helper()
	pay := cryptopay.New(cryptopay.Config{Token: token, PublicURL: "http://pay.test", Now: noon})
	t.Cleanup(pay.Close)
	calls := new(atomic.Int64)
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		pay.ServeHTTP(w, r)
	})
	return bundle{client, pay, calls}
}

func clientOf(t *testing.T, handler http.HandlerFunc) *cryptobot.Client {
	t.Helper()
	api := httptest.NewServer(handler)
	t.Cleanup(api.Close)
	client := cryptobot.New(cryptobot.Config{
		BaseURL: api.URL + "/api/", Token: token, Assets: []string{"USDT", "TON"}, Now: noon,
		ReturnURL: "https://t.me/sallyport_bot?start=paid", Host: outbound.New(outbound.Config{Name: "cryptobot"}),
	})
	t.Cleanup(client.Close)
	return client
}

func order() shop.Order {
	return shop.Order{
		UserID: 7001,
		ID:     shop.NewOrderID(), Quote: shop.Quote{Total: shop.Money{Minor: 19900, Currency: "RUB"}}, Status: shop.OrderOpen,
		CreatedAt: noon(), ExpiresAt: noon().Add(30*time.Minute + 900*time.Millisecond),
	}
}

func (b bundle) create(t *testing.T) (shop.Order, shop.Invoice, int64) {
	t.Helper()
	o := order()
	made, err := b.CreateInvoice(t.Context(), o, "VPN 30 дней")
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseInt(made.ExternalID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return o, made, id
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := setup(t).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCreateInvoiceAsksForTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, made, id := b.create(t)
	stored, _ := b.pay.Invoice(id)
	want := shop.Invoice{
		Provider: shop.CryptoBot, ExternalID: strconv.FormatInt(stored.ID, 10), OrderID: o.ID,
		URL: stored.BotInvoiceURL, ExpiresAt: noon().Add(30 * time.Minute),
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	got := []any{
		stored.CurrencyType, stored.Fiat, stored.Amount, stored.AcceptedAssets, stored.Payload,
		stored.Description, stored.AllowComments, stored.PaidBtnName, stored.PaidBtnURL,
	}
	if diff := cmp.Diff([]any{
		"fiat", "RUB", "199",
		[]string{"USDT", "TON"},
		o.ID.String() + " 7001", // whose it is, should our database be lost
		"VPN 30 дней", false, "openBot", "https://t.me/sallyport_bot?start=paid",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCreateInvoiceFitsTheLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := order()
	long.ExpiresAt = noon().AddDate(1, 0, 0)
	if _, err := b.CreateInvoice(t.Context(), long, strings.Repeat("я", 2000)); err != nil {
		t.Error(err)
	}
	late := order()
	late.ExpiresAt = noon().Add(999 * time.Millisecond)
	// Our clock may have leapt ahead since the order was looked at: it is tried again.
	if _, err := b.CreateInvoice(t.Context(), late, ""); !errors.Is(err, shop.ErrNotPayable) || shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestFindInvoiceMakesCreationSafeToRepeat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, made, id := b.create(t)
	other, _, _ := b.create(t)
	found := func(when string, id shop.OrderID, want shop.Invoice, wantOK bool) {
		t.Helper()
		got, ok, err := b.FindInvoice(t.Context(), id)
		if diff := cmp.Diff(want, got); err != nil || ok != wantOK || diff != "" {
			t.Errorf("%s: %v %v %s", when, ok, err, diff)
		}
	}
	found("while active", o.ID, made, true)
	if _, err := b.pay.Pay(id, "TON"); err != nil {
		t.Fatal(err)
	}
	found("when paid", o.ID, made, true)
	found("for a stranger", shop.NewOrderID(), shop.Invoice{}, false)
	if got, ok, err := b.FindInvoice(t.Context(), other.ID); err != nil || !ok || got.OrderID != other.ID {
		t.Errorf("the other order: %+v %v %v", got, ok, err)
	}
}

func TestFindInvoiceLooksThroughBoundedPages(t *testing.T) {
	t.Parallel()
	var offsets []string
	page := `{"ok":true,"result":[` + strings.Repeat(`{"invoice_id":1,"payload":"other"},`, 999) + `{"invoice_id":2}]}`
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		var params struct {
			Status        string
			Offset, Count int
		}
		if err := json.NewDecoder(r.Body).Decode(&params); err != nil {
			t.Error(err)
		}
		offsets = append(offsets, fmt.Sprint(params.Status, params.Offset))
		_, _ = io.WriteString(w, page)
	})
	_, ok, err := client.FindInvoice(t.Context(), shop.NewOrderID())
	want := []string{"active0", "active900", "active1800", "active2700", "active3600", "paid0", "paid900", "paid1800", "paid2700", "paid3600"}
	if diff := cmp.Diff(want, offsets); err != nil || ok || diff != "" {
		t.Error(ok, err, diff)
	}
}

func TestPaidInvoicesAsksInBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, made, id := b.create(t)
	_, unpaid, _ := b.create(t)
	if _, err := b.pay.Pay(id, "USDT"); err != nil {
		t.Fatal(err)
	}
	ids := []string{unpaid.ExternalID}
	for n := range 220 {
		ids = append(ids, strconv.Itoa(n+1))
	}
	ids = append(ids, made.ExternalID)
	b.calls.Store(0)
	events, err := b.PaidInvoices(t.Context(), ids)
	if err != nil || len(events) != 1 || b.calls.Load() != 3 {
		t.Fatalf("got %d events in %d calls, %v", len(events), b.calls.Load(), err)
	}
	want := shop.PaymentEvent{
		Provider: shop.CryptoBot, ExternalID: made.ExternalID, OrderRef: o.ID.String(), Invoiced: o.Quote.Total,
		PaidAsset: "USDT", PaidAmount: "2.50983983", FeeAsset: "USDT", FeeAmount: "0.07529519", PaidAt: noon(), Raw: events[0].Raw,
	}
	if diff := cmp.Diff(want, events[0]); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(want.Raw), made.ExternalID) {
		t.Errorf("the evidence is %s", want.Raw)
	}
}

func TestNoInvoicesAreAskedForInNoCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if events, err := b.PaidInvoices(t.Context(), nil); err != nil || events != nil || b.calls.Load() != 0 {
		t.Errorf("got %v %v in %d calls", events, err, b.calls.Load())
	}
}

func TestRecentPaidAndTheWebhookAgree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, id := b.create(t)
	b.create(t)
	if _, err := b.pay.Pay(id, "TON"); err != nil {
		t.Fatal(err)
	}
	body, signature, _ := b.pay.LastDelivery(id)
	if err := cryptobot.Verify(token, body, signature); err != nil {
		t.Fatal(err)
	}
	told, err := cryptobot.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	asked, _, err := b.RecentPaid(t.Context(), 0)
	if err != nil || len(asked) != 1 {
		t.Fatal(asked, err)
	}
	told.Raw, asked[0].Raw = nil, nil
	if diff := cmp.Diff(told, asked[0]); diff != "" {
		t.Error(diff)
	}
}

// A long list is read in pages small enough to be kept in memory, up to a thousand
// payments; a row that comes while it is read pushes none past the reader.
func TestRecentPaidReadsALongListInPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ paid, found int }{{0, 0}, {99, 99}, {100, 100}, {250, 250}, {1500, 1000}} {
		t.Run(fmt.Sprint(c.paid), func(t *testing.T) {
			t.Parallel()
			paid := c.paid
			client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
				var asked struct{ Offset, Count int }
				if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Count > 100 {
					t.Errorf("asked for %+v, %v", asked, err)
				}
				var rows []string
				for n := paid - asked.Offset; n > max(0, paid-asked.Offset-asked.Count); n-- { // the latest first
					rows = append(rows, fmt.Sprintf(`{"invoice_id":%d,"status":"paid","fiat":"RUB","amount":199}`, n))
				}
				_, _ = fmt.Fprintf(w, `{"ok":true,"result":{"items":[%s]}}`, strings.Join(rows, ","))
				paid++
			})
			seen := make(map[string]bool)
			for page, more := 0, true; more; page++ {
				var events []shop.PaymentEvent
				var err error
				if events, more, err = client.RecentPaid(t.Context(), page); err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					seen[e.ExternalID] = true
				}
			}
			for n := c.paid; n > c.paid-c.found+10; n-- {
				if !seen[fmt.Sprint(n)] {
					t.Errorf("payment %d was not read", n)
				}
			}
			if len(seen) > 1000+10 {
				t.Errorf("%d payments were read", len(seen))
			}
		})
	}
}

func TestPaidListTakesOddShapes(t *testing.T) {
	t.Parallel()
	one := `{"invoice_id":7,"status":"paid","fiat":"RUB","amount":199,"fee_amount":0.1}`
	cases := []struct {
		name, result string
		want         int
		says         bool
	}{
		{"items", `{"items":[` + one + `]}`, 1, false},
		{"a plain array", `[` + one + `]`, 1, false},
		{"no items", `{"items":[]}`, 0, false},
		{"null items", `{"items":null}`, 0, false},
		{"null", `null`, 0, false},
		{"rows that are no invoices", `[null,5,"x",{"status":"paid"},` + one + `]`, 1, true},
		{"rows that are not paid", `[{"invoice_id":8,"status":"active"},{"invoice_id":9,"status":"odd"}]`, 0, false},
		{"a row that was not asked for", `[{"invoice_id":8,"status":"paid"}]`, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := clientOf(t, answering(200, `{"ok":true,"result":`+c.result+`}`))
			events, err := client.PaidInvoices(t.Context(), []string{"7"})
			if (err != nil) != c.says || len(events) != c.want {
				t.Errorf("got %v %v", events, err)
			}
		})
	}
}
