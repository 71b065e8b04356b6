package cryptobot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/outbound"
	"sallyport/payments/cryptobot"
	"sallyport/shop"
)

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// answer is one answer of the service and what the client makes of it.
type answer struct {
	name, body string
	status     int
	want       shop.Kind
	says       string
}

func answers() []answer {
	refused := func(code int, name string) string {
		return fmt.Sprintf(`{"ok":false,"error":{"code":%d,"name":%q}}`, code, name)
	}
	page := `{"ok":true,"result":{"invoice_id":5,"bot_invoice_url":"https://t.me/x"}}`
	return []answer{
		{"a bad token", refused(401, "UNAUTHORIZED"), 401, shop.KindInternal, "401 UNAUTHORIZED"},
		{"a bad parameter", refused(400, "UNSUPPORTED_ASSET"), 400, shop.KindInternal, "400 UNSUPPORTED_ASSET"},
		{"an unknown error with more in it", `{"ok":false,"error":{"code":"418","name":"NEW","hint":[]}}`, 400, shop.KindInternal, "418 NEW"},
		{"an error that is a string", `{"ok":false,"error":"BROKEN"}`, 400, shop.KindInternal, "400 BROKEN"},
		{"an error without a word", `{"ok":false}`, 400, shop.KindInternal, "400"},
		{"an error with status 200", refused(400, "X"), 200, shop.KindInternal, "400 X"},
		{"an error that quotes the token", refused(400, token), 400, shop.KindInternal, "400 <token>"},
		{"too many calls", refused(429, "TOO_MANY"), 429, shop.KindLimited, "429 TOO_MANY"},
		{"too many calls with status 200", refused(429, "TOO_MANY"), 200, shop.KindLimited, "429 TOO_MANY"},
		{"too many calls with status 400", refused(429, "TOO_MANY"), 400, shop.KindLimited, "429 TOO_MANY"},
		{"too many calls for a front", "<html>error code: 1015</html>", 429, shop.KindLimited, "429"},
		{"too many calls, as JSON of somebody else", `{"error":"cloud"}`, 429, shop.KindLimited, "429"},
		{"a broken service", refused(500, "APP_ERROR"), 500, shop.KindUnavailable, "500 APP_ERROR"},
		{"a broken service with status 200", refused(503, "X"), 200, shop.KindUnavailable, "503 X"},
		{"a front's page", "<html>error code: 1010</html>", 403, shop.KindUnavailable, "status 403"},
		{"a bad gateway", "<html>", 502, shop.KindUnavailable, "status 502"},
		{"a page with status 200", "<html>", 200, shop.KindUnavailable, "status 200"},
		{"JSON of somebody else", `{"error":"cloud"}`, 200, shop.KindUnavailable, "status 200"},
		{"ok with an error status", page, 500, shop.KindUnavailable, "status 500"},
		{"a redirect", "", 307, shop.KindUnavailable, "status 307"},
		{"an endless answer", strings.Repeat(" ", 4<<20+1), 200, shop.KindUnavailable, "over 4194304 bytes"},
		{"no result", `{"ok":true}`, 200, shop.KindInternal, "decode"},
		{"a result of another kind", `{"ok":true,"result":[1]}`, 200, shop.KindInternal, "decode"},
		{"an invoice without an id", `{"ok":true,"result":{"bot_invoice_url":"https://t.me/x"}}`, 200, shop.KindInternal, "without an id"},
		{"an invoice without an address", `{"ok":true,"result":{"invoice_id":5}}`, 200, shop.KindInternal, "without an address"},
	}
}

func TestAnswersAreClassified(t *testing.T) {
	t.Parallel()
	for _, c := range answers() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := clientOf(t, answering(c.status, c.body)).CreateInvoice(t.Context(), order(), "")
			if err == nil || shop.KindOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s %v, want %s %q", shop.KindOf(err), err, c.want, c.says)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("the token is told: %v", err)
			}
		})
	}
}

func TestRefusalNamesItself(t *testing.T) {
	t.Parallel()
	_, _, err := clientOf(t, answering(403, `{"ok":false,"error":{"code":403,"name":"METHOD_DISABLED"}}`)).RecentPaid(t.Context(), 0)
	refused, ok := errors.AsType[*cryptobot.APIError](err)
	if !ok || refused.Code != 403 || refused.Name != "METHOD_DISABLED" {
		t.Errorf("got %v", err)
	}
}

func TestTooManyCallsSayWhenToComeBack(t *testing.T) {
	t.Parallel()
	err := clientOf(t, answering(429, `{"ok":false,"error":{"code":429,"name":"X"}}`)).Check(t.Context())
	if limit, ok := errors.AsType[*shop.Error](err); !ok || limit.RetryAfter != 7*time.Second {
		t.Errorf("got %v", err)
	}
}

func TestOldFieldsServeWhenNewOnesAreGone(t *testing.T) {
	t.Parallel()
	o := order()
	client := clientOf(t, answering(200, `{"ok":true,"result":{"invoice_id":"5","pay_url":"https://t.me/x"}}`))
	got, err := client.CreateInvoice(t.Context(), o, "")
	want := shop.Invoice{Provider: shop.CryptoBot, ExternalID: "5", OrderID: o.ID, URL: "https://t.me/x", ExpiresAt: o.ExpiresAt}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestCreationIsNeverRepeated(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "sallyport/1" || r.Header.Get("Crypto-Pay-API-Token") != token {
			t.Errorf("headers %v", r.Header)
		}
		if calls.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"ok":true,"result":{"app_id":1}}`)
	})
	if err := client.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := client.CreateInvoice(t.Context(), order(), "")
	if shop.KindOf(err) != shop.KindUnavailable || calls.Load() != 2 {
		t.Errorf("got %v after %d calls", err, calls.Load())
	}
}

func TestTroubleOnTheWay(t *testing.T) {
	t.Parallel()
	host := func() *outbound.Host {
		return outbound.New(outbound.Config{Name: "cryptobot", Timeout: 50 * time.Millisecond})
	}
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Reading it lets the server notice that the client left.
		<-r.Context().Done()
	}))
	t.Cleanup(hung.Close)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		name string
		ctx  context.Context
		cfg  cryptobot.Config
		want shop.Kind
	}{
		{"nobody listens", t.Context(), cryptobot.Config{BaseURL: "http://127.0.0.1:1"}, shop.KindUnavailable},
		{"nobody answers", t.Context(), cryptobot.Config{BaseURL: hung.URL}, shop.KindUnavailable},
		{"the caller has gone", gone, cryptobot.Config{BaseURL: hung.URL}, shop.KindUnavailable},
		{"no address", t.Context(), cryptobot.Config{BaseURL: "::"}, shop.KindInternal},
		{"a token that no header can carry", t.Context(), cryptobot.Config{BaseURL: hung.URL, Token: "1:A\nB"}, shop.KindUnavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Host = host()
			if c.cfg.Token == "" {
				c.cfg.Token = token
			}
			err := cryptobot.New(c.cfg).Check(c.ctx)
			if err == nil || shop.KindOf(err) != c.want || strings.Contains(err.Error(), c.cfg.Token) {
				t.Errorf("got %s %v, want %s", shop.KindOf(err), err, c.want)
			}
		})
	}
}

func TestCheckDoubtsAnAnswerWithoutAnApp(t *testing.T) {
	t.Parallel()
	if err := clientOf(t, answering(200, `{"ok":true,"result":{}}`)).Check(t.Context()); shop.KindOf(err) != shop.KindInternal {
		t.Errorf("got %v", err)
	}
}

// The assets are those that the order was placed for; one that names none takes those of
// the settings.
func TestAnInvoiceIsPaidInWhatItsOrderNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		assets []string
		want   string
	}{{[]string{"BTC"}, `"accepted_assets":"BTC"`}, {nil, `"accepted_assets":"USDT,TON"`}} {
		o := order()
		o.Assets = c.assets
		client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), c.want) {
				t.Errorf("%s, %v", body, err)
			}
			_, _ = io.WriteString(w, `{"ok":true,"result":{"invoice_id":"5","pay_url":"https://t.me/x"}}`)
		})
		if _, err := client.CreateInvoice(t.Context(), o, ""); err != nil {
			t.Error(err)
		}
	}
}
