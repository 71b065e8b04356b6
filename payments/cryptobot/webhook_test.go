package cryptobot_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/payments/cryptobot"
	"sallyport/sandbox/cryptopay"
	"sallyport/shop"
)

const (
	token      = "12345:AAdemoTokenForUnitTestsOnly00000000"
	signatureA = "9bdd385aab8ee647a05c242bb29a0941c7dbad1c91a6fbd68ac9225b034338e2"
	signatureB = "decdb71277d294d27c306c49d20985e9131b7729eb898afb9b7edb03c221d60d"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/vector_" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestVerify(t *testing.T) {
	t.Parallel()
	a, b := vector(t, "a"), vector(t, "b")
	cases := []struct {
		name, token, body, signature string
		want                         error
	}{
		{"vector A", token, string(a), signatureA, nil},
		{"vector B with Cyrillic text", token, string(b), signatureB, nil},
		{"an upper-case signature", token, string(a), strings.ToUpper(signatureA), nil},
		{"the key taken as hex text", token, string(a), "22c1398f677ee9a36dd4dfa97bf6703801434a167a78d29a82f85ff59e61a75f", shop.ErrForged},
		{"the raw token as key", token, string(a), "4e6131f42e094cf14992f2d197c92343f4b7d66fb913c609316ae4a87bc97069", shop.ErrForged},
		{"another token", "12345:AB", string(a), signatureA, shop.ErrForged},
		{"no token of ours", "", "{}", cryptopay.Sign("", []byte("{}")), shop.ErrForged},
		{"another body", token, string(b), signatureA, shop.ErrForged},
		{"a newline more", token, string(a) + "\n", signatureA, shop.ErrForged},
		{"no signature", token, string(a), "", shop.ErrForged},
		{"a shorter signature", token, string(a), signatureA[:62], shop.ErrForged},
		{"a longer signature", token, string(a), signatureA + "00", shop.ErrForged},
		{"a signature that is no hex", token, string(a), "zz" + signatureA[2:], shop.ErrForged},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := cryptobot.Verify(c.token, []byte(c.body), c.signature); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestParseVectors(t *testing.T) {
	t.Parallel()
	a, b := vector(t, "a"), vector(t, "b")
	cases := []struct {
		name string
		body []byte
		want shop.PaymentEvent
	}{
		{"vector A in cryptocurrency, paid when it was reported", a, shop.PaymentEvent{
			ExternalID: "528890", OrderRef: "ord_01HZX3", Invoiced: shop.Money{Minor: 2_500_000_000, Currency: "USDT"},
			PaidAsset: "USDT", PaidAmount: "2.5", PaidAt: time.Date(2026, 3, 18, 12, 0, 5, 0, time.UTC),
		}},
		{"vector B in roubles with a fee as a number", b, shop.PaymentEvent{
			ExternalID: "528890", OrderRef: "ord_01HZX3", Invoiced: shop.Money{Minor: 19900, Currency: "RUB"},
			PaidAsset: "USDT", PaidAmount: "2.51", FeeAsset: "USDT", FeeAmount: "0.0753",
			PaidAt: time.Date(2026, 3, 18, 12, 0, 3, 0, time.UTC),
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := cryptobot.Parse(c.body)
			c.want.Provider, c.want.Raw = shop.CryptoBot, c.body
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func update(fields string) string {
	return `{"update_id":1,"update_type":"invoice_paid","payload":{` + fields + `}}`
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, body string
		want       error
	}{
		{"nothing", "", shop.ErrUndecodable},
		{"no JSON", "<html>", shop.ErrUndecodable},
		{"null", "null", shop.ErrUndecodable},
		{"an array", "[]", shop.ErrUndecodable},
		{"no type", `{"payload":{}}`, shop.ErrUndecodable},
		{"no invoice", `{"update_type":"invoice_paid"}`, shop.ErrUndecodable},
		{"null for an invoice", `{"update_type":"invoice_paid","payload":null}`, shop.ErrUndecodable},
		{"text for an invoice", `{"update_type":"invoice_paid","payload":"paid"}`, shop.ErrUndecodable},
		{"no id", update(`"status":"paid"`), shop.ErrUndecodable},
		{"an id that is no number", update(`"status":"paid","invoice_id":"x"`), shop.ErrUndecodable},
		{"an id below one", update(`"status":"paid","invoice_id":-5`), shop.ErrUndecodable},
		{"bytes after the end", update(`"status":"paid","invoice_id":5`) + "x", shop.ErrUndecodable},
		{"another type", `{"update_type":"invoice_created","payload":7}`, shop.ErrIrrelevant},
		{"an active invoice", update(`"status":"active","invoice_id":5`), shop.ErrIrrelevant},
		{"an expired invoice", update(`"status":"expired","invoice_id":5`), shop.ErrIrrelevant},
		{"an invoice without a status", update(`"invoice_id":5`), shop.ErrUndecodable}, // it may be money
		{"an invoice of a status that nobody knows", update(`"status":"done","invoice_id":5`), shop.ErrUndecodable},
		{"a status of another case", update(`"status":"Paid","invoice_id":5`), nil},
		{"a type of another case", `{"update_type":"INVOICE_PAID","payload":{"status":"PAID","invoice_id":5}}`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := cryptobot.Parse([]byte(c.body)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestParseReadsOddFields(t *testing.T) {
	t.Parallel()
	roubles := func(minor int64) shop.Money { return shop.Money{Minor: minor, Currency: "RUB"} }
	cases := []struct {
		name, fields string
		want         shop.PaymentEvent
	}{
		{"an id as a string", `"invoice_id":"7","fiat":"RUB","amount":"1"`, shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(100)}},
		{
			"numbers for strings", `"invoice_id":7,"fiat":"RUB","amount":199.5,"payload":12,"paid_amount":2.5e-7,"paid_asset":"TON"`,
			shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(19950), OrderRef: "12", PaidAsset: "TON", PaidAmount: "0.00000025"},
		},
		{
			"nulls everywhere", `"invoice_id":7,"fiat":"RUB","amount":"5.00","paid_asset":null,"paid_amount":null,"payload":null,"paid_at":null`,
			shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(500)},
		},
		{
			"the fee in the old field", `"invoice_id":7,"fiat":"RUB","amount":"5","fee_asset":"TON","fee":"1E-3"`,
			shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(500), FeeAsset: "TON", FeeAmount: "0.001"},
		},
		{"a large exponent", `"invoice_id":7,"fiat":"RUB","amount":1.5e2`, shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(15000)}},
		{"an absurd exponent", `"invoice_id":7,"fiat":"RUB","amount":1e999999999`, shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(0)}},
		{"a negative amount", `"invoice_id":7,"fiat":"RUB","amount":"-5"`, shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(0)}},
		{"an amount finer than money", `"invoice_id":7,"fiat":"RUB","amount":"5.001"`, shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(0)}},
		{
			"things that are no amounts", `"invoice_id":7,"fiat":"RUB","amount":{"x":1},"fee_amount":[1],"paid_amount":"lots"`,
			shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(0)},
		},
		{
			"an unknown asset", `"invoice_id":7,"fiat":"RUB","amount":"5","paid_asset":"DOGS","paid_amount":"1000"`,
			shop.PaymentEvent{ExternalID: "7", Invoiced: roubles(500), PaidAsset: "DOGS", PaidAmount: "1000"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body := []byte(update(`"status":"paid",` + c.fields))
			got, err := cryptobot.Parse(body)
			c.want.Provider, c.want.Raw = shop.CryptoBot, body
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(vector(f, "a"))
	f.Add(vector(f, "b"))
	f.Add([]byte(update(`"status":"paid","invoice_id":7,"amount":1e5`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		event, err := cryptobot.Parse(body)
		if err != nil {
			if !errors.Is(err, shop.ErrIrrelevant) && !errors.Is(err, shop.ErrUndecodable) {
				t.Errorf("an error of its own: %v", err)
			}
			return
		}
		if event.ExternalID == "" || event.Invoiced.Minor < 0 || string(event.Raw) != string(body) {
			t.Errorf("got %+v", event)
		}
	})
}

func TestSignedLooksAtTheFormOfASignature(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]bool{
		"": false, "good": false, strings.Repeat("0", 63): false, strings.Repeat("0", 66): false, strings.Repeat("g", 64): false,
		strings.Repeat("0", 64): true, strings.Repeat("aB", 32): true,
	} {
		if got := cryptobot.Signed(http.Header{cryptobot.SignatureHeader: {given}}); got != want {
			t.Errorf("%q: %v", given, got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("{}"), signatureA)
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		good := cryptopay.Sign(token, body)
		if err := cryptobot.Verify(token, body, good); err != nil {
			t.Error(err)
		}
		if !strings.EqualFold(signature, good) && cryptobot.Verify(token, body, signature) == nil {
			t.Errorf("%q passes", signature)
		}
	})
}

// The database takes no zero character; what holds one must not become something else.
func TestAZeroCharacterIsKeptApart(t *testing.T) {
	t.Parallel()
	event, err := cryptobot.Parse([]byte(`{"update_type":"invoice_paid","payload":{"invoice_id":1,"status":"paid","fiat":"RUB","amount":"1","paid_asset":"US\u0000DT"}}`))
	if err != nil || event.PaidAsset == "USDT" || strings.Contains(event.PaidAsset, "\x00") {
		t.Errorf("%q, %v", event.PaidAsset, err)
	}
}

// Invoices of earlier programs name their order alone.
func TestThePayloadNamesTheOrder(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"the-order", "the-order 7001", "the-order 7001 and what is yet to come"} {
		event, err := cryptobot.Parse([]byte(`{"update_type":"invoice_paid","payload":{"invoice_id":1,"status":"paid","fiat":"RUB","amount":"1","payload":"` + payload + `"}}`))
		if err != nil || event.OrderRef != "the-order" {
			t.Errorf("%q: order %q, %v", payload, event.OrderRef, err)
		}
	}
}
