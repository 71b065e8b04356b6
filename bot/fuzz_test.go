package bot

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sallyport/outbound"
	"sallyport/shop"
)

// ledger is a store that lets a customer look, order and choose. Whatever gives access
// or settles is not there: a call of it is a panic, which ends the fuzzing.
type ledger struct{ shop.Store }

func (ledger) User(_ context.Context, id shop.UserID) (shop.User, error) {
	return shop.User{ID: id, Language: shop.English, Chosen: true, Reachable: true}, nil
}

func (ledger) SetLanguage(context.Context, shop.UserID, shop.Language) error { return nil }
func (ledger) SetReachable(context.Context, shop.UserID, bool) error         { return nil }
func (ledger) Trouble(context.Context, shop.OrderID) (shop.Trouble, error) {
	return shop.Trouble{}, nil
}
func (ledger) Miss(context.Context, shop.UserID) (bool, error) { return true, nil }
func (ledger) Told(context.Context, shop.UserID) error         { return nil }

func (ledger) Do(ctx context.Context, _ string, do func(context.Context, shop.Tx) error) error {
	return do(ctx, page{})
}

// page is a transaction that places an order or keeps a payment for an operator, which
// gives nothing, and has nothing else.
type page struct{ shop.Tx }

func (page) LockOrderOf(context.Context, shop.PaymentEvent) (shop.Order, error) {
	return shop.Order{}, shop.ErrUnknownOrder
}

func (page) AddFlagged(context.Context, shop.PaymentEvent, shop.OrderID, error) (bool, error) {
	return true, nil
}
func (page) Post(context.Context, shop.Posting) error { return nil }

func (page) LockUser(_ context.Context, id shop.UserID) (shop.User, error) {
	return shop.User{ID: id}, nil
}

func (page) LockOpenOrder(context.Context, shop.UserID) (shop.Order, error) {
	return shop.Order{}, shop.ErrNotFound
}
func (page) AddOrder(context.Context, shop.Order) error { return nil }

func (page) Enqueue(_ context.Context, jobs ...shop.Job) error {
	for _, j := range jobs {
		if _, ok := j.(shop.OpenInvoice); !ok {
			panic("a job that may give access: " + j.Kind())
		}
	}
	return nil
}

func (ledger) OrdersSince(context.Context, shop.UserID, time.Time) (int, error) { return 0, nil }

// Order returns another customer's, whichever is asked for: it must not be shown.
func (ledger) Order(_ context.Context, id shop.OrderID) (shop.Order, error) {
	return shop.Order{ID: id, UserID: 666, Purpose: shop.BuyAccess{Plan: "FOREIGN"}, Status: shop.OrderOpen}, nil
}

func (ledger) Invoice(context.Context, shop.OrderID) (shop.Invoice, error) {
	return shop.Invoice{}, shop.ErrNotFound
}

func (ledger) Subscription(_ context.Context, id shop.UserID) (shop.Subscription, error) {
	return shop.Subscription{UserID: id, Status: shop.SubscriptionNew}, nil
}

func (ledger) Enqueue(_ context.Context, jobs ...shop.Job) error {
	for _, j := range jobs {
		if _, ok := j.(shop.SweepPayments); !ok {
			panic("a job that may give access: " + j.Kind())
		}
	}
	return nil
}

func (ledger) Dialog(context.Context, shop.UserID) (int64, string, error)   { return 0, "", nil }
func (ledger) SaveDialog(context.Context, shop.UserID, int64, string) error { return nil }
func (ledger) LeaveAlone(context.Context, shop.UserID, time.Duration) error { return nil }
func (ledger) BeginCheckout(context.Context, shop.OrderID, string, time.Time, time.Duration) (begun, again bool, err error) {
	panic("another's order was agreed to")
}

// fuzzed returns a bot over the ledger, before a Telegram that agrees to everything.
func fuzzed(f *testing.F) *Bot {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ok":true,"result":{"message_id":1}}`))
	}))
	f.Cleanup(api.Close)
	client := NewClient("1:x", api.URL, outbound.New(outbound.Config{Name: "telegram"}))
	f.Cleanup(client.Close)
	c := testCatalogue()
	var catalogue atomic.Pointer[shop.Catalogue]
	catalogue.Store(&c)
	s := shop.New(shop.Config{Store: ledger{}, Catalogue: &catalogue, Nodes: func() []shop.Node { return nil }})
	return New(s, client, NewDisplay(NewSender(client, DefaultRate), ledger{}, texts(f), Reply))
}

var (
	tag    = regexp.MustCompile(`<[^>]*>?`)
	entity = regexp.MustCompile(`&(amp|lt|gt|quot);`)
)

// checkMarkup checks that a screen has no markup but the locales' own.
func checkMarkup(t *testing.T, s Screen) {
	t.Helper()
	for _, found := range tag.FindAllString(s.Text, -1) {
		if !slices.Contains([]string{"<b>", "</b>", "<code>", "</code>"}, found) {
			t.Errorf("%q in %q", found, s.Text)
		}
	}
	for _, pair := range []string{"b>", "code>"} {
		if strings.Count(s.Text, "<"+pair) != strings.Count(s.Text, "</"+pair) {
			t.Errorf("%q is not closed in %q", pair, s.Text)
		}
	}
	if strings.Contains(entity.ReplaceAllString(s.Text, ""), "&") {
		t.Errorf("a bare & in %q", s.Text)
	}
	for _, row := range s.Rows {
		for _, b := range row {
			if len(b.Data) > 64 || !utf8.ValidString(b.Data) {
				t.Errorf("a button presses %q", b.Data)
			}
		}
	}
}

// Whatever a press says, it is answered with a screen of ours, about nobody else, and
// gives nothing.
func FuzzPress(f *testing.F) {
	b := fuzzed(f)
	for _, r := range b.routes() {
		f.Add(r.verb)
		f.Add(r.verb + ":basic:30d:stars")
	}
	f.Add("order:01950000-0000-7000-8000-000000000001")
	f.Add("cancel:01950000000070008000000000000001")
	f.Add("pay:basic:30d:<b>")
	f.Add("language:\x00")
	f.Fuzz(func(t *testing.T, data string) {
		user := shop.User{ID: 7, Language: shop.English, Chosen: true}
		a, err := b.press(t.Context(), move{user: user, firstName: "Ann", paint: b.display.texts.painter(user.Language)}, data)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		checkMarkup(t, a.screen)
		if a.screen.Text == "" || a.picture.content != "" || strings.Contains(draw(a.screen), "FOREIGN") {
			t.Errorf("%q: %+v", data, a)
		}
		if a.order.ID != (shop.OrderID{}) && a.order.UserID != user.ID {
			t.Errorf("%q shows the order of %d", data, a.order.UserID)
		}
	})
}

func visible(name string) string { return plain(name) }

// What follows /start changes nothing, and a name is shown as it is, never as markup.
func FuzzStart(f *testing.F) {
	b := fuzzed(f)
	f.Add("ref_42", "Ann")
	f.Add("<b>", `<a href="tg://user?id=1">x</a>`)
	f.Add(strings.Repeat("A", 64), "{{.Name}} &lt; &amp;")
	f.Add("", "\u202e\x00\n")
	f.Fuzz(func(t *testing.T, payload, name string) {
		name = strings.ToValidUTF8(name, "")
		m := move{user: shop.User{ID: 7, Chosen: true}, firstName: name, paint: b.display.texts.painter(shop.English)}
		plain, err := b.command(t.Context(), m, "/start")
		if err != nil {
			t.Fatal(err)
		}
		checkMarkup(t, plain.screen)
		if hello := "👋 Hello, " + visible(name) + "!"; visible(name) != "" && !strings.HasPrefix(html.UnescapeString(plain.screen.Text), hello) {
			t.Errorf("%q is shown as %q", name, plain.screen.Text)
		}
		if strings.ContainsFunc(plain.screen.Text, disturbs) {
			t.Errorf("%q turns %q around", name, plain.screen.Text)
		}
		a, err := b.command(t.Context(), m, "/start "+payload)
		if diff := cmp.Diff(plain.screen, a.screen); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", payload, err, diff)
		}
	})
}

// Whatever an update says, it is handled, left to an operator, or tried again for a
// reason of the outside; it gives nothing.
func FuzzHandle(f *testing.F) {
	b := fuzzed(f)
	for _, body := range []string{
		`{"update_id":1,"message":{"message_id":1,"from":{"id":7,"first_name":"<b>","language_code":"ru"},"chat":{"id":7,"type":"private"},"text":"/start ref"}}`,
		`{"update_id":1,"callback_query":{"id":"q","from":{"id":7},"message":{"message_id":1,"chat":{"id":7,"type":"private"},"text":"x"},"data":"menu"}}`,
		`{"update_id":1,"message":{"message_id":1,"date":1,"from":{"id":7},"chat":{"id":7,"type":"private"},"successful_payment":{"currency":"XTR","total_amount":99,"invoice_payload":"01950000-0000-7000-8000-000000000001","telegram_payment_charge_id":"c"}}}`,
		`{"update_id":1,"message":{"refunded_payment":{"telegram_payment_charge_id":"c"}}}`,
		`{"update_id":1,"my_chat_member":{"from":{"id":7},"chat":{"id":7,"type":"private"},"new_chat_member":{"status":"kicked"}}}`,
		`{"update_id":1,"pre_checkout_query":{"id":"p","from":{"id":7},"currency":"XTR","total_amount":99,"invoice_payload":"01950000-0000-7000-8000-000000000001"}}`,
		`{"message":{}}`, `{"message":{"from":{}}}`, `{"callback_query":{}}`, `{"my_chat_member":{}}`, `{"pre_checkout_query":{}}`, `null`, `[]`,
	} {
		f.Add(body, 0)
		f.Add(body, floodLimit)
	}
	f.Fuzz(func(t *testing.T, body string, behind int) {
		errs := []error{
			b.Handle(t.Context(), shop.Update{ID: 1, Body: []byte(body), Behind: behind, ReceivedAt: moment}),
			b.Checkout(t.Context(), []byte(body)),
		}
		for _, err := range errs {
			switch kind := shop.KindOf(err); {
			case err == nil, errors.Is(err, errFlood), kind == shop.KindInvalid, kind == shop.KindLimited:
			default:
				t.Errorf("%q: %v", body, err)
			}
		}
	})
}
