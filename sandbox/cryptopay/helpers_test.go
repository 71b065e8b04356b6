package cryptopay_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/sandbox/cryptopay"
)

const token = "12345:AAdemoTokenForUnitTestsOnly00000000"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a hand-set clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type bundle struct {
	*cryptopay.Server
	clock *clock
	api   *httptest.Server
}

func setup(t *testing.T, change ...func(*cryptopay.Config)) *bundle {
	t.Helper()
	hand := &clock{now: time.Date(2026, 3, 18, 12, 0, 3, 0, time.UTC)}
	cfg := cryptopay.Config{Token: token, AppName: "Sallyport", Speed: 1e6, Now: hand.Now, PublicURL: "http://pay.test/"}
	for _, one := range change {
		one(&cfg)
	}
	server := cryptopay.New(cfg)
	t.Cleanup(server.Close)
	api := httptest.NewServer(server)
	t.Cleanup(api.Close)
	return &bundle{Server: server, clock: hand, api: api}
}

// answer is what every method answers with.
type answer struct {
	status int
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  struct {
		Code int    `json:"code"`
		Name string `json:"name"`
	} `json:"error"`
}

func (b *bundle) send(t *testing.T, method, path, contentType, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, b.api.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Crypto-Pay-API-Token", token)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return exchange(t, b.api.Client(), request)
}

func exchange(t *testing.T, client *http.Client, request *http.Request) answer {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	result := answer{status: response.StatusCode}
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatalf("answer %q: %v", raw, err)
	}
	if result.OK != (result.status == http.StatusOK) || !result.OK && result.Error.Code != result.status {
		t.Fatalf("status %d and envelope %s disagree", result.status, raw)
	}
	return result
}

func (b *bundle) json(t *testing.T, method, body string) answer {
	t.Helper()
	return b.send(t, http.MethodPost, "/api/"+method, "application/json", body)
}

// create makes an invoice and returns it as the handler's user sees it.
func (b *bundle) create(t *testing.T, body string) cryptopay.Invoice {
	t.Helper()
	reply := b.json(t, "createInvoice", body)
	if !reply.OK {
		t.Fatalf("createInvoice %s: %s", body, reply.Error.Name)
	}
	var made struct {
		ID int64 `json:"invoice_id"`
	}
	decode(t, reply.Result, &made)
	invoice, found := b.Invoice(made.ID)
	if !found {
		t.Fatalf("invoice %d is not stored", made.ID)
	}
	return invoice
}

func decode(t *testing.T, raw []byte, target any) {
	t.Helper()
	if err := json.Unmarshal(raw, target); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
}

// eventually waits for a condition, not for a time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

const fiatInvoice = `{"currency_type":"fiat","fiat":"RUB","amount":"199.00","accepted_assets":"USDT,TON",` +
	`"payload":"order-1","expires_in":1800,"allow_comments":false,"description":"VPN 30 дней <&>"}`

func form(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values.Encode()
}
