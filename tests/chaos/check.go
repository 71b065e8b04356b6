package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"sallyport/sandbox/books"
)

const (
	// quietLimit is how long after the last fault everything owed may take.
	quietLimit = 2 * time.Minute
	// restLimit is how long after that the program may take to be as at the beginning.
	restLimit = 90 * time.Second
	// manyMore is how many goroutines more than at the beginning a replica may have: a
	// worker or a connection comes and goes.
	manyMore = 30
	// connectionsEach is how many connections a replica may have: its pools, the two for
	// health, the one that listens for jobs.
	connectionsEach = 8 + 7 + 2 + 2 + 1
	// clockSlack is by how much access may be longer or shorter where clocks were wrong;
	// the shortest period but one is thirty days.
	clockSlack = 8 * longestStep
)

// check is one thing that must hold.
type check struct {
	name string
	do   func(context.Context) error
}

// checks are all, once everything is quiet.
func (r *run) checks() []check {
	b := r.books
	return []check{
		{"everybody got done what they began", r.checkActs},
		{"every fault was mended, and who was asked to stop did so in time", func(context.Context) error { return errors.Join(r.wreck.problems...) }},
		{"nothing is owed: updates, callbacks, deliveries, jobs", b.Owed},
		{"the ledger balances, and holds every sale once", b.CheckLedger},
		{"every invoice paid at Crypto Pay is one event and one sale", b.CheckInvoices},
		{"every charge of Stars is one event and one sale", b.CheckStars},
		{"forged callbacks changed nothing", r.checkForged},
		{"who was told that their money is looked at had somebody play with it", r.checkDoubted},
		{"every paid order gave one period", b.CheckPeriods},
		{"Xray lets in who is entitled, and nobody else", b.CheckNode},
		{"everybody who paid has the key in the chat", b.CheckKeys},
		{"no update that was acknowledged is lost, or handled out of order", r.checkUpdates},
		{"no job was given up", b.CheckJobs},
		{"the Bot API's rules were kept", func(context.Context) error { return b.CheckManners() }},
		{"no replica has more goroutines than at the beginning", r.checkGoroutines},
		{"no connection is left over, and none is in a transaction", r.checkConnections},
		{"no row is left over: leases, processes, jobs in hand", r.checkRows},
		{"no replica broke down, or held a connection across a call", r.checkLog},
	}
}

func (r *run) checkActs(ctx context.Context) error {
	r.crowd.mu.Lock()
	defer r.crowd.mu.Unlock()
	var problems []error
	for _, l := range r.crowd.late {
		problems = append(problems, fmt.Errorf("at %.1f s, person %d, of the %s: %w\n%s", l.at.Seconds(), l.person, l.deed, l.why, r.trace(ctx, l.person)))
	}
	return errors.Join(problems...)
}

// trace tells all that the shop and the chat know of a person, for whoever looks for a fault.
func (r *run) trace(ctx context.Context, person int64) string {
	var text strings.Builder
	for _, known := range []struct{ what, query string }{
		{"subscription", `SELECT to_jsonb(s)::text FROM subscriptions s WHERE user_id = $1`},
		{"order", `
			SELECT jsonb_build_object('order', o, 'invoices', (SELECT jsonb_agg(i) FROM invoices i WHERE i.order_id = o.id))::text
			FROM orders o WHERE user_id = $1 ORDER BY created_at`},
		{"job", `
			SELECT jsonb_build_object('id', id, 'kind', kind, 'args', args, 'state', state, 'attempt', attempt, 'created', created_at,
				'scheduled', scheduled_at, 'attempted', attempted_at, 'by', attempted_by, 'finalized', finalized_at, 'errors', errors)::text
			FROM river_job WHERE args ->> 'user_id' = $1::bigint::text OR args ->> 'order_id' IN (SELECT id::text FROM orders WHERE user_id = $1)
			ORDER BY id`},
		{"dialog", `SELECT to_jsonb(d)::text FROM dialogs d WHERE user_id = $1`},
		{"update", `SELECT (to_jsonb(i) - 'body' || jsonb_build_object('transaction', xmin::text))::text FROM inbox i WHERE lane = $1 ORDER BY arrival`},
	} {
		lines, err := r.books.Lines(ctx, known.query, person)
		if err != nil {
			lines = []string{err.Error()}
		}
		for _, line := range lines {
			fmt.Fprintf(&text, "    %s %s\n", known.what, line)
		}
	}
	for _, m := range r.world.Telegram.Chat(person).Messages {
		first, _, _ := strings.Cut(m.Text, "\n")
		fmt.Fprintf(&text, "    message %d, by the bot: %t, deleted: %t, at %s", m.ID, m.FromBot, m.Deleted, m.Date.Format(time.StampMilli))
		if m.EditDate != nil {
			fmt.Fprintf(&text, ", edited at %s", m.EditDate.Format(time.StampMilli))
		}
		fmt.Fprintf(&text, ": %q\n", first)
	}
	return text.String()
}

// mostTraces is how many people are told of in full.
const mostTraces = 5

func (r *run) checkForged(ctx context.Context) error {
	r.crowd.mu.Lock()
	r.books.Flagged = r.crowd.flagged
	r.crowd.mu.Unlock()
	believed, err := r.books.Count(ctx, `
		SELECT count(*) FROM payment_events WHERE outcome = 'settled'
			AND (external_id LIKE 'made-up-%' OR convert_from(raw, 'UTF8')::json -> 'payload' ->> 'amount' = '1')`)
	if err == nil && believed > 0 {
		err = fmt.Errorf("%d are settled", believed)
	}
	return errors.Join(err, r.books.CheckFlagged(ctx))
}

// checkDoubted looks for the payment that somebody told of in a wrong way, by each who
// was told that money for their order is looked at.
func (r *run) checkDoubted(ctx context.Context) error {
	r.crowd.mu.Lock()
	defer r.crowd.mu.Unlock()
	var problems []error
	for person := range r.crowd.doubted {
		n, err := r.books.Count(ctx, `
			SELECT count(*) FROM payment_events e JOIN orders o ON o.id = e.order_id
			WHERE o.user_id = $1 AND e.outcome = 'flagged' AND e.external_id = ANY($2)`, person, slices.Collect(maps.Keys(r.crowd.flagged)))
		if err == nil && n == 0 {
			err = fmt.Errorf("nobody played with a payment of person %d:\n%s", person, r.trace(ctx, person))
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// checkUpdates adds to the books what the door saw.
func (r *run) checkUpdates(ctx context.Context) error {
	missing, err := r.books.Lines(ctx, `
		SELECT 'update ' || id || ' was acknowledged and is not in the inbox' FROM unnest($1::bigint[]) AS taken (id)
		WHERE id <> ALL($2::bigint[]) AND NOT EXISTS (SELECT FROM inbox WHERE update_id = id)`,
		r.door.acknowledged(), r.world.Telegram.CheckoutUpdates())
	problems := []error{err, r.books.CheckInbox(ctx)}
	for _, line := range missing {
		problems = append(problems, errors.New(line))
	}
	strays, err := r.books.Strays(ctx)
	problems = append(problems, err)
	told := make(map[int64]bool)
	for _, s := range strays {
		if !told[s.Lane] && len(told) < mostTraces {
			told[s.Lane] = true
			problems = append(problems, fmt.Errorf("all of person %d:\n%s", s.Lane, r.trace(ctx, s.Lane)))
		}
	}
	return errors.Join(problems...)
}

func (r *run) checkGoroutines(ctx context.Context) error {
	var problems []error
	for _, one := range r.fleet.members() {
		n, err := one.goroutines(ctx)
		if err == nil && n > r.goroutines+manyMore {
			err = fmt.Errorf("the replica on port %d has %d, at the beginning it was %d", one.port, n, r.goroutines)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func (r *run) checkConnections(ctx context.Context) error {
	const theirs = ` FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> $1`
	all, err := r.books.Count(ctx, `SELECT count(*)`+theirs, books.Name)
	if most := replicas * connectionsEach; err == nil && all > most {
		err = fmt.Errorf("there are %d, at most %d belong to the replicas", all, most)
	}
	open, failed := r.books.Count(ctx, `SELECT count(*)`+theirs+` AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second'`, books.Name)
	if failed == nil && open > 0 {
		failed = fmt.Errorf("%d are in a transaction and do nothing", open)
	}
	return errors.Join(err, failed)
}

func (r *run) checkRows(ctx context.Context) error {
	var problems []error
	for _, left := range []struct {
		what, query string
		want        int
	}{
		// One whose release was lost is over by now; its row goes within the hour.
		{"leases that hold a lane", `SELECT count(*) FROM lanes WHERE leased_until BETWEEN now() AND now() + interval '90 seconds'`, 0},
		{"locks of certificates", `SELECT count(*) FROM tls_locks`, 0},
		{"processes", `SELECT count(*) FROM processes`, replicas},
		{"processes that were seen of late", `SELECT count(*) FROM processes WHERE seen_at BETWEEN now() - interval '5 seconds' AND now()`, replicas},
		{"leaders of the job queue that are alive", `SELECT count(*) FROM river_leader JOIN processes ON holder = leader_id WHERE expires_at > now()`, 1},
		{"jobs in the hands of nobody", `
			SELECT count(*) FROM river_job WHERE state = 'running'
				AND (attempted_by[cardinality(attempted_by)] NOT IN (SELECT holder FROM processes) OR attempted_at NOT BETWEEN now() - interval '20 seconds' AND now())`, 0},
		{"jobs of the schedule that are put off", `
			SELECT count(*) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable') AND scheduled_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute'`, 0},
		{"orders that are open and should not be", `SELECT count(*) FROM orders WHERE status = 'open' AND expires_at < now() - interval '10 seconds'`, 0},
	} {
		n, err := r.books.Count(ctx, left.query)
		if err == nil && n != left.want {
			err = fmt.Errorf("%d %s, want %d", n, left.what, left.want)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// checkLog looks for what may never be in the replicas' log.
func (r *run) checkLog(context.Context) error {
	text, err := os.ReadFile(r.logPath())
	if err != nil {
		return fmt.Errorf("the replicas' log: %w", err)
	}
	var problems []error
	for line := range strings.Lines(string(text)) {
		for _, never := range []string{"panic", "fatal error:", "goroutine 1 [", "holds a connection", "DATA RACE"} {
			if strings.Contains(line, never) {
				problems = append(problems, errors.New(strings.TrimSpace(line)))
			}
		}
	}
	return errors.Join(problems...)
}

// checkEnds says that somebody's access is about to end, which makes new work.
func (r *run) checkEnds(ctx context.Context) error {
	n, err := r.books.Count(ctx, `SELECT count(*) FROM subscriptions WHERE status = 'active' AND expires_at < now() + interval '30 seconds'`)
	if err == nil && n > 0 {
		err = fmt.Errorf("the access of %d is about to end", n)
	}
	return err
}

// rest waits until all checks hold that need a little time after the quiet, and until
// nobody's access is about to end while the others are made.
func (r *run) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restLimit)
	defer cancel()
	for {
		err := errors.Join(r.checkEnds(ctx), r.books.Owed(ctx), r.books.CheckPeriods(ctx), r.books.CheckNode(ctx),
			r.checkGoroutines(ctx), r.checkConnections(ctx), r.checkRows(ctx))
		if err == nil || !sleepUntil(ctx, time.Now().Add(200*time.Millisecond)) {
			return
		}
	}
}
