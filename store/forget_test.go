package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/shop/shoptest"
	"sallyport/store"
)

const (
	anna    = 777000111
	another = 7770001112 // whose number begins with hers
)

// traces names the columns in which the text stands, whatever their type.
func traces(t *testing.T, s *store.Store, text string) (found []string) {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), `SELECT table_name::text || '.' || column_name, table_name::text, column_name::text, data_type FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = 'public')`)
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ Name, Table, Column, Type string }
	places, err := pgx.CollectRows(rows, pgx.RowToStructByPos[place])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		value := pgx.Identifier{p.Column}.Sanitize() + `::text`
		if p.Type == "bytea" {
			value = `encode(` + pgx.Identifier{p.Column}.Sanitize() + `, 'escape')`
		}
		if n := count(t, s, fmt.Sprintf(`SELECT count(*) FROM %s WHERE %s ~ '(^|[^0-9])%s([^0-9]|$)'`, p.Table, value, text)); n > 0 {
			found = append(found, p.Name)
		}
	}
	return found
}

// live fills the database with all that a customer leaves behind.
func live(t *testing.T, s *store.Store, id int64) {
	t.Helper()
	must(t, s, settled, id, "10 days")
	must(t, s, `UPDATE orders SET checkout_id = 'of ' || $1::text WHERE user_id = $1::bigint`, id)
	must(t, s, `UPDATE invoices SET url = 'https://pay/' || $1::text WHERE order_id IN (SELECT id FROM orders WHERE user_id = $1::bigint)`, id)
	must(t, s, `UPDATE subscriptions SET status = 'expired' WHERE user_id = $1`, id)
	must(t, s, unpaid, id, "cancelled", "1 day")
	must(t, s, `INSERT INTO dialogs (user_id, message_id, screen) VALUES ($1, 1, 'menu')`, id)
	body := fmt.Sprintf(`{"update_id":1,"message":{"from":{"id":%d,"first_name":"Anna"},"text":"hello"}}`, id)
	must(t, s, `INSERT INTO inbox (update_id, lane, kind, body, state, closed_at, reviewed_at) VALUES
		($1::bigint % 1000, $1::bigint, 'message', '', 'done', now(), NULL), (1000 + $1::bigint % 1000, $1::bigint, 'message', $2, 'dead', now(), now())`, id, []byte(body))
	must(t, s, `INSERT INTO left_alone (user_id, alone_until) VALUES ($1, now())`, id)
	must(t, s, `INSERT INTO lanes (lane, holder, leased_until) VALUES ($1, 'me', now())`, id)
	must(t, s, `INSERT INTO dead_letters (source, reason, body, digest, reviewed_at) VALUES ('telegram', 'odd', $1, $1, now())`, []byte(body))
	must(t, s, `INSERT INTO payment_events (provider, external_id, outcome, reason, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw, reviewed_at)
		VALUES ('stars', 'charge of ' || (-$2::bigint)::text, 'flagged', 'unknown_order', 1, 'XTR', '', '', '', '', $1, now())`, []byte(body), -id%1000)
	job := `INSERT INTO river_job (args, kind, max_attempts, queue, state, finalized_at) VALUES ($1, $2, 12, 'notices', $3::river_job_state, CASE WHEN $3 = 'completed' THEN now() END)`
	must(t, s, job, fmt.Sprintf(`{"user_id":%d}`, id), "converge_user", "completed")
	must(t, s, job, fmt.Sprintf(`{"user_id":%d}`, id), "notify", "available")
	must(t, s, job, fmt.Sprintf(`{"user_ids":[5,%d,6]}`, id), "converge_users", "available")
}

func TestWhoIsForgottenIsNowhereAndTheBooksBalance(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	live(t, s, anna)
	live(t, s, another)
	if got := traces(t, s, fmt.Sprint(anna)); len(got) < 8 {
		t.Fatalf("they were hardly there: %v", got)
	}
	books := `SELECT count(*) FROM ledger_entries JOIN ledger_postings p ON p.id = posting_id JOIN orders o ON o.id = p.order_id
		JOIN payment_events e ON e.order_id = o.id JOIN users u ON u.id = o.user_id WHERE o.status = 'paid' AND e.outcome = 'settled'`
	entries, others := count(t, s, books), traces(t, s, fmt.Sprint(another))
	f, err := s.Forget(t.Context(), anna)
	if err != nil {
		t.Fatal(err)
	}
	if f.Orders != 1 || f.Name >= 0 || f.Removed == 0 || f.Emptied == 0 {
		t.Errorf("it says %+v", f)
	}
	if got := traces(t, s, fmt.Sprint(anna)); len(got) != 0 {
		t.Errorf("their number is still in %v", got)
	}
	if n := count(t, s, books); n != entries {
		t.Errorf("%d entries of the books instead of %d", n, entries)
	}
	if n := count(t, s, `SELECT coalesce(sum(minor), 0) FROM ledger_entries`); n != 0 {
		t.Errorf("the books are off by %d", n)
	}
	if got := traces(t, s, fmt.Sprint(another)); len(got) != len(others) {
		t.Errorf("of another customer is left %v of %v", got, others)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE args = '{"user_ids":[5,6]}'`); n != 1 {
		t.Error("the others' job has gone too")
	}
	if fresh, err := s.AddUpdate(t.Context(), shop.Update{ID: anna % 1000, Lane: anna, Kind: "message", Body: []byte(`{}`)}); fresh || err != nil {
		t.Error("a redelivery is not known any more", err)
	}
	if again, err := s.Forget(t.Context(), anna); err != nil || again != (shop.Forgotten{}) {
		t.Errorf("once more: %+v, %v", again, err)
	}
	second, err := s.Forget(t.Context(), another)
	if err != nil || second.Name == f.Name || second.Name >= 0 {
		t.Errorf("the next one: %+v, %v", second, err)
	}
}

// A new customer may come with the same Telegram id: they are somebody else.
func TestWhoIsForgottenMayComeAgain(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	live(t, s, anna)
	before := count(t, s, `SELECT replace(access_id, 'a', '')::bigint FROM subscriptions`)
	if _, err := s.Forget(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	must(t, s, `INSERT INTO users (id, language) VALUES ($1, 'en')`, anna)
	must(t, s, `INSERT INTO subscriptions (user_id) VALUES ($1)`, anna)
	if n := count(t, s, `SELECT replace(access_id, 'a', '')::bigint FROM subscriptions`); n <= before {
		t.Errorf("access id %d was given again", n)
	}
	if n := count(t, s, `SELECT count(*) FROM users WHERE chosen OR NOT reachable AND id > 0`); n != 0 {
		t.Error("they are known")
	}
}

func TestNobodyIsForgottenWhileAMatterIsOpen(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string]string{
		"updates":            `INSERT INTO inbox (update_id, lane, kind, body) VALUES (5, $1, 'message', '{}')`,
		"jobs":               `INSERT INTO river_job (args, kind, max_attempts, queue, state) VALUES (jsonb_build_object('user_id', $1::bigint), 'notify', 12, 'notices', 'running')`,
		"can still be paid":  `UPDATE orders SET expires_at = now() + interval '1 minute' WHERE user_id = $1 AND status = 'cancelled'`,
		"paid and not deliv": `UPDATE orders SET delivered_at = NULL WHERE user_id = $1`,
		"flagged payments":   `UPDATE payment_events SET reviewed_at = NULL WHERE outcome = 'flagged' AND $1 > 0`,
		"dead updates":       `UPDATE inbox SET reviewed_at = NULL WHERE lane = $1`,
		"dead letters about": `UPDATE dead_letters SET reviewed_at = NULL WHERE $1 > 0`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := server.Open(t)
			live(t, s, anna)
			must(t, s, sql, anna)
			before := traces(t, s, fmt.Sprint(anna))
			open, err := s.OpenMatters(t.Context(), anna)
			if err != nil || open.None() || !strings.Contains(open.String(), what) {
				t.Errorf("%s, %v", open, err)
			}
			if _, err := s.Forget(t.Context(), anna); !errors.Is(err, shop.ErrMattersOpen) {
				t.Errorf("forgotten: %v", err)
			}
			if after := traces(t, s, fmt.Sprint(anna)); len(after) != len(before) {
				t.Errorf("of %v is left %v", before, after)
			}
		})
	}
}

// A payment for an order of nobody gives nobody access.
func TestAPaymentOfSomebodyForgottenIsFlagged(t *testing.T) {
	t.Parallel()
	o, err := shop.NewOrder(-1, offered, shoptest.By(shop.CryptoBot), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.CheckPayment(paymentOf(o), []string{"USDT"}); !errors.Is(err, shop.ErrForgotten) {
		t.Error(err)
	}
}
