package store_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/store"
)

// Names and messages of customers are in the body: what is handled needs it no more.
func TestWhatIsHandledKeepsNoBody(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for id, state := range map[int64]string{1: "done", 2: "stale", 3: "dead"} {
		add(t, s, id, id)
		claim(t, s, id, "a", longLease)
		if err := s.CloseUpdate(t.Context(), turn(id, "a"), id, state, "why"); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM inbox WHERE body <> ''`); n != 1 {
		t.Errorf("%d bodies are kept", n)
	}
	if n := count(t, s, `SELECT count(*) FROM inbox WHERE state = 'dead' AND body = '{}'`); n != 1 {
		t.Error("what an operator must look at is empty")
	}
}

// After a week of silence Telegram begins its numbers anew, anywhere.
func TestAnOldDeadUpdateIsNoRedelivery(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for _, id := range []int64{7, 8} {
		add(t, s, id, id)
		claim(t, s, id, "a", longLease)
		if err := s.CloseUpdate(t.Context(), turn(id, "a"), id, "dead", "why"); err != nil {
			t.Fatal(err)
		}
	}
	must(t, s, `UPDATE inbox SET received_at = now() - interval '4 days' WHERE update_id = 7`)
	cleanUp(t, s)
	add(t, s, 7, 7)
	if fresh, err := s.AddUpdate(t.Context(), shop.Update{ID: 8, Lane: 8, Kind: "message", Body: []byte(`{}`)}); fresh || err != nil {
		t.Error("a redelivery of a dead update was taken", err)
	}
	if n := count(t, s, `SELECT count(*) FROM inbox WHERE state = 'dead' AND body = '{}'`); n != 2 {
		t.Errorf("%d dead updates are kept for the operator", n)
	}
}

func cleanUp(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.CleanUp(t.Context(), shop.Kept()); err != nil {
		t.Fatal(err)
	}
}

// settled makes a customer with a paid order, its event and its posting.
const settled = `
	WITH u AS (INSERT INTO users (id, language, looked_at, created_at) VALUES ($1, 'en', now() - $2::interval, now() - $2::interval) RETURNING id),
	o AS (INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at, paid_at, delivered_at)
		SELECT gen_random_uuid(), id, 'basic', '30d', 2592000, 14900, 'RUB', 'paid', now() - $2::interval, now(), now(), now() FROM u RETURNING id, user_id),
	s AS (INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT user_id, 'basic', 'active', now() + interval '30 days' FROM o),
	i AS (INSERT INTO invoices (order_id, provider, external_id, url) SELECT id, 'cryptobot', 'i' || user_id % 1000, 'https://pay' FROM o),
	e AS (INSERT INTO payment_events (provider, external_id, order_id, outcome, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw, received_at)
		SELECT 'cryptobot', 'i' || user_id % 1000, id, 'settled', 14900, 'RUB', 'USDT', '2', 'USDT', '0', '{"comment":"Anna"}', now() - $2::interval FROM o),
	p AS (INSERT INTO ledger_postings (kind, order_id) SELECT 'sale', id FROM o RETURNING id)
	INSERT INTO ledger_entries (posting_id, account, minor, currency)
	SELECT p.id, account, minor, 'RUB' FROM p, (VALUES ('provider:cryptobot', 14900), ('sales', -14900)) AS lines (account, minor)`

// unpaid gives a customer an order that nobody paid.
const unpaid = `
	WITH o AS (INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at)
		VALUES (gen_random_uuid(), $1, 'basic', '30d', 2592000, 14900, 'RUB', $2, now() - $3::interval, now() - $3::interval) RETURNING id)
	INSERT INTO invoices (order_id, provider, external_id, url) SELECT id, 'cryptobot', 'u' || id, 'https://pay' FROM o`

func TestEachThingGoesWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	update := `INSERT INTO inbox (update_id, lane, kind, body, state, closed_at, received_at, reviewed_at)
		VALUES ($1, 1, 'message', '{}', $2, now(), now() - $3::interval, now() - $4::interval)`
	must(t, s, update, 1, "done", "71 hours", nil)
	must(t, s, update, 2, "done", "73 hours", nil)
	must(t, s, update, 3, "stale", "73 hours", nil)
	must(t, s, update, 4, "dead", "89 days", nil)
	must(t, s, update, 5, "dead", "91 days", nil)
	must(t, s, update, 6, "dead", "20 days", "6 days")
	must(t, s, update, 7, "dead", "20 days", "8 days")
	must(t, s, `INSERT INTO inbox (update_id, lane, kind, body, received_at) VALUES (8, 1, 'message', '{}', now() - interval '1 year')`)
	letter := `INSERT INTO dead_letters (source, reason, body, digest, received_at, reviewed_at)
		VALUES ('telegram', $1::text, '{}', convert_to($1, 'UTF8'), now() - $2::interval, now() - $3::interval)`
	must(t, s, letter, "young", "89 days", nil)
	must(t, s, letter, "old", "91 days", nil)
	must(t, s, letter, "young review", "20 days", "6 days")
	must(t, s, letter, "old review", "20 days", "8 days")
	must(t, s, settled, 10, "91 days")
	must(t, s, settled, 11, "89 days")
	must(t, s, unpaid, 10, "expired", "31 days")
	must(t, s, unpaid, 10, "cancelled", "31 days")
	must(t, s, unpaid, 10, "cancelled", "29 days")
	must(t, s, unpaid, 11, "open", "31 days")
	must(t, s, unpaid, 11, "expired", "32 days")
	flagged := `INSERT INTO payment_events (provider, external_id, order_id, outcome, reason, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw, received_at, reviewed_at)
		VALUES ('cryptobot', $1, (SELECT id FROM orders WHERE created_at < now() - interval '31.5 days' AND status = 'expired'), 'flagged', 'wrong_amount', 1, 'RUB', '', '', '', '', '{}', now() - interval '1 year', now() - $2::interval)`
	must(t, s, flagged, "nobody looked", nil)
	must(t, s, flagged, "looked", "89 days")
	must(t, s, flagged, "looked long ago", "91 days")
	must(t, s, `INSERT INTO users (id, language, looked_at) VALUES (20, 'en', now() - interval '91 days'), (21, 'en', now() - interval '91 days'), (22, 'en', now() - interval '89 days')`)
	must(t, s, `INSERT INTO subscriptions (user_id) VALUES (20)`)
	must(t, s, `INSERT INTO dialogs (user_id, message_id, screen, updated_at) VALUES (20, 1, 'menu', now() - interval '91 days'), (21, 1, 'menu', now() - interval '1 day')`)

	cleanUp(t, s)
	cleanUp(t, s)
	for _, c := range []struct{ what, sql, want string }{
		{"updates", `SELECT string_agg(CASE WHEN update_id > 0 THEN update_id::text ELSE 'an old one' END, ', ' ORDER BY arrival) FROM inbox`, "1, an old one, an old one, 8"},
		{"letters", `SELECT string_agg(reason, ', ' ORDER BY id) FROM dead_letters`, "young, young review"},
		{"evidence", `SELECT string_agg(external_id, ', ' ORDER BY id) FROM payment_events WHERE raw <> ''`, "i11, nobody looked, looked"},
		{"payments", `SELECT count(*)::text FROM payment_events`, "5"},
		{"unpaid orders", `SELECT string_agg(status, ', ' ORDER BY created_at DESC) FROM orders WHERE status <> 'paid'`, "cancelled, open, expired"},
		{"invoices", `SELECT count(*)::text FROM invoices`, "5"},
		{"customers", `SELECT string_agg(id::text, ', ' ORDER BY id) FROM users`, "10, 11, 21, 22"},
		{"books", `SELECT (count(*) || ' of ' || sum(minor)) FROM ledger_entries`, "4 of 0"},
	} {
		var got string
		if err := s.Pool().QueryRow(t.Context(), c.sql).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.what, got, err, c.want)
		}
	}
}

// More is due than one statement takes, and of customers the first thousand stay.
func TestTheCleanUpGoesOnUntilNothingIsDue(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for _, sql := range []string{
		`INSERT INTO inbox (update_id, lane, kind, body, state, closed_at, received_at)
			SELECT n, n, 'message', '', 'done', now(), now() - interval '4 days' FROM generate_series(1, $1::int) n`,
		`INSERT INTO users (id, language, looked_at) SELECT n, 'en', now() - interval '92 days' FROM generate_series(1, $1::int) n`,
		`INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT n, 'basic', 'active', now() FROM generate_series(1, $1::int) n`,
		`INSERT INTO users (id, language, looked_at) SELECT 10000 + n, 'en', now() - interval '91 days' FROM generate_series(1, $1::int) n`,
		`INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at)
			SELECT gen_random_uuid(), n, 'basic', '30d', 1, 1, 'RUB', 'expired', now() - interval '31 days', now() FROM generate_series(1, $1::int) n`,
	} {
		must(t, s, sql, 1001)
	}
	cleanUp(t, s)
	if n := count(t, s, `SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM orders) + (SELECT count(*) FROM users WHERE id > 10000)`); n != 0 {
		t.Errorf("%d rows whose time is over are still there", n)
	}
	if n := count(t, s, `SELECT count(*) FROM users`); n != 1001 {
		t.Errorf("%d of 1001 customers with access are there", n)
	}
}

// What stays for ever, or for long, costs the clean-up nothing.
func TestTheCleanUpReadsNothingThatStays(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s, err := store.Open(t.Context(), store.Config{URL: url, Name: "test", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const crowd = 5000
	for _, sql := range []string{
		`INSERT INTO users (id, language) SELECT n, 'en' FROM generate_series(1, $1::int) n`,
		`INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at, paid_at)
			SELECT gen_random_uuid(), n, 'basic', '30d', 1, 1, 'RUB', 'paid', now() - interval '1 year', now(), now() FROM generate_series(1, $1::int) n`,
		`INSERT INTO payment_events (provider, external_id, order_id, outcome, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw, received_at)
			SELECT 'cryptobot', id::text, id, 'settled', 1, 'RUB', '', '', '', '', '', now() - interval '1 year' FROM orders LIMIT $1`,
		`INSERT INTO inbox (update_id, lane, kind, body, state, closed_at, received_at)
			SELECT -n, n, 'message', '{}', 'dead', now(), now() - interval '80 days' FROM generate_series(1, $1::int) n`,
		`INSERT INTO inbox (update_id, lane, kind, body, state, closed_at) SELECT n, n, 'message', '', 'done', now() FROM generate_series(1, $1::int) n`,
		`INSERT INTO inbox (update_id, lane, kind, body, received_at) SELECT 1000000 + n, n, 'message', '{}', now() - interval '4 days' FROM generate_series(1, $1::int) n`,
		`INSERT INTO dead_letters (source, reason, body, digest, received_at) SELECT 'telegram', '', '{}', convert_to(n::text, 'UTF8'), now() - interval '80 days' FROM generate_series(1, $1::int) n`,
	} {
		must(t, s, sql, crowd)
	}
	must(t, s, `ANALYZE`)
	read := func() (n int) {
		must(t, s, `SELECT pg_stat_force_next_flush()`)
		n = count(t, s, `SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables`)
		return n
	}
	before := read()
	cleanUp(t, s)
	if n := read() - before; n > crowd/10 {
		t.Errorf("%d rows were read to remove none", n)
	}
}

// docs/privacy.md has a sentence about each table, whoever adds one.
func TestEachTableHasATerm(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	text, err := os.ReadFile(filepath.Join("..", "docs", "privacy.md"))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+`) \\| [^|]+ \\| ([^|]+) \\|$").FindAllStringSubmatch(string(text), -1) {
		for _, table := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			told = append(told, table[1])
		}
	}
	slices.Sort(told)
	if diff := cmp.Diff(list(t.Context(), t, s, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`), told); diff != "" {
		t.Errorf("docs/privacy.md (+) differs from the tables there are (-): say how long a row of each is kept, and why\n%s", diff)
	}
}

// Who is forgotten gets another number, wherever theirs is.
func TestWhateverNamesACustomerFollowsTheirNumber(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	stiff := list(t.Context(), t, s, `
		SELECT conrelid::regclass::text FROM pg_constraint
		WHERE contype = 'f' AND confrelid = 'users'::regclass AND confupdtype <> 'c'`)
	if len(stiff) != 0 {
		t.Errorf("%v: REFERENCES users ON UPDATE CASCADE", stiff)
	}
	unnamed := list(t.Context(), t, s, `
		SELECT c.table_name::text FROM information_schema.columns c
		WHERE c.table_schema = 'public' AND c.column_name IN ('user_id', 'customer_id') AND NOT EXISTS (
			SELECT FROM pg_constraint WHERE contype = 'f' AND confrelid = 'users'::regclass AND conrelid = c.table_name::regclass)
		AND c.table_name <> 'left_alone' -- written for every message; Forget empties it`)
	if len(unnamed) != 0 {
		t.Errorf("%v: a customer's number is a foreign key", unnamed)
	}
}

func list(ctx context.Context, t *testing.T, s *store.Store, sql string) []string {
	t.Helper()
	rows, err := s.Pool().Query(ctx, sql)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}
