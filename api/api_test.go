package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "the-secret-of-the-webhook"

// edge is an Edge between hand-made neighbours.
type edge struct {
	t       *testing.T
	handler http.Handler
	metrics *prometheus.Registry

	mu       sync.Mutex
	updates  []shop.Update
	letters  []string
	woken    []int64
	settled  []shop.PaymentEvent
	checkout int
	fail     error         // of whatever stores
	hold     chan struct{} // if not nil, storing waits for it
	entered  chan struct{} // gets one for each that waits
	payErr   error

	settleErr error
}

func newEdge(t *testing.T, atOnce int) *edge {
	t.Helper()
	e := &edge{t: t, metrics: prometheus.NewRegistry()}
	made := api.New(api.Config{
		Secret: secret, Inbox: e, Wake: func(lane int64, _ bool) { e.note(func() { e.woken = append(e.woken, lane) }) },
		Checkout: func(context.Context, []byte) error { e.note(func() { e.checkout++ }); return e.fail },
		Signed:   func(h http.Header) bool { return h.Get("Crypto-Pay-Api-Signature") != "" },
		Payment: func(h http.Header, body []byte) (shop.PaymentEvent, error) {
			if h.Get("Crypto-Pay-Api-Signature") != "good" {
				return shop.PaymentEvent{}, shop.ErrForged
			}
			return shop.PaymentEvent{ExternalID: string(body)}, e.payErr
		},
		Settle: func(_ context.Context, p shop.PaymentEvent) (shop.Outcome, error) {
			e.note(func() { e.settled = append(e.settled, p) })
			return shop.Settled, errors.Join(e.fail, e.settleErr)
		},
		Health: api.NewHealth("test"), AtOnce: atOnce, Metrics: e.metrics, Logger: zap.NewNop(),
	})
	r := made.Receivers()
	made.Operations(r)
	e.handler = r
	return e
}

func (e *edge) note(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *edge) AddUpdate(ctx context.Context, u shop.Update) (bool, error) {
	if e.hold != nil {
		e.entered <- struct{}{}
		select {
		case <-e.hold:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	if e.fail == nil {
		e.note(func() { e.updates = append(e.updates, u) })
	}
	return true, e.fail
}

func (e *edge) BuryLetter(_ context.Context, source, _ string, body []byte) error {
	if e.fail == nil {
		e.note(func() { e.letters = append(e.letters, source+": "+string(body)) })
	}
	return e.fail
}

func (e *edge) post(path, header, value, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(e.t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set(header, value)
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w
}

func (e *edge) update(body string) *httptest.ResponseRecorder {
	return e.post(api.TelegramPath, "X-Telegram-Bot-Api-Secret-Token", secret, body)
}

func TestReceiversAnswer(t *testing.T) {
	t.Parallel()
	const tg, tgHeader = api.TelegramPath, "X-Telegram-Bot-Api-Secret-Token"
	const pay, payHeader = api.PaymentsPath, "crypto-pay-api-signature"
	message := `{"update_id":5,"message":{"from":{"id":42},"chat":{"id":42},"text":"hi"}}`
	for _, c := range []struct {
		name                      string
		path, header, value, body string
		code                      int
	}{
		{"a good update", tg, tgHeader, secret, message, 200},
		{"an update with a wrong secret", tg, tgHeader, secret + "x", message, 401},
		{"an update without a secret", tg, "X-Other", "", message, 401},
		{"junk with the right secret", tg, tgHeader, secret, `{`, 200},
		{"an update without an id", tg, tgHeader, secret, `{"message":{}}`, 200},
		{"an update whose id is no number", tg, tgHeader, secret, `{"update_id":"5"}`, 200},
		{"nothing at all", tg, tgHeader, secret, ``, 200},
		{"a body over the limit", tg, tgHeader, secret, strings.Repeat(" ", 1<<20+1), 413},
		{"a body at the limit", tg, tgHeader, secret, message + strings.Repeat(" ", 1<<20-len(message)), 200},
		{"a body over the limit with a wrong secret", tg, tgHeader, "", strings.Repeat(" ", 1<<20+1), 401},
		{"an unknown kind of update", tg, tgHeader, secret, `{"update_id":6,"chat_boost":{}}`, 200},
		{"an abyss of JSON", tg, tgHeader, secret, strings.Repeat(`[`, 100000), 200},
		{"a payment", pay, payHeader, "good", `{}`, 200},
		{"a forged payment", pay, payHeader, "bad", `{}`, 401},
		{"an unknown path", "/telegram/other", tgHeader, secret, message, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if w := newEdge(t, 8).post(c.path, c.header, c.value, c.body); w.Code != c.code {
				t.Errorf("answered %d", w.Code)
			}
		})
	}
}

func TestWhatIsNotUnderstoodIsKept(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	e.update(`{"update_id":`)
	e.payErr = shop.ErrUndecodable
	e.post(api.PaymentsPath, "crypto-pay-api-signature", "good", `junk`)
	if got := fmt.Sprint(e.letters); got != `[telegram: {"update_id": cryptobot: junk]` {
		t.Error(got)
	}
	e.fail = errors.New("database is down")
	if w := e.update(`{"update_id":`); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a dead letter that was not stored was acknowledged: %d", w.Code)
	}
}

func TestLaneIsTheUser(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]shop.Update{
		`{"update_id":1,"message":{"from":{"id":42},"chat":{"id":-7}}}`:        {ID: 1, Lane: 42, Kind: "message"},
		`{"update_id":2,"callback_query":{"from":{"id":42},"data":"menu"}}`:    {ID: 2, Lane: 42, Kind: "callback_query"},
		`{"update_id":3,"my_chat_member":{"from":{"id":42},"chat":{"id":42}}}`: {ID: 3, Lane: 42, Kind: "my_chat_member"},
		`{"update_id":4,"message":{"chat":{"id":-7}}}`:                         {ID: 4, Lane: -7, Kind: "message"},
		`{"update_id":5,"channel_post":{"chat":{"id":-7}}}`:                    {ID: 5, Lane: 0, Kind: "other"},
		`{"update_id":6}`: {ID: 6, Kind: "other"},
		`{"update_id":7,"message":null,"callback_query":{"from":null,"chat":{"id":9}}}`:                     {ID: 7, Lane: 9, Kind: "callback_query"},
		`{"update_id":8,"channel_post":{"message":{"from":{"id":1}},"text":"\"message\":{}"},"message":{}}`: {ID: 8, Kind: "message"},
		`{"\u0075pdate_id":9,"message":{"text":"}","from":{"x":{"id":3},"id":42}}}`:                         {ID: 9, Lane: 42, Kind: "message"},
		`{"update_id":10,"message":{"from":{"id":42},"successful_payment":{"currency":"XTR"}}}`:             {ID: 10, Lane: 42, Kind: "payment"},
		`{"update_id":11,"message":{"from":{"id":42},"refunded_payment":"of no known shape"}}`:              {ID: 11, Lane: 42, Kind: "payment"},
	} {
		e := newEdge(t, 8)
		if w := e.update(body); w.Code != 200 || len(e.updates) != 1 {
			t.Fatalf("%s: %d, %v", body, w.Code, e.updates)
		}
		got := e.updates[0]
		if got.ID != want.ID || got.Lane != want.Lane || got.Kind != want.Kind || !bytes.Equal(got.Body, []byte(body)) {
			t.Errorf("%s: %+v", body, got)
		}
		if len(e.woken) != 1 || e.woken[0] != want.Lane {
			t.Errorf("woke %v", e.woken)
		}
	}
}

// What bears no id of ours, or one that is no id, is kept for an operator.
func TestWhatCannotBeReadIsBuried(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{`, `[]`, `7`, `null`, `{"update_id":1} {}`, `{"message":{}}`, `{"update_id":"1"}`, `{"update_id":1.5}`, `{"update_id":1e3}`,
		`{"update_id":0}`, `{"update_id":99999999999999999999}`, `{"update_id":1,"message":5}`, `{"update_id":1,"message":{"from":"me"}}`,
		`{"update_id":1,"message":{"from":{"id":"42"}}}`, `{"update_id":1,"message":{"chat":{}}}`,
	} {
		e := newEdge(t, 8)
		if w := e.update(body); w.Code != 200 || len(e.updates) != 0 || len(e.letters) != 1 {
			t.Errorf("%s: %d, %d updates, %d letters", body, w.Code, len(e.updates), len(e.letters))
		}
	}
}

func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	e.fail = shop.Unavailable(errors.New("database is down"))
	for _, w := range []*httptest.ResponseRecorder{
		e.update(`{"update_id":5,"message":{"from":{"id":42}}}`),
		e.post(api.PaymentsPath, "crypto-pay-api-signature", "good", `{}`),
	} {
		if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("answered %d", w.Code)
		}
	}
	if len(e.woken) != 0 {
		t.Error("a lane was woken for an update that is not there")
	}
}

// A payment that cannot be settled, however often it is repeated, is kept: Crypto Pay would
// else repeat it for three days, and then post nothing any more, for nobody.
func TestAPaymentThatCannotBeSettledIsBuried(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	e.settleErr = errors.New("a bug")
	if w := e.post(api.PaymentsPath, "crypto-pay-api-signature", "good", `{"order":1}`); w.Code != 200 || len(e.letters) != 1 || e.letters[0] != `cryptobot: {"order":1}` {
		t.Errorf("answered %d, kept %q", w.Code, e.letters)
	}
}

func TestCheckoutIsAnsweredInTheRequest(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	if w := e.update(`{"update_id":5,"pre_checkout_query":{"id":"1","from":{"id":42}}}`); w.Code != 200 || e.checkout != 1 || len(e.updates) != 0 {
		t.Errorf("%d, asked %d times, %d updates", w.Code, e.checkout, len(e.updates))
	}
	e.fail = shop.Unavailable(errors.New("telegram is down"))
	if w := e.update(`{"update_id":5,"pre_checkout_query":{"id":"1","from":{"id":42}}}`); w.Code != 503 {
		t.Errorf("answered %d", w.Code)
	}
}

func TestPaymentOfNoInterestIsAcknowledged(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	e.payErr = fmt.Errorf("other update: %w", shop.ErrIrrelevant)
	if w := e.post(api.PaymentsPath, "crypto-pay-api-signature", "good", `{}`); w.Code != 200 || len(e.settled) != 0 {
		t.Errorf("%d, %v", w.Code, e.settled)
	}
}

func TestOverloadIsSentAwayAtOnce(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 2)
	e.hold, e.entered = make(chan struct{}), make(chan struct{}, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { e.update(fmt.Sprintf(`{"update_id":%d}`, i+1)) })
	}
	for range 2 {
		<-e.entered
	}
	if w := e.update(`{"update_id":9}`); w.Code != 503 || w.Header().Get("Retry-After") == "" { // while the others are held
		t.Errorf("answered %d", w.Code)
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/livez", nil))
	if w.Code != 200 {
		t.Errorf("overload made the process look dead: %d", w.Code)
	}
	close(e.hold)
	wg.Wait()
}

func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	e.post(api.TelegramPath, "X-Telegram-Bot-Api-Secret-Token", "wrong", `{}`)
	e.post(api.PaymentsPath, "crypto-pay-api-signature", "wrong", `{}`)
	families, err := e.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "code" && l.GetValue() == "401" {
					counted += int(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	if counted != 2 {
		t.Errorf("%d refusals counted", counted)
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add(`{"update_id":1,"message":{"from":{"id":42}}}`)
	f.Add(`{"update_id":-1}`)
	f.Add(`[]`)
	f.Add("{\"update_id\":1e3}")
	f.Fuzz(func(t *testing.T, body string) {
		e := newEdge(t, 1)
		if w := e.update(body); w.Code != 200 && w.Code != 413 {
			t.Errorf("%q: %d", body, w.Code)
		}
		if len(e.updates)+len(e.letters)+e.checkout != 1 && len(body) <= 1<<20 {
			t.Errorf("%q was neither kept nor buried", body)
		}
	})
}

func BenchmarkTelegramReceiver(b *testing.B) {
	made := api.New(api.Config{Secret: secret, Inbox: nowhere{}, Wake: func(int64, bool) {}, Health: api.NewHealth("test")})
	r := made.Receivers()
	body := []byte(`{"update_id":820800994,"message":{"message_id":17,"from":{"id":279058397,"is_bot":false,"first_name":"Ann","language_code":"ru"},"chat":{"id":279058397,"first_name":"Ann","type":"private"},"date":1767225600,"text":"/start"}}`)
	b.ReportAllocs()
	for b.Loop() {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, api.TelegramPath, bytes.NewReader(body))
		request.Header.Set("X-Telegram-Bot-Api-Secret-Token", secret)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, request)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

// nowhere takes every update.
type nowhere struct{}

func (nowhere) AddUpdate(context.Context, shop.Update) (bool, error)     { return true, nil }
func (nowhere) BuryLetter(context.Context, string, string, []byte) error { return nil }
