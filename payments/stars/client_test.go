package stars_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/payments/stars"
	"sallyport/sandbox/telegram"
	"sallyport/shop"
)

const token = "123456:AAHnotarealtokenbutlongenough000000"

func order(price int64) shop.Order {
	now := time.Now().UTC()
	return shop.Order{
		ID: shop.NewOrderID(), UserID: 7, Provider: shop.Stars, Quote: shop.Quote{Total: shop.Money{Minor: price, Currency: shop.XTR}},
		Status: shop.OrderOpen, CreatedAt: now, ExpiresAt: now.Add(shop.OrderLifetime),
	}
}

// bank is Telegram, emulated, with a bot that agrees to every payment.
type bank struct {
	*telegram.Server
	t   *testing.T
	url string
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{Server: telegram.New(telegram.Config{Token: token}), t: t}
	t.Cleanup(b.Close)
	api := httptest.NewServer(b.Server)
	t.Cleanup(api.Close)
	b.url = api.URL
	return b
}

func (b *bank) call(ctx context.Context, method string, params map[string]string, result any) error {
	form := make(url.Values)
	for name, value := range params {
		form.Set(name, value)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/bot"+token+"/"+method, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		OK          bool
		Result      json.RawMessage
		Description string
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if !answer.OK {
		return errors.New(answer.Description)
	}
	return json.Unmarshal(answer.Result, result)
}

// pay has a person pay a link, and agrees to it.
func (b *bank) pay(user int64, link string) {
	b.t.Helper()
	paid := make(chan error, 1)
	go func() { paid <- b.PayLink(user, link) }()
	for offset := 0; ; {
		var updates []struct {
			ID    int `json:"update_id"`
			Query struct {
				ID string `json:"id"`
			} `json:"pre_checkout_query"`
		}
		b.must(b.call(b.t.Context(), "getUpdates", map[string]string{"offset": strconv.Itoa(offset)}, &updates))
		for _, u := range updates {
			if offset = u.ID + 1; u.Query.ID != "" {
				var agreed bool
				b.must(b.call(b.t.Context(), "answerPreCheckoutQuery", map[string]string{"pre_checkout_query_id": u.Query.ID, "ok": "true"}, &agreed))
			}
		}
		select {
		case err := <-paid:
			b.must(err)
			return
		default:
		}
	}
}

func (b *bank) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestALinkIsMadeAndItsPaymentIsFound(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	if _, err := b.SendText(telegram.User{ID: 7, FirstName: "Anna"}, "/start"); err != nil {
		t.Fatal(err)
	}
	c := stars.New(b.call)
	o := order(99)
	invoice, err := c.CreateInvoice(t.Context(), o, "Basic, 30 days")
	b.must(err)
	if !strings.HasPrefix(invoice.URL, "https://t.me/$") || invoice.ExternalID == "" || invoice.OrderID != o.ID ||
		invoice.Provider != shop.Stars || !invoice.ExpiresAt.Equal(o.ExpiresAt) {
		t.Errorf("%+v", invoice)
	}
	if events, _, err := c.RecentPaid(t.Context(), 0); err != nil || len(events) != 0 {
		t.Errorf("before anybody paid: %+v, %v", events, err)
	}
	b.pay(7, invoice.URL)
	events, _, err := c.RecentPaid(t.Context(), 0)
	b.must(err)
	if len(events) != 1 {
		t.Fatalf("%+v", events)
	}
	e := events[0]
	if e.Provider != shop.Stars || e.OrderRef != o.ID.String() || e.Invoiced != o.Quote.Total || e.ExternalID == "" || !json.Valid(e.Raw) ||
		time.Since(e.PaidAt) > time.Minute || o.CheckPayment(e, nil) != nil {
		t.Errorf("%+v", e)
	}
	var done bool
	b.must(b.call(t.Context(), "refundStarPayment", map[string]string{"user_id": "7", "telegram_payment_charge_id": e.ExternalID}, &done))
	if events, _, err := c.RecentPaid(t.Context(), 0); err != nil || len(events) != 1 || !events[0].Refunded || events[0].ExternalID != e.ExternalID ||
		events[0].OrderRef != o.ID.String() || events[0].Invoiced != o.Quote.Total {
		t.Errorf("what was given back is no payment: %+v, %v", events, err)
	}
	if broken := b.Violations(); len(broken) > 0 {
		t.Errorf("calls that the Bot API does not know: %q", broken)
	}
}

func TestLongNamesFitTelegramsLimits(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	for _, description := range []string{"Базовый, 30 дней", strings.Repeat("Ж", 32), strings.Repeat("я", 33), strings.Repeat("⭐", 400)} {
		if _, err := stars.New(b.call).CreateInvoice(t.Context(), order(1), description); err != nil {
			t.Errorf("%q: %v", description, err)
		}
	}
}

func TestAnInvoiceIsNeverFoundAndMayBeMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	c, o := stars.New(b.call), order(5)
	first, err := c.CreateInvoice(t.Context(), o, "x")
	b.must(err)
	if found, ok, err := c.FindInvoice(t.Context(), o.ID); ok || err != nil {
		t.Errorf("%+v, %v", found, err)
	}
	if second, err := c.CreateInvoice(t.Context(), o, "x"); err != nil || second.URL == first.URL {
		t.Errorf("%+v, %v", second, err)
	}
}

func TestAnAnswerThatIsNoLinkIsAFault(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "https://t.me/$", "https://evil.example/$abc", "http://t.me/$abc"} {
		c := stars.New(func(_ context.Context, _ string, _ map[string]string, result any) error {
			*result.(*string) = answer
			return nil
		})
		if i, err := c.CreateInvoice(t.Context(), order(5), "x"); shop.KindOf(err) != shop.KindInternal || i.URL != "" {
			t.Errorf("%q: %+v, %v", answer, i, err)
		}
	}
}

// list is a long list of transactions, the oldest first.
type list struct {
	n     int
	calls int
	fail  func(offset int) error // may be nil
}

func (l *list) call(_ context.Context, _ string, params map[string]string, result any) error {
	l.calls++
	offset, _ := strconv.Atoi(params["offset"])
	limit, _ := strconv.Atoi(params["limit"])
	if limit < 1 || limit > 100 {
		return fmt.Errorf("limit %d", limit)
	}
	if l.fail != nil {
		if err := l.fail(offset); err != nil {
			return err
		}
	}
	var rows []string
	for i := offset; i < min(offset+limit, l.n); i++ {
		rows = append(rows, fmt.Sprintf(`{"id":"c%d","amount":5,"date":%d,"source":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o%d"}}`, i, i, i))
	}
	return json.Unmarshal([]byte(`{"transactions":[`+strings.Join(rows, ",")+`]}`), result)
}

func TestTheLatestAreFoundHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 99, 100, 101, 199, 200, 201, 999, 1000, 1001, 12345, 999_999, 1_000_000} {
		l := &list{n: n}
		events, _, err := stars.New(l.call).RecentPaid(t.Context(), 0)
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if want := min(n, 900); len(events) < want || len(events) > 1000 {
			t.Errorf("%d transactions: %d read", n, len(events))
		}
		for i, e := range events {
			if want := fmt.Sprint("c", n-len(events)+i); e.ExternalID != want {
				t.Fatalf("%d transactions: number %d is %s, want %s", n, i, e.ExternalID, want)
			}
		}
		if l.calls > 45 {
			t.Errorf("%d transactions took %d calls", n, l.calls)
		}
	}
}

func TestAListWithoutAnEndIsGivenUp(t *testing.T) {
	t.Parallel()
	l := &list{n: 1 << 40}
	if _, _, err := stars.New(l.call).RecentPaid(t.Context(), 0); shop.KindOf(err) != shop.KindInternal || l.calls > 45 {
		t.Errorf("%d calls, %v", l.calls, err)
	}
}

// What a page that is missing would say may be that an earlier payment was given back.
func TestAListThatIsNotReadToItsEndGivesNothing(t *testing.T) {
	t.Parallel()
	down := shop.Unavailable(errors.New("down"))
	whole := &list{n: 2500}
	if events, _, err := stars.New(whole.call).RecentPaid(t.Context(), 0); err != nil || len(events) != 1000 {
		t.Fatalf("%d read, %v", len(events), err)
	}
	for broken := 1; broken <= whole.calls; broken++ {
		l := &list{n: 2500}
		l.fail = func(int) error {
			if l.calls == broken {
				return down
			}
			return nil
		}
		if events, _, err := stars.New(l.call).RecentPaid(t.Context(), 0); !errors.Is(err, down) || len(events) != 0 {
			t.Errorf("call %d failed: %d read, %v", broken, len(events), err)
		}
	}
}

func TestOnlyPaymentsOfInvoicesByPeopleCount(t *testing.T) {
	t.Parallel()
	rows := `[
		{"id":"gift","amount":5,"date":1,"source":{"type":"user","transaction_type":"gift_purchase"}},
		{"id":"ads","amount":5,"date":1,"source":{"type":"telegram_ads"}},
		{"id":"api","amount":5,"date":1,"source":{"type":"telegram_api","request_count":3}},
		{"id":"out","amount":5,"date":1,"receiver":{"type":"fragment"}},
		{"id":"","amount":5,"date":1,"source":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o"}},
		{"id":"back","amount":5,"date":1,"source":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o"}},
		{"id":"kept","amount":7,"date":2,"nanostar_amount":0,"news":{"x":1},"source":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o"}},
		{"id":"back","amount":5,"date":3,"receiver":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o"}}
	]`
	events, _, err := stars.New(pageOf(rows)).RecentPaid(t.Context(), 0)
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ExternalID
	}
	if err != nil || !slices.Equal(ids, []string{"kept", "back"}) || events[0].Invoiced.Minor != 7 || events[0].Refunded || !events[1].Refunded {
		t.Errorf("%v, %v", ids, err)
	}
}

// It is kept for an operator, once, and stands in nobody's way.
func TestARowThatCannotBeReadIsAPaymentOfNoOrder(t *testing.T) {
	t.Parallel()
	rows := `[
		{"id":5},
		{"id":"kept","amount":7,"date":2,"source":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o"}},
		{"id":"back","amount":5,"date":1,"source":{"type":"user","transaction_type":"invoice_payment","invoice_payload":"o"}},
		{"id":"back","amount":"5","date":3,"receiver":{"type":"user"}}
	]`
	c := stars.New(pageOf(rows))
	events, _, err := c.RecentPaid(t.Context(), 0)
	if err != nil || len(events) != 3 {
		t.Fatalf("%+v, %v", events, err)
	}
	odd, good, refund := events[0], events[1], events[2]
	if odd.OrderRef != "" || string(odd.Raw) != `{"id":5}` || odd.Provider != shop.Stars || good.ExternalID != "kept" || refund.OrderRef != "" {
		t.Errorf("%+v", events)
	}
	if again, _, err := c.RecentPaid(t.Context(), 0); err != nil || again[0].ExternalID != odd.ExternalID || odd.ExternalID == refund.ExternalID {
		t.Errorf("%+v, %v", again, err)
	}
}

// pageOf answers with these rows on the first page and none after it.
func pageOf(rows string) stars.Call {
	return func(_ context.Context, _ string, params map[string]string, result any) error {
		page := rows
		if params["offset"] != "0" {
			page = "[]"
		}
		return json.Unmarshal([]byte(`{"transactions":`+page+`}`), result)
	}
}
