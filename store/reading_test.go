package store_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/shop/shoptest"
	"sallyport/store"
)

// The tables of a shop that has run for long.
const (
	crowd   = 20_000 // customers, each with an order, an invoice, a payment, a dialog and a handled update
	waiting = 1_000  // updates, each in a lane of its own
)

// reading is one thing that the store does; n is another at each call.
type reading struct {
	what string
	do   func(ctx context.Context, s *store.Store, n int64) error
	most int // rows that it may read at each call; default 100
}

// hot is what is done through the pools of the deliveries and the dialogs, whose
// statements are planned once and for all.
var hot = []reading{
	{what: "take an update in and work it", do: workLane},
	{what: "take an update in and try it again", do: retryLane},
	{what: "give a lane back", do: func(ctx context.Context, s *store.Store, n int64) error {
		_, err := s.ReleaseLane(ctx, turn(n, "me"))
		return err
	}},
	{what: "sweep the lanes", most: 10 * waiting, do: func(ctx context.Context, s *store.Store, _ int64) error {
		_, _, err := s.IdleLanes(ctx, 100) // looks at all that waits, and at nothing else
		return err
	}},
	{what: "hasten updates", most: 10 * waiting, do: func(ctx context.Context, s *store.Store, _ int64) error {
		return s.HastenUpdates(ctx, time.Second)
	}},
	{what: "bury a letter", do: func(ctx context.Context, s *store.Store, n int64) error {
		return s.BuryLetter(ctx, "test", "odd", fmt.Append(nil, n))
	}},
	{what: "a customer", do: func(ctx context.Context, s *store.Store, n int64) error {
		id := shop.UserID(n)
		if _, err := enter(ctx, s, id); err != nil {
			return err
		}
		if err := s.SetReachable(ctx, id, false); err != nil {
			return err
		}
		if _, err := enter(ctx, s, id); err != nil {
			return err
		}
		if err := s.SetLanguage(ctx, id, shop.Russian); err != nil {
			return err
		}
		if _, err := s.Subscription(ctx, id); err != nil {
			return err
		}
		if err := s.LeaveAlone(ctx, id, time.Second); err != nil {
			return err
		}
		if err := s.SaveDialog(ctx, id, 1, "menu"); err != nil {
			return err
		}
		_, _, err := s.Dialog(ctx, id)
		return err
	}},
	{what: "orders that are not paid", do: func(ctx context.Context, s *store.Store, n int64) error {
		var placed [3]shop.Order
		for i := range placed { // the second takes the place of the first
			o, err := orderOf(ctx, s, shop.UserID(n), shop.Stars)
			if err != nil {
				return err
			}
			placed[i] = o
		}
		o := placed[2]
		if _, err := s.OrdersSince(ctx, o.UserID, time.Now().Add(-time.Hour)); err != nil {
			return err
		}
		if _, err := s.Invoice(ctx, o.ID); err == nil || shop.KindOf(err) != shop.KindNotFound {
			return fmt.Errorf("an invoice that nobody made: %w", err)
		}
		if _, err := s.Trouble(ctx, o.ID); err != nil {
			return err
		}
		if _, _, err := s.BeginCheckout(ctx, o.ID, "q", time.Now(), time.Minute); err != nil {
			return err
		}
		if err := s.EndCheckout(ctx, o.ID, "q", true); err != nil {
			return err
		}
		_, err := s.CloseOrder(ctx, o.ID, shop.OrderCancelled)
		return err
	}},
	{what: "a payment", do: func(ctx context.Context, s *store.Store, n int64) error {
		o, err := orderOf(ctx, s, shop.UserID(n), shop.CryptoBot)
		if err != nil {
			return err
		}
		for range 2 { // it is told of twice
			if _, err := settleNow(ctx, s, paymentOf(o)); err != nil {
				return err
			}
		}
		_, err = s.Order(ctx, o.ID)
		return err
	}},
	{what: "a payment known by its invoice", do: func(ctx context.Context, s *store.Store, n int64) error {
		o, err := orderOf(ctx, s, shop.UserID(n), shop.CryptoBot)
		if err != nil {
			return err
		}
		e := paymentOf(o)
		if _, err := s.Pool().Exec(ctx, `INSERT INTO invoices (order_id, provider, external_id, url) VALUES ($1, $2, $3, '')`, o.ID.UUID, e.Provider, e.ExternalID); err != nil {
			return err
		}
		e.OrderRef = ""
		_, err = settleNow(ctx, s, e)
		return err
	}},
	{what: "payments that are flagged", do: func(ctx context.Context, s *store.Store, n int64) error {
		e := shop.PaymentEvent{Provider: shop.CryptoBot, ExternalID: fmt.Sprint("odd-", n), Invoiced: shop.Money{Minor: 1, Currency: "RUB"}, Raw: []byte("{}")}
		if _, err := settleNow(ctx, s, e); err != nil {
			return err
		}
		_, err := shopOf(s).Refunded(ctx, e)
		return err
	}},
	{what: "queue jobs", do: func(ctx context.Context, s *store.Store, n int64) error {
		return s.Enqueue(ctx, shop.ConvergeUser{UserID: shop.UserID(n)}, shop.PollInvoices{}, shop.SweepPayments{Provider: shop.Stars})
	}},
}

// background is what is done through the pool of the jobs, whose statements are planned
// for what is there.
var background = []reading{
	{what: "clean up", most: crowd + 500, do: func(ctx context.Context, s *store.Store, _ int64) error {
		return s.CleanUp(ctx, shop.Kept()) // looks at all lanes in work, which are few otherwise
	}},
	{what: "take jobs", do: takeJobs},
	{what: "a sign of life", do: func(ctx context.Context, s *store.Store, _ int64) error {
		_, err := s.Beat(ctx, store.Sign{Holder: "me", Clock: time.Now()}, time.Hour)
		return err
	}},
	{what: "listen", do: func(ctx context.Context, s *store.Store, _ int64) error { return s.Listen(ctx) }},
	{what: "an invoice", do: func(ctx context.Context, s *store.Store, n int64) error {
		o, err := orderOf(ctx, s, shop.UserID(n), shop.CryptoBot)
		if err != nil {
			return err
		}
		return invoice(ctx, s, o, fmt.Sprint("inv-", n))
	}},
	{what: "an invoice that is refused", do: func(ctx context.Context, s *store.Store, n int64) error {
		o, err := orderOf(ctx, s, shop.UserID(n), shop.CryptoBot)
		if err != nil {
			return err
		}
		for range 2 {
			if err := s.RefuseInvoice(ctx, o.ID, o.Provider, nil); err != nil {
				return err
			}
		}
		_, err = s.Trouble(ctx, o.ID)
		return err
	}},
	{what: "access for what was paid", do: func(ctx context.Context, s *store.Store, n int64) error {
		o, err := orderOf(ctx, s, shop.UserID(n), shop.CryptoBot)
		if err != nil {
			return err
		}
		if _, err := settleNow(ctx, s, paymentOf(o)); err != nil {
			return err
		}
		if err := shopOf(s).Converge(ctx, o.UserID); err != nil {
			return err
		}
		return change(ctx, s, o.UserID, shop.Subscription.Expire)
	}},
	{what: "subscriptions that end", do: func(ctx context.Context, s *store.Store, n int64) error {
		if _, err := s.DueSubscriptions(ctx, time.Now(), 50); err != nil {
			return err
		}
		if _, err := s.WaitingUsers(ctx, 50); err != nil {
			return err
		}
		if _, err := s.Subscriptions(ctx, []shop.UserID{shop.UserID(n)}); err != nil {
			return err
		}
		return s.Do(ctx, "change", func(ctx context.Context, tx shop.Tx) error {
			subs, err := tx.LockSubscriptions(ctx, []shop.UserID{shop.UserID(n)})
			if err != nil {
				return err
			}
			return tx.SaveSubscriptions(ctx, subs...)
		})
	}},
	{what: "when ends were judged", do: func(ctx context.Context, s *store.Store, _ int64) error {
		if _, err := s.Now(ctx); err != nil {
			return err
		}
		state, err := s.EndsState(ctx)
		if err != nil {
			return err
		}
		_, err = s.ChangeEndsState(ctx, state, state)
		return err
	}},
	{what: "a notice", do: func(ctx context.Context, s *store.Store, n int64) error {
		if _, err := s.Miss(ctx, shop.UserID(n)); err != nil {
			return err
		}
		return s.Told(ctx, shop.UserID(n))
	}},
	{what: "orders that end", do: func(ctx context.Context, s *store.Store, _ int64) error {
		return s.Do(ctx, "expire orders", func(ctx context.Context, tx shop.Tx) error {
			_, err := tx.ExpireOrders(ctx, time.Now(), 50)
			return err
		})
	}},
	{what: "who belongs on a node", do: func(ctx context.Context, s *store.Store, n int64) error {
		if err := s.SaveNodeState(ctx, shop.NodeState{Name: "n"}); err != nil {
			return err
		}
		if err := s.OweSync(ctx, []string{"n"}); err != nil {
			return err
		}
		if _, err := s.NodeState(ctx, "n"); err != nil {
			return err
		}
		ids := []shop.AccessID{"a000001", shop.AccessID(fmt.Sprint("b", n))}
		if _, err := s.GrantedAfter(ctx, ids[0], 20); err != nil {
			return err
		}
		if _, err := s.GrantedAmong(ctx, ids); err != nil {
			return err
		}
		_, err := s.Orphans(ctx, ids, time.Now())
		return err
	}},
	{what: "what a provider says was paid", do: func(ctx context.Context, s *store.Store, n int64) error {
		if _, err := s.Unsettled(ctx, shop.CryptoBot, []string{"1", "2", fmt.Sprint("odd-", n)}); err != nil {
			return err
		}
		if _, err := s.UnpaidInvoices(ctx, shop.CryptoBot, time.Now().Add(-35*time.Minute), 500); err != nil {
			return err
		}
		if _, err := s.Kept(ctx, 500); err != nil {
			return err
		}
		if _, err := s.Unflagged(ctx, shop.Stars, []string{"1", "2"}, shop.ErrRefunded); err != nil {
			return err
		}
		return s.SaveSweep(ctx, shop.Stars, time.Now())
	}},
}

// unread names the functions whose statements are not run here, and why.
var unread = map[string]string{
	"CountDue":          "counts what the brake asks for, by indexes of their own",
	"OperatorChat":      "operators are few",
	"MoveOperatorChat":  "operators are few",
	"GreetOperatorChat": "operators are few",
	"GrantedCount":      "counts all who are granted, by an index of its own",
	"queueCounts":       "counts, on a connection of its own",
	"queueRefusals":     "counts, on a connection of its own",
	"queueJobs":         "counts, on a connection of its own",
	"queuePeriodic":     "counts, on a connection of its own",
	"queueJudgement":    "processes, lanes and jobs in hand are few",
	"HandBack":          "jobs in hand are few",
	"Hasten":            "looks at all that is owed, every so often",
	"Leave":             "processes are few",
	"AnnounceSecret":    "secrets are few",
	"SupersedeSecrets":  "secrets are few",
	"Incidents":         "incidents are few",
	"OpenIncident":      "incidents are few",
	"CloseIncident":     "incidents are few",
	"health.go":         "counts, on a connection of its own",
	"certificates.go":   "certificates are few",
	"inspect.go":        "asked by hand",
	"forget.go":         "asked by hand, for one customer",
}

// However large its table, no statement reads more than it needs, whether it was planned
// when the table was empty or is planned now that it is full.
func TestNoStatementReadsMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	ran := make(map[string]bool)
	for _, pool := range []struct {
		name     string
		config   store.Config
		readings []reading
	}{
		{"deliveries and dialogs", store.Config{PlanOnce: true}, hot},
		{"work", store.Config{}, background},
	} {
		t.Run(pool.name, func(t *testing.T) {
			pool.config.URL, pool.config.Name, pool.config.MaxConns = server.Database(t), "test", 1 // one connection, which keeps its plans
			pool.config.StatementTimeout = time.Minute
			s, err := store.Open(t.Context(), pool.config)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			must(t, s, `VACUUM ANALYZE`)
			id := int64(1_000_000)
			for _, r := range pool.readings { // plans are made
				read(t, s, r, &id)
			}
			fill(t, pool.config.URL)
			check := func(when string) {
				for _, r := range pool.readings {
					if n := read(t, s, r, &id); n > max(r.most, 100) {
						t.Errorf("%s, %s: %d rows were read", r.what, when, n)
					}
				}
			}
			if pool.config.PlanOnce {
				check("planned for empty tables")
			}
			must(t, s, `ANALYZE`) // plans are made anew
			check("planned for full tables")
			rows, err := s.Pool().Query(t.Context(), `SELECT statement FROM pg_prepared_statements`)
			if err != nil {
				t.Fatal(err)
			}
			statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range statements {
				ran[statement] = true
			}
		})
	}
	if t.Failed() {
		return // statements after the first fault did not run
	}
	functions := make(map[string]bool)
	for _, w := range written(t) {
		functions[w.function], functions[w.file] = true, true
		seen := slices.ContainsFunc(slices.Collect(maps.Keys(ran)), func(statement string) bool { return strings.Contains(statement, w.sql) })
		if excused := unread[w.function] != "" || unread[w.file] != ""; !seen && !excused {
			t.Errorf("%s: a statement of %s is in no reading; add it to one of those above:\n%s", w.file, w.function, w.sql)
		}
	}
	for name := range unread {
		if !functions[name] {
			t.Errorf("%s has no statement any more", name)
		}
	}
}

// read returns how many rows were read at the most costly of some calls.
func read(t *testing.T, s *store.Store, r reading, id *int64) (most int) {
	t.Helper()
	for range 3 {
		*id++
		before := rowsRead(t, s)
		if err := r.do(t.Context(), s, *id); err != nil {
			t.Fatalf("%s: %v", r.what, err)
		}
		most = max(most, rowsRead(t, s)-before)
	}
	return most
}

// fill makes the tables those of a shop that has run for long.
func fill(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range []string{
		`SET session_replication_role = replica`, // what the rows are is right; to check it takes long
		`INSERT INTO users (id, language) SELECT n, 'en' FROM generate_series(1, $1::int) n`,
		`INSERT INTO subscriptions (user_id, plan, status, expires_at, updated_at) SELECT n, 'basic', 'active', now() + interval '1 day', now() - interval '1 day' FROM generate_series(1, $1::int) n`,
		`INSERT INTO orders (id, user_id, plan, period_id, period_seconds, price_minor, currency, status, created_at, expires_at, paid_at, delivered_at)
			SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, n, 'basic', '30d', 1, 1, 'RUB', 'paid', now() - interval '1 day', now(), now(), now() FROM generate_series(1, $1::int) n`,
		`INSERT INTO invoices (order_id, provider, external_id, url, requested_at) SELECT id, 'cryptobot', user_id, 'https://pay.example', created_at FROM orders WHERE user_id <= $1`,
		`INSERT INTO payment_events (provider, external_id, order_id, outcome, invoiced_minor, currency, paid_asset, paid_amount, fee_asset, fee_amount, raw)
			SELECT 'cryptobot', user_id, id, 'settled', 1, 'RUB', '', '', '', '', '' FROM orders WHERE user_id <= $1`,
		`INSERT INTO ledger_postings (kind, order_id) SELECT 'sale', id FROM orders WHERE user_id <= $1`,
		`INSERT INTO ledger_entries (posting_id, account, minor, currency) SELECT ledger_postings.id, 'sales', -1, 'RUB' FROM ledger_postings JOIN orders ON orders.id = order_id WHERE user_id <= $1`,
		`INSERT INTO dialogs (user_id, message_id, screen) SELECT n, n, 'menu' FROM generate_series(1, $1::int) n`,
		`INSERT INTO inbox (update_id, lane, kind, body, state, closed_at) SELECT n, n, 'message', '{}', 'done', now() FROM generate_series(1, $1::int) n`,
		`INSERT INTO inbox (update_id, lane, kind, body) SELECT -n, n, 'message', '{}' FROM generate_series(1, $1::int / ` + strconv.Itoa(crowd/waiting) + `) n`,
		`INSERT INTO lanes (lane, holder, leased_until) SELECT n, 'other', now() + interval '1 minute' FROM generate_series(1, $1::int) n`,
		`INSERT INTO dead_letters (source, reason, body, digest) SELECT 'test', 'odd', '', n::text::bytea FROM generate_series(1, $1::int) n`,
		`INSERT INTO river_job (args, kind, max_attempts, queue, state, finalized_at) SELECT '{}', 'notify', 12, 'notices', 'completed', now() FROM generate_series(1, $1::int)`,
		`INSERT INTO river_job (args, kind, max_attempts, queue, state) SELECT '{}', 'notify', 12, 'notices', 'available' FROM generate_series(1, $1::int)`,
		`SELECT pg_stat_force_next_flush()`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = append(args, crowd)
		}
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// statement is one that stands in the store's own text.
type statement struct{ file, function, sql string }

// written returns every statement of the package.
func written(t *testing.T) (all []statement) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			function := ""
			if f, ok := decl.(*ast.FuncDecl); ok {
				function = f.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if sql, err := strconv.Unquote(lit.Value); err == nil && isSQL(sql) {
						all = append(all, statement{name, function, sql})
					}
				}
				return true
			})
		}
	}
	if len(all) < 50 {
		t.Fatalf("only %d statements were found", len(all))
	}
	return all
}

func isSQL(text string) bool {
	words := strings.Fields(text)
	return len(words) > 1 && slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}, words[0])
}

// retryLane takes an update in, fails with it, and ends it, keeping the lane.
func retryLane(ctx context.Context, s *store.Store, n int64) error {
	if _, err := s.AddUpdate(ctx, shop.Update{ID: n, Lane: n, Kind: "message", Body: []byte(`{}`)}); err != nil {
		return err
	}
	if _, _, err := s.ClaimUpdate(ctx, turn(n, "me"), time.Minute); err != nil {
		return err
	}
	if err := s.RetryUpdate(ctx, turn(n, "me"), n, time.Second, true, "odd"); err != nil {
		return err
	}
	return s.CloseUpdate(ctx, turn(n, "me"), n, "done", "")
}

// orderOf places an order of this customer's, in the place of any that is open.
func orderOf(ctx context.Context, s *store.Store, buyer shop.UserID, p shop.Provider) (shop.Order, error) {
	if _, err := enter(ctx, s, buyer); err != nil {
		return shop.Order{}, err
	}
	fresh, err := shop.NewOrder(buyer, offered, shoptest.By(p), time.Now().UTC())
	if err != nil {
		return shop.Order{}, err
	}
	return fresh, s.Do(ctx, "place order", func(ctx context.Context, tx shop.Tx) error {
		if _, err := tx.LockUser(ctx, buyer); err != nil {
			return err
		}
		switch open, err := tx.LockOpenOrder(ctx, buyer); {
		case err == nil:
			if err := tx.CancelOrder(ctx, open.ID); err != nil {
				return err
			}
		case !errors.Is(err, shop.ErrNotFound):
			return err
		}
		return tx.AddOrder(ctx, fresh)
	})
}

// invoice has the order's invoice made.
func invoice(ctx context.Context, s *store.Store, o shop.Order, id string) error {
	if _, err := s.RequestInvoice(ctx, o.ID, shop.CryptoBot, time.Second); err != nil {
		return err
	}
	if _, err := s.RequestInvoice(ctx, o.ID, shop.CryptoBot, time.Second); shop.KindOf(err) != shop.KindLimited {
		return fmt.Errorf("asked for twice: %w", err)
	}
	if err := s.ReleaseInvoice(ctx, o.ID, shop.CryptoBot); err != nil {
		return err
	}
	return s.SaveInvoice(ctx, shop.Invoice{Provider: shop.CryptoBot, ExternalID: id, OrderID: o.ID, URL: "https://pay.example/1"}, nil)
}

// settleNow settles the payment by the shop's own rules.
func settleNow(ctx context.Context, s *store.Store, e shop.PaymentEvent) (shop.Outcome, error) {
	return shopOf(s).Settle(ctx, e)
}

// A row that is left out for any conflict hides the one that nobody thought of.
func TestEveryConflictThatIsPassedOverIsNamed(t *testing.T) {
	t.Parallel()
	for _, w := range written(t) {
		if strings.Contains(w.sql, "ON CONFLICT DO") {
			t.Errorf("%s: a statement of %s passes over every conflict:\n%s", w.file, w.function, w.sql)
		}
	}
}
