package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
)

const (
	settlePath = "/payments/cryptobot"
	// settleConns is how many callbacks are under way at once.
	settleConns = 16
	// firstBuyer is the first of the customers whose orders are paid.
	firstBuyer = 3_000_000_001
)

// settle measures callbacks for orders that wait, each paid once, and then all again.
func (b *bench) settle(ctx context.Context) error {
	if err := b.ensureProduct(ctx); err != nil {
		return err
	}
	r := b.world.Ready()
	app, err := url.Parse(r.AppURL)
	if err != nil {
		return fmt.Errorf("address of the product: %w", err)
	}
	key := sha256.Sum256([]byte(r.CryptoPayToken))
	requests := make([][]byte, b.orders)
	for i := range requests {
		requests[i] = callback(key[:], i)
	}
	if err := sql(ctx, r.DatabaseDirectURL, fmt.Sprintf(`
		INSERT INTO users (id, language) SELECT %[1]d + n, 'en' FROM generate_series(0, %[2]d - 1) n`, firstBuyer, b.orders), fmt.Sprintf(`
		INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at)
		SELECT ('10000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, %[1]d + n, 'basic', '30d', 2592000, 14900, 'RUB', 'open',
			now(), now() + interval '30 minutes' FROM generate_series(0, %[2]d - 1) n`, firstBuyer, b.orders), `ANALYZE`); err != nil {
		return err
	}
	t := table{Title: "payment callbacks", Columns: []string{"a second", "p50 ms", "p99 ms"}}
	for _, name := range []string{"distinct", "duplicate"} {
		l := &load{
			addr: app.Host, conns: settleConns,
			requests: func() func(int64) []byte { return func(n int64) []byte { return requests[n] } },
		}
		o, err := l.whole(ctx, int64(len(requests)))
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, row{name, []float64{o.rate, o.at(0.5), o.at(0.99)}})
	}
	b.report.add(t)
	return b.settled(ctx, r.DatabaseDirectURL)
}

// settled fails unless every order was paid exactly once: a figure for payments that
// were flagged would say nothing.
func (b *bench) settled(ctx context.Context, database string) error {
	return sql(ctx, database, fmt.Sprintf(`DO $$ BEGIN
		IF (SELECT count(*) FROM payment_events WHERE outcome = 'settled' AND external_id LIKE '9%%') <> %d THEN
			RAISE EXCEPTION 'not every order was settled once';
		END IF; END $$`, b.orders))
}

// callback is Crypto Pay's word that the nth order is paid.
func callback(key []byte, n int) []byte {
	id := uuid.UUID{0x10} // no order has the id that is zero
	id[12], id[13], id[14], id[15] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	body := fmt.Sprintf(`{"update_id":%d,"update_type":"invoice_paid","request_date":%q,"payload":{"invoice_id":%d,"hash":"IVbench","currency_type":"fiat",`+
		`"fiat":"RUB","amount":"149","paid_asset":"USDT","paid_amount":"1.85","paid_fiat_rate":"80.5","fee_asset":"USDT","fee_amount":"0.05",`+
		`"status":"paid","paid_at":%[2]q,"payload":%[4]q}}`, n, time.Now().UTC().Format(time.RFC3339), 90_000_000+n, id)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(body))
	return post(settlePath, "Crypto-Pay-Api-Signature: "+hex.EncodeToString(mac.Sum(nil)), body)
}
