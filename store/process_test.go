package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/store"
)

// beat gives a sign of life and returns how many jobs were handed back.
func beat(t *testing.T, s *store.Store, holder string) int64 {
	t.Helper()
	life, err := s.Beat(t.Context(), store.Sign{Holder: holder, Clock: time.Now()}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return life.Jobs
}

func TestWhatADeadProcessHadInHandIsHandedBack(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	beat := func(holder string) int64 { t.Helper(); return beat(t, s, holder) }
	beat("dead")
	add(t, s, 1, 1)
	claim(t, s, 1, "dead", longLease)
	if err := s.Enqueue(ctx, shop.ConvergeUser{UserID: 1}, shop.ExpireDue{}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY['somebody', 'dead']`,
		`INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES ('dead', now(), now() + interval '15 seconds')`,
	} {
		if _, err := s.Pool().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if n := beat("alive"); n != 0 {
		t.Errorf("%d jobs taken from a process that is alive", n)
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE processes SET seen_at = now() - interval '6 seconds'`); err != nil {
		t.Fatal(err)
	}
	if n := beat("alive"); n != 0 {
		t.Errorf("%d jobs taken after a pause in which nobody was seen", n)
	}
	if n := beat("alive"); n != 2 {
		t.Errorf("%d jobs handed back", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0`); n != 2 {
		t.Errorf("%d jobs are there to be taken", n)
	}
	if _, ok := claim(t, s, 1, "alive", longLease); !ok {
		t.Error("the lane is still the dead one's")
	}
	if n := count(t, s, `SELECT count(*) FROM river_leader`); n != 0 {
		t.Error("the dead one still leads")
	}
	if err := s.Leave(ctx, "alive"); err != nil {
		t.Fatal(err)
	}
	beat("third")
	beat("third")
	if n := count(t, s, `SELECT count(*) FROM processes`); n != 1 {
		t.Errorf("%d processes known", n)
	}
}

// TestJobsLostWithAConnectionAreHandedBack: the database has given them to us, and we
// never got them, or could not say that they are done.
func TestJobsLostWithAConnectionAreHandedBack(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	if err := s.Enqueue(ctx, shop.ExpireDue{}, shop.ConvergeUser{UserID: 1}, shop.ConvergeUser{UserID: 2}, shop.ConvergeUser{UserID: 3}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '20 seconds', attempted_by = ARRAY['us']`,
		`UPDATE river_job SET attempted_at = now() WHERE args ->> 'user_id' = '2'`,
		`UPDATE river_job SET attempted_by = ARRAY['us', 'another'] WHERE args ->> 'user_id' = '3'`,
	} {
		if _, err := s.Pool().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	tried := int64(count(t, s, `SELECT id FROM river_job WHERE args ->> 'user_id' = '1'`))
	if n, err := s.HandBack(ctx, "us", []int64{tried}, 15*time.Second); err != nil || n != 1 {
		t.Errorf("%d handed back, %v", n, err)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0 AND kind = 'expire_due'`); n != 1 {
		t.Error("the lost job is not there to be taken")
	}
	if n, err := s.HandBack(ctx, "us", nil, 15*time.Second); err != nil || n != 1 {
		t.Errorf("with empty hands %d handed back, %v", n, err)
	}
}

func TestTheClockThatIsFarthestOffIsTold(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s, prober := server.OpenURL(t, url), store.NewProber(url)
	t.Cleanup(prober.Close)
	ctx := t.Context()
	near := func(got, want time.Duration) bool { return (got - want).Abs() < time.Minute }
	for _, c := range []struct {
		holder string
		off    time.Duration
		told   string
		ahead  time.Duration
	}{{"a", 0, "a", 0}, {"b", -2 * time.Hour, "b", -2 * time.Hour}, {"c", 48 * time.Hour, "c", 48 * time.Hour}, {"c", 0, "b", -2 * time.Hour}} {
		if _, err := s.Beat(ctx, store.Sign{Holder: c.holder, Clock: time.Now().Add(c.off)}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if v, err := prober.Vitals(ctx); err != nil || v.ClockOf != c.told || !near(v.ClockAhead, c.ahead) {
			t.Errorf("%s is %s off: told %s of %q, %v", c.holder, c.off, v.ClockAhead, v.ClockOf, err)
		}
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE processes SET seen_at = now() - interval '5 minutes' WHERE holder = 'b'`); err != nil {
		t.Fatal(err)
	}
	if v, err := prober.Vitals(ctx); err != nil || !near(v.ClockAhead, 0) {
		t.Errorf("one that is gone: %s of %q, %v", v.ClockAhead, v.ClockOf, err)
	}
}

// What kills each process that has it in hand is given up: all else must go on.
func TestWhatKillsEachProcessIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seen  string // of the process that had it in hand
		given bool   // up, after so many
	}{{`now() - interval '10 seconds'`, true}, {`'-infinity'`, false}} {
		s := server.Open(t)
		beat(t, s, "alive")
		add(t, s, 1, 7)
		add(t, s, 2, 7)
		if err := s.Enqueue(t.Context(), shop.ConvergeUser{UserID: 7}); err != nil {
			t.Fatal(err)
		}
		for n := range 20 {
			if left := count(t, s, `SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting') + (SELECT count(*) FROM river_job WHERE state = 'available')`); left != 3 {
				t.Fatalf("given up after %d", n)
			}
			must(t, s, `INSERT INTO processes (holder, seen_at) VALUES ('dead', `+c.seen+`)`)
			must(t, s, `INSERT INTO lanes (lane, holder, leased_until) VALUES (7, 'dead', now() + interval '1 minute')`)
			must(t, s, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY['dead'] WHERE kind = 'converge_user'`)
			if jobs := beat(t, s, "alive"); jobs != 1 {
				t.Fatalf("%d jobs handed back", jobs)
			}
			rests := count(t, s, `SELECT (SELECT count(*) FROM river_job WHERE scheduled_at > now()) + (SELECT count(*) FROM inbox WHERE run_after > now())`)
			if last := n == 19; !last && (rests > 0) != (c.given && n >= 2) {
				t.Errorf("after %d: %d rest", n+1, rests)
			}
		}
		want := map[bool]int{true: 1}[c.given]
		if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'discarded' AND attempt < max_attempts AND finalized_at IS NOT NULL`); n != want {
			t.Errorf("%d jobs given up", n)
		}
		if n := count(t, s, `SELECT count(*) FROM inbox WHERE update_id = 1 AND state = 'dead' AND error <> ''`); n != want {
			t.Errorf("%d updates given up", n)
		}
		if n := count(t, s, `SELECT count(*) FROM inbox WHERE update_id = 2 AND state = 'waiting' AND handed_back = 0`); n != 1 {
			t.Error("the one behind it is gone")
		}
	}
}

// The eldest hears within a second of what has run out, and tells every client of the job
// queue where jobs are due: nobody has to ask again and again.
func TestASignOfLifeTellsWhatIsDue(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s := server.OpenURL(t, url)
	ctx := t.Context()
	sign := func(holder string) store.Life {
		t.Helper()
		life, err := s.Beat(ctx, store.Sign{Holder: holder, Clock: time.Now()}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return life
	}
	if life := sign("eldest"); life.Due || !life.Eldest {
		t.Errorf("nothing is due: %+v", life)
	}
	for _, step := range []struct {
		sql string
		due bool
	}{
		{`INSERT INTO users (id, language) VALUES (1, 'en')`, false},
		{`INSERT INTO subscriptions (user_id, status, expires_at) VALUES (1, 'active', now() + interval '1 hour')`, false},
		{`UPDATE subscriptions SET expires_at = now()`, true},
		{`UPDATE ends SET held = 1, held_since = now()`, false},
		{`UPDATE ends SET held = 0, held_since = NULL`, true},
		{`UPDATE subscriptions SET status = 'expired'`, false},
	} {
		must(t, s, step.sql)
		if life := sign("eldest"); life.Due != step.due {
			t.Errorf("after %s: %+v", step.sql, life)
		}
	}

	client, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.WithoutCancel(ctx))
	if err := s.Enqueue(ctx, shop.ConvergeUser{UserID: 1}, shop.ExpireDue{}); err != nil {
		t.Fatal(err)
	}
	must(t, s, `UPDATE river_job SET scheduled_at = now() + interval '1 hour' WHERE kind = 'expire_due'`)
	if _, err := client.Exec(ctx, `LISTEN "public.river_insert"`); err != nil {
		t.Fatal(err)
	}
	sign("younger")
	sign("eldest")
	heard, err := client.WaitForNotification(ctx)
	if err != nil || heard.Payload != `{"queue" : "access"}` {
		t.Errorf("heard %+v, %v", heard, err)
	}
	must(t, s, `UPDATE river_job SET scheduled_at = now() WHERE kind = 'expire_due'`)
	must(t, s, `UPDATE river_job SET state = 'completed', finalized_at = now() WHERE kind = 'converge_user'`)
	sign("eldest")
	if heard, err = client.WaitForNotification(ctx); err != nil || heard.Payload != `{"queue" : "house"}` {
		t.Errorf("heard %+v, %v", heard, err)
	}
}
