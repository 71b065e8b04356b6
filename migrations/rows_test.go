package migrations_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/migrations"
)

// Orders that earlier programs marked as not delivered, because their notice could not
// be sent, do not count as customers without access any more; who waits still does.
func TestOrdersWhoseNoticeWasMissedAreDelivered(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	for _, sql := range []string{
		`ALTER TABLE users DROP COLUMN missed_at`,
		`INSERT INTO users (id, language, reachable) VALUES (1, 'en', false), (2, 'en', true), (3, 'en', false)`,
		`INSERT INTO subscriptions (user_id, status, expires_at, waiting_since)
			VALUES (1, 'expired', now(), NULL), (2, 'active', now(), NULL), (3, 'waiting', now(), now())`,
		`INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at, paid_at)
			SELECT gen_random_uuid(), id, 'basic', '30d', 1, 1, 'RUB', 'paid', now(), now(), now() FROM users`,
		wayUp(t, "0010_add_missed.sql"),
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	err := pool.QueryRow(t.Context(), `
		SELECT string_agg(concat_ws(' ', users.id, (delivered_at IS NOT NULL)::text, (missed_at IS NOT NULL)::text), ', ' ORDER BY users.id)
		FROM users JOIN orders ON orders.user_id = users.id`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1 true true, 2 true false, 3 false false"; got != want {
		t.Errorf("customer, delivered, missed: %s; want %s", got, want)
	}
}

// migrated opens a database of the schema as it is.
func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	_, pool := newDatabase(t)
	if _, err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return pool
}

// wayUp returns the statements of a step's way up.
func wayUp(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	return up
}

// What was booked in hundredths of a coin is the same money in billionths, and other money stays.
func TestWhatWasBookedInCoinsIsCountedFiner(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	for _, sql := range []string{
		`INSERT INTO payment_events (provider, external_id, outcome, reason, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw)
			SELECT provider, id, 'flagged', reason, minor, currency, '', '', '', '', ''
			FROM (VALUES ('cryptobot', '1', 'wrong_amount', 150, 'USDT'), ('cryptobot', '1', 'unknown_order', 150, 'USDT'),
				('cryptobot', '2', 'unknown_order', 14900, 'RUB'), ('stars', '3', 'unknown_order', 99, 'XTR')) old (provider, id, reason, minor, currency)`,
		`WITH p AS (INSERT INTO ledger_postings (kind, reference) SELECT DISTINCT 'suspense', provider || ':' || external_id FROM payment_events RETURNING id, reference)
			INSERT INTO ledger_entries (posting_id, account, minor, currency)
			SELECT DISTINCT p.id, account, side * invoiced_minor, currency
			FROM p JOIN payment_events e ON p.reference = e.provider || ':' || e.external_id,
				LATERAL (VALUES ('provider:' || e.provider, 1), ('suspense', -1)) sides (account, side)`,
		// The same payment, told of once more in a coin, has its posting in roubles.
		`INSERT INTO payment_events (provider, external_id, outcome, reason, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw)
			VALUES ('cryptobot', '2', 'flagged', 'wrong_amount', 7, 'TON', '', '', '', '', '')`,
		wayUp(t, "0024_count_coins_finer.sql"),
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	err := pool.QueryRow(t.Context(), `
		SELECT string_agg(concat_ws(' ', account, sum, currency), ', ' ORDER BY account, currency)
			|| '; ' || (SELECT string_agg(invoiced_minor || ' ' || currency, ', ' ORDER BY id) FROM payment_events)
		FROM (SELECT account, sum(minor), currency FROM ledger_entries GROUP BY account, currency) sums`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	want := "provider:cryptobot 14900 RUB, provider:cryptobot 1500000000 USDT, provider:stars 99 XTR, " +
		"suspense -14900 RUB, suspense -1500000000 USDT, suspense -99 XTR; 1500000000 USDT, 1500000000 USDT, 14900 RUB, 99 XTR, 70000000 TON"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
