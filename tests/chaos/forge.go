package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"sallyport/sandbox/cryptopay"
)

// tellAgain has Crypto Pay tell of a payment once more, long after.
func (c *crowd) tellAgain(random *rand.Rand) error {
	if paid := c.invoices(cryptopay.StatusPaid); len(paid) > 0 {
		_ = c.world.CryptoPay.Redeliver(paid[random.IntN(len(paid))].ID) // it may be refused, now that all is broken
	}
	return nil
}

func (c *crowd) invoices(status string) (list []cryptopay.Invoice) {
	for _, i := range c.world.CryptoPay.Invoices() {
		if i.Status == status {
			list = append(list, i)
		}
	}
	return list
}

// forge tells the shop of a payment that never was.
func (c *crowd) forge(ctx context.Context, random *rand.Rand) error {
	invoice := cryptopay.Invoice{
		ID: 1 + random.Int64N(1e9), CurrencyType: cryptopay.CurrencyFiat, Fiat: "RUB", Amount: "149", Payload: uuid.NewString(),
	}
	open := c.invoices(cryptopay.StatusActive)
	unknown := len(open) == 0 || random.IntN(4) == 0
	if !unknown {
		invoice = open[random.IntN(len(open))]
	}
	invoice.Status, invoice.PaidAsset, invoice.PaidAmount, invoice.PaidAt = cryptopay.StatusPaid, "USDT", "1.5", cryptopay.Timestamp{Time: time.Now()}
	signature := cryptopay.Sign
	switch how := random.IntN(3); how {
	case 0: // a word of Crypto Pay's about another amount, or about an order that never was
		invoice.Amount = "1"
		c.mayBeFlagged(invoice.ID)
	case 1: // signed by somebody else
		signature = func(_ string, body []byte) string { return cryptopay.Sign("guessed", body) }
	default: // not signed
		signature = func(string, []byte) string { return "" }
	}
	body, err := json.Marshal(map[string]any{
		"update_id": random.Int64N(1e6), "update_type": "invoice_paid", "request_date": invoice.PaidAt, "payload": invoice,
	})
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	c.post(ctx, body, signature(c.world.Ready().CryptoPayToken, body))
	if random.IntN(3) == 0 {
		return c.forgeStars(ctx, random)
	}
	return nil
}

// mayBeFlagged notes that a payment may be told of in a wrong way.
func (c *crowd) mayBeFlagged(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flagged[strconv.FormatInt(id, 10)] = true
}

// forgeStars posts an update as Telegram would, with a secret that is not Telegram's, or
// tells by way of Telegram of Stars that were never paid.
func (c *crowd) forgeStars(ctx context.Context, random *rand.Rand) error {
	open := c.invoices(cryptopay.StatusActive)
	if len(open) == 0 {
		return nil
	}
	text := fmt.Sprintf(`{"message":{"message_id":1,"date":%d,"from":{"id":%d,"is_bot":false,"first_name":"Mallory"},"chat":{"id":%d,"type":"private"},`+
		`"successful_payment":{"currency":"XTR","total_amount":199,"invoice_payload":%q,"telegram_payment_charge_id":"made-up-%d"}}}`,
		time.Now().Unix(), firstRegular, firstRegular, open[random.IntN(len(open))].Payload, random.Int64())
	return c.world.Telegram.Inject([]byte(text))
}

// post posts a callback, and counts what was answered.
func (c *crowd) post(ctx context.Context, body []byte, signature string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.world.Ready().AppURL+"/payments/cryptobot", bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/json")
	if signature != "" {
		request.Header.Set("crypto-pay-api-signature", signature)
	}
	status := "no answer"
	if response, err := c.client.Do(request); err == nil {
		_ = response.Body.Close()
		status = strconv.Itoa(response.StatusCode)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posted[status]++
}
