package cryptopay_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/cryptopay"
)

func TestTokenIsRequired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, sent := range map[string]string{"a missing token": "", "a foreign token": "2:AA"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.api.URL+"/api/getMe", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Crypto-Pay-API-Token", sent)
			got := exchange(t, b.api.Client(), request)
			if got.status != 401 || got.Error.Name != "UNAUTHORIZED" {
				t.Errorf("got %d %s", got.status, got.Error.Name)
			}
		})
	}
}

func TestCallsThatAreRefusedWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cases := []struct {
		name, method, path, kind, body string
		code                           int
		want                           string
	}{
		{"an unknown method", "POST", "/api/getMoney", "", "", 405, "METHOD_NOT_FOUND"},
		{"the bare root", "GET", "/", "", "", 405, "METHOD_NOT_FOUND"},
		{"an odd HTTP method", "DELETE", "/api/deleteInvoice?invoice_id=1", "", "", 405, "HTTP_METHOD_NOT_ALLOWED"},
		{"a transfer of a new app", "POST", "/api/transfer", "", "", 403, "METHOD_DISABLED"},
		{"JSON that is broken", "POST", "/api/getMe", "application/json", "{", 400, "BODY_INVALID"},
		{"a body of no known type", "POST", "/api/getMe", "text/xml", "<a/>", 400, "CONTENT_TYPE_INVALID"},
		{"a multipart body without parts", "POST", "/api/getMe", "multipart/form-data; boundary=x", "zz", 400, "BODY_INVALID"},
		{"a body over a mebibyte", "POST", "/api/getMe", "application/json", strings.Repeat(" ", 1<<20+1), 413, "REQUEST_TOO_LARGE"},
		{"an object for a parameter", "POST", "/api/createInvoice", "application/json", `{"asset":{}}`, 400, "ASSET_INVALID"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := b.send(t, c.method, c.path, c.kind, c.body)
			if got.status != c.code || got.Error.Name != c.want {
				t.Errorf("got %d %s, want %d %s", got.status, got.Error.Name, c.code, c.want)
			}
		})
	}
}

func TestParametersMayComeInAnyForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var parts bytes.Buffer
	writer := multipart.NewWriter(&parts)
	for _, pair := range [][2]string{{"asset", "USDT"}, {"amount", "2.50"}, {"payload", "p"}} {
		if err := writer.WriteField(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	query := "?" + form("asset", "USDT", "amount", "2.50", "payload", "p")
	cases := []struct{ name, method, path, kind, body string }{
		{"a query of a GET", "GET", "/api/createInvoice" + query, "", ""},
		{"a query of a POST", "POST", "/createInvoice" + query, "", ""},
		{"a form", "POST", "/api/createInvoice", "application/x-www-form-urlencoded", query[1:]},
		{"multipart", "POST", "/api/createInvoice", writer.FormDataContentType(), parts.String()},
		{"JSON", "POST", "/api/createInvoice", "application/json", `{"asset":"USDT","amount":"2.5","payload":"p","expires_in":null}`},
		{"JSON of a GET with a number", "GET", "/api/createInvoice", "application/json; charset=utf-8", `{"asset":"USDT","amount":25e-1,"payload":"p"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := b.send(t, c.method, c.path, c.kind, c.body)
			var invoice struct{ Amount, Asset, Payload, Status string }
			decode(t, got.Result, &invoice)
			if invoice.Amount != "2.5" || invoice.Asset != "USDT" || invoice.Payload != "p" || invoice.Status != "active" {
				t.Errorf("got %+v", invoice)
			}
		})
	}
}

// rule is a createInvoice call and the name of the error it gets, empty for none.
type rule struct{ name, body, want string }

func rules() []rule {
	long := func(letter string, n int) string { return strings.Repeat(letter, n) }
	crypto := func(more string) string { return `{"asset":"USDT","amount":"1"` + more + `}` }
	fiat := func(more string) string { return `{"currency_type":"fiat","fiat":"RUB","amount":"1"` + more + `}` }
	return []rule{
		{"no asset", `{"amount":"1"}`, "ASSET_REQUIRED"},
		{"an unknown asset", `{"asset":"FFF","amount":"1","paid_btn_name":"callback"}`, "UNSUPPORTED_ASSET"},
		{"an unknown currency type", `{"currency_type":"gold","amount":"1"}`, "CURRENCY_TYPE_INVALID"},
		{"no fiat", `{"currency_type":"fiat","amount":"1"}`, "FIAT_REQUIRED"},
		{"an unknown fiat", `{"currency_type":"fiat","fiat":"ZZZ","amount":"1"}`, "UNSUPPORTED_FIAT"},
		{"accepted assets of a crypto invoice", crypto(`,"accepted_assets":"TON"`), "ACCEPTED_ASSETS_INVALID"},
		{"an unknown accepted asset", fiat(`,"accepted_assets":"TON,FFF"`), "UNSUPPORTED_ASSET"},
		{"accepted assets as a list", fiat(`,"accepted_assets":["TON"]`), "APP_ERROR"},
		{"a swap into a wrong asset", crypto(`,"swap_to":"USDC"`), "UNSUPPORTED_ASSET"},
		{"no amount", `{"asset":"USDT"}`, "AMOUNT_REQUIRED"},
		{"an amount of nothing", `{"asset":"USDT","amount":"0.00"}`, "AMOUNT_INVALID"},
		{"a negative amount", `{"asset":"USDT","amount":-1}`, "AMOUNT_INVALID"},
		{"an amount with a comma", `{"asset":"USDT","amount":"1,5"}`, "AMOUNT_INVALID"},
		{"an amount that is a fraction", `{"asset":"USDT","amount":"1/3"}`, "AMOUNT_INVALID"},
		{"an exponent in a string", `{"asset":"USDT","amount":"1e3"}`, "AMOUNT_INVALID"},
		{"a huge exponent", `{"asset":"USDT","amount":1e999999999}`, "AMOUNT_INVALID"},
		{"a huge amount", `{"asset":"USDT","amount":"1000000000000000"}`, "AMOUNT_INVALID"},
		{"roubles with three decimals", `{"currency_type":"fiat","fiat":"RUB","amount":"1.001"}`, "AMOUNT_INVALID"},
		{"a description of 1025 letters", crypto(`,"description":"` + long("я", 1025) + `"`), "DESCRIPTION_TOO_LONG"},
		{"a hidden message of 2049 letters", crypto(`,"hidden_message":"` + long("я", 2049) + `"`), "HIDDEN_MESSAGE_TOO_LONG"},
		{"a payload of 4098 bytes", crypto(`,"payload":"` + long("я", 2049) + `"`), "PAYLOAD_TOO_LONG"},
		{"a button without an address", crypto(`,"paid_btn_name":"callback"`), "PAID_BTN_URL_REQUIRED"},
		{"a button with a wrong address", crypto(`,"paid_btn_name":"openBot","paid_btn_url":"tg://x"`), "PAID_BTN_URL_INVALID"},
		{"an unknown button", crypto(`,"paid_btn_name":"buy","paid_btn_url":"https://x"`), "PAID_BTN_NAME_INVALID"},
		{"a flag that is no flag", crypto(`,"allow_comments":"maybe"`), "ALLOW_COMMENTS_INVALID"},
		{"no time to pay", crypto(`,"expires_in":0`), "EXPIRES_IN_INVALID"},
		{"over 31 days to pay", crypto(`,"expires_in":2678401`), "EXPIRES_IN_INVALID"},
		{"half a second to pay", crypto(`,"expires_in":0.5`), "EXPIRES_IN_INVALID"},
		{"the longest of everything", crypto(`,"expires_in":2678400,"payload":"` + long("a", 4096) + `","description":"` + long("я", 1024) + `"`), ""},
		{"an address without a button", crypto(`,"paid_btn_url":"https://x"`), ""},
	}
}

func TestCreateInvoiceRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range rules() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := b.json(t, "createInvoice", c.body); got.Error.Name != c.want {
				t.Errorf("got %q, want %q", got.Error.Name, c.want)
			}
		})
	}
}

func TestCreatedFiatInvoiceIsShownWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reply := b.json(t, "createInvoice", fiatInvoice)
	var got map[string]any
	decode(t, reply.Result, &got)
	invoice := b.Invoices()[0]
	page := "http://pay.test/pay/" + invoice.Hash
	want := map[string]any{
		"invoice_id": float64(invoice.ID), "hash": invoice.Hash, "currency_type": "fiat", "fiat": "RUB",
		"amount": "199", "accepted_assets": []any{"USDT", "TON"}, "status": "active", "payload": "order-1",
		"pay_url": page, "bot_invoice_url": page, "mini_app_invoice_url": page, "web_app_invoice_url": page,
		"description": "VPN 30 дней <&>", "allow_comments": false, "allow_anonymous": true, "paid_anonymously": false,
		"created_at": "2026-03-18T12:00:03.000Z", "expiration_date": "2026-03-18T12:30:03.000Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if bytes.Contains(reply.Result, []byte(`\u003c`)) {
		t.Error("the answer is escaped for HTML")
	}
	if byHash, found := b.ByHash(invoice.Hash); !found || byHash.ID != invoice.ID {
		t.Errorf("by hash: %v %v", byHash.ID, found)
	}
	if _, found := b.ByHash("IVnone"); found {
		t.Error("a strange hash is found")
	}
}

func TestAddressesHaveTheRealShapeWithoutPages(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *cryptopay.Config) { c.PublicURL = "" })
	invoice := b.create(t, `{"asset":"TON","amount":"1"}`)
	want := []string{
		"https://t.me/CryptoTestnetBot?start=" + invoice.Hash,
		"https://t.me/CryptoTestnetBot/app?startapp=invoice-" + invoice.Hash + "&mode=compact",
		"https://testnet-app.send.tg/invoices/" + invoice.Hash,
	}
	if diff := cmp.Diff(want, []string{invoice.BotInvoiceURL, invoice.MiniAppInvoiceURL, invoice.WebAppInvoiceURL}); diff != "" {
		t.Error(diff)
	}
}

// listed returns the ids that getInvoices answers with, in its order.
func (b *bundle) listed(t *testing.T, query string) []int64 {
	t.Helper()
	var got struct {
		Items []struct {
			ID int64 `json:"invoice_id"`
		} `json:"items"`
	}
	decode(t, b.send(t, "GET", "/api/getInvoices?"+query, "", "").Result, &got)
	if got.Items == nil {
		t.Error("there is no list of items")
	}
	var ids []int64
	for _, item := range got.Items {
		ids = append(ids, item.ID)
	}
	return ids
}

func TestGetInvoicesSelects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fiat := b.create(t, fiatInvoice)
	ton := b.create(t, `{"asset":"TON","amount":"1"}`)
	usdt := b.create(t, `{"asset":"USDT","amount":"1"}`)
	if _, err := b.Pay(ton.ID, ""); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Hour)
	cases := []struct {
		name, query string
		want        []int64
	}{
		{"everything, the newest first", "", []int64{usdt.ID, ton.ID, fiat.ID}},
		{"the active ones without the expired", "status=active", []int64{usdt.ID}},
		{"the paid ones", "status=paid", []int64{ton.ID}},
		{"one asset", "asset=USDT", []int64{usdt.ID}},
		{"one fiat", "fiat=RUB", []int64{fiat.ID}},
		{"some ids", fmt.Sprintf("invoice_ids=%d,%d,7", fiat.ID, ton.ID), []int64{ton.ID, fiat.ID}},
		{"one page", "offset=1&count=1", []int64{ton.ID}},
		{"a page after the end", "offset=9", nil},
		{"a limit, which is not a parameter", "limit=1", []int64{usdt.ID, ton.ID, fiat.ID}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := b.listed(t, c.query); !cmp.Equal(c.want, got) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestGetInvoicesRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cases := map[string]string{
		"status=expired": "STATUS_INVALID", "count=0": "COUNT_INVALID", "count=1001": "COUNT_INVALID",
		"offset=-1": "OFFSET_INVALID", "invoice_ids=1,x": "INVOICE_IDS_INVALID",
		"asset=FFF": "UNSUPPORTED_ASSET", "fiat=ZZZ": "UNSUPPORTED_FIAT",
	}
	for query, want := range cases {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			if got := b.send(t, "GET", "/api/getInvoices?"+query, "", ""); got.Error.Name != want {
				t.Errorf("got %q, want %q", got.Error.Name, want)
			}
		})
	}
}

func TestDeletedInvoiceCanNotBePaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	invoice := b.create(t, `{"asset":"TON","amount":"1"}`)
	paid := b.create(t, `{"asset":"TON","amount":"1"}`)
	if _, err := b.Pay(paid.ID, "TON"); err != nil {
		t.Fatal(err)
	}
	steps := []struct{ name, body, want string }{
		{"no id", `{}`, "INVOICE_ID_REQUIRED"},
		{"an id that is no number", `{"invoice_id":"x"}`, "INVOICE_ID_INVALID"},
		{"an active invoice", fmt.Sprintf(`{"invoice_id":%d}`, invoice.ID), ""},
		{"the same again", fmt.Sprintf(`{"invoice_id":%d}`, invoice.ID), "INVOICE_NOT_FOUND"},
		{"a paid invoice", fmt.Sprintf(`{"invoice_id":%d}`, paid.ID), "INVOICE_ALREADY_PAID"},
	}
	for _, step := range steps {
		got := b.json(t, "deleteInvoice", step.body)
		if got.Error.Name != step.want || step.want == "" && string(got.Result) != "true" {
			t.Errorf("%s: got %q %s, want %q", step.name, got.Error.Name, got.Result, step.want)
		}
	}
	if _, err := b.Pay(invoice.ID, "TON"); err == nil {
		t.Error("a deleted invoice was paid")
	}
}

func TestAccountMethodsTellTheTruth(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *cryptopay.Config) {
		c.USDFiat = map[string]string{"RUB": "80", "EUR": "abc"}
		c.AssetUSD = map[string]string{"USDT": "1", "JET": "0.5"}
	})
	invoice := b.create(t, fiatInvoice)
	b.create(t, fiatInvoice)
	if _, err := b.Pay(invoice.ID, "USDT"); err != nil {
		t.Fatal(err)
	}
	b.SetWebhook("http://hook.test/x")
	cases := []struct{ method, body, want string }{
		{"getMe", "", `{"app_id":12345,"name":"Sallyport","payment_processing_bot_username":"CryptoTestnetBot","webhook_endpoint":"http://hook.test/x"}`},
		{"getBalance", "", `{"currency_code":"USDT","available":"2.412875","onhold":"0"}`},
		{"getBalance", "", `{"currency_code":"JET","available":"0","onhold":"0"}`},
		{"getExchangeRates", "", `{"is_valid":true,"is_crypto":true,"is_fiat":false,"source":"JET","target":"RUB","rate":"40"}`},
		{"getExchangeRates", "", `{"is_valid":true,"is_crypto":true,"is_fiat":false,"source":"USDT","target":"EUR","rate":"0.92"}`},
		{"getCurrencies", "", `{"is_blockchain":false,"is_stablecoin":true,"is_fiat":false,"name":"Tether","code":"USDT","url":"https://tether.to/","decimals":18}`},
		{"getCurrencies", "", `{"is_blockchain":false,"is_stablecoin":false,"is_fiat":true,"name":"RUB","code":"RUB","decimals":8}`},
		{"getTransfers", "", `{"items":[]}`},
		{"getStats", "", `{"volume":2.49,"conversion":50,"unique_users_count":1,"created_invoice_count":2,"paid_invoice_count":1,"start_at":"2026-03-17T12:00:03.000Z","end_at":"2026-03-18T12:00:03.000Z"}`},
		{"getStats", `{"end_at":"2026-03-18T00:00:00Z"}`, `"conversion":0,"unique_users_count":0`},
	}
	for _, c := range cases {
		if got := b.json(t, c.method, c.body); !strings.Contains(string(got.Result), c.want) {
			t.Errorf("%s %s lacks\n%s\nin %s", c.method, c.body, c.want, got.Result)
		}
	}
	for _, query := range []string{"start_at=yesterday", "end_at=1"} {
		if got := b.send(t, "GET", "/getStats?"+query, "", ""); got.OK {
			t.Errorf("getStats took %s", query)
		}
	}
}
