package migrations_test

import (
	"os"
	"strings"
	"testing"

	"sallyport/migrations"
	"sallyport/sandbox/postgres"
)

// Orders that earlier programs marked as not delivered, because their notice could not
// be sent, do not count as customers without access any more; who waits still does.
func TestOrdersWhoseNoticeWasMissedAreDelivered(t *testing.T) {
	t.Parallel()
	cluster, err := postgres.Start(t.Context(), postgres.Config{NoSync: true, TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	if err := cluster.CreateDatabase(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	pool, err := migrations.Open(t.Context(), cluster.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("0010_add_missed.sql")
	if err != nil {
		t.Fatal(err)
	}
	step, _, _ := strings.Cut(string(text), "-- +goose Down")
	for _, sql := range []string{
		`ALTER TABLE users DROP COLUMN missed_at`,
		`INSERT INTO users (id, language, reachable) VALUES (1, 'en', false), (2, 'en', true), (3, 'en', false)`,
		`INSERT INTO subscriptions (user_id, status, expires_at, waiting_since)
			VALUES (1, 'expired', now(), NULL), (2, 'active', now(), NULL), (3, 'waiting', now(), now())`,
		`INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at, paid_at)
			SELECT gen_random_uuid(), id, 'basic', '30d', 1, 1, 'RUB', 'paid', now(), now(), now() FROM users`,
		step,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	err = pool.QueryRow(t.Context(), `
		SELECT string_agg(concat_ws(' ', users.id, (delivered_at IS NOT NULL)::text, (missed_at IS NOT NULL)::text), ', ' ORDER BY users.id)
		FROM users JOIN orders ON orders.user_id = users.id`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1 true true, 2 true false, 3 false false"; got != want {
		t.Errorf("customer, delivered, missed: %s; want %s", got, want)
	}
}
