package store_test

import (
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/store"
)

// ahead makes everything look as if it had been stored while the database's clock was
// so much ahead.
func ahead(t *testing.T, s *store.Store, by time.Duration) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE inbox SET received_at = received_at + $1, run_after = run_after + $1, tried_at = tried_at + $1`,
		`UPDATE lanes SET leased_until = leased_until + $1`,
		`UPDATE processes SET seen_at = seen_at + $1`,
		`UPDATE river_job SET scheduled_at = scheduled_at + $1, attempted_at = attempted_at + $1`,
		`UPDATE river_leader SET expires_at = expires_at + $1`,
	} {
		if _, err := s.Pool().Exec(t.Context(), sql, by); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALeaseOfAClockThatWasAheadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 1)
	if _, ok := claim(t, s, 1, "dead", longLease); !ok {
		t.Fatal("a free lane was refused")
	}
	ahead(t, s, time.Hour)
	if _, lanes, err := s.IdleLanes(t.Context(), 10); err != nil || len(lanes) != 1 {
		t.Errorf("idle lanes: %v, %v", lanes, err)
	}
	if _, ok := claim(t, s, 1, "b", longLease); !ok {
		t.Error("the lane is the dead one's for an hour")
	}
	if _, ok := claim(t, s, 1, "c", longLease); ok {
		t.Error("two hold one lane")
	}
}

func TestAnUpdateWaitsForNoClockAndNoIdleTimeCountsAsTrying(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	add(t, s, 1, 1)
	retried := func(want time.Duration) {
		t.Helper()
		u, ok, err := s.ClaimUpdate(ctx, turn(1, "a"), longLease)
		if err != nil || !ok || u.Trying < want || u.Trying > want+time.Minute {
			t.Errorf("claimed: %t, %v, tried for %s, want %s", ok, err, u.Trying, want)
		}
		if err := s.RetryUpdate(ctx, turn(1, "a"), 1, 0, false, "away"); err != nil {
			t.Fatal(err)
		}
	}
	retried(0)
	ahead(t, s, time.Hour) // and now the clock is right again
	retried(0)
	ahead(t, s, -2*time.Hour) // the clock jumps ahead
	retried(0)
	retried(90 * time.Second) // at most that much of the jump is taken for trying
	if more, err := s.ReleaseLane(ctx, turn(1, "a")); err != nil || !more {
		t.Errorf("more: %t, %v", more, err)
	}
}

func TestWhoWasSeenByAClockThatWasAheadIsMissedAllTheSame(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	beat := func(holder string) int64 { t.Helper(); return beat(t, s, holder) }
	beat("dead")
	beat("alive")
	if err := s.Enqueue(ctx, shop.ConvergeUser{UserID: 1}, shop.ConvergeUser{UserID: 2}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY['dead']`,
		`UPDATE river_job SET attempted_by = ARRAY['alive'] WHERE args ->> 'user_id' = '2'`,
		`INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES ('gone', now(), now() + interval '15 seconds')`,
	} {
		if _, err := s.Pool().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	ahead(t, s, time.Hour)
	if n := beat("alive"); n != 0 {
		t.Errorf("%d jobs taken before anybody could be seen by the right clock", n)
	}
	if n := beat("alive"); n != 1 {
		t.Errorf("%d jobs handed back, want the dead one's", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_leader`); n != 0 {
		t.Error("somebody leads for an hour")
	}
	if n, err := s.HandBack(ctx, "alive", nil, 15*time.Second); err != nil || n != 1 {
		t.Errorf("%d of our own handed back, %v", n, err)
	}
}

func TestJobsThatAClockPutOffAreHastened(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	if err := s.Enqueue(ctx, shop.ConvergeUser{UserID: 1}, shop.ConvergeUser{UserID: 2}, shop.ConvergeUser{UserID: 3}, shop.ConvergeUser{UserID: 4}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE river_job SET scheduled_at = now() + interval '1 hour' WHERE args ->> 'user_id' = '1'`,
		`UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '30 seconds' WHERE args ->> 'user_id' = '2'`,
		`UPDATE river_job SET state = 'retryable', attempt = 6, scheduled_at = now() + interval '20 minutes' WHERE args ->> 'user_id' = '3'`,
		`UPDATE river_job SET state = 'retryable', attempt = 2, scheduled_at = now() + interval '20 minutes' WHERE args ->> 'user_id' = '4'`,
	} {
		if _, err := s.Pool().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Hasten(ctx); err != nil || n != 2 {
		t.Errorf("%d hastened, %v", n, err)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE scheduled_at <= now() AND args ->> 'user_id' IN ('1', '4')`); n != 2 {
		t.Errorf("%d of the right ones", n)
	}
}

// TestWhoEndedByAClockThatWasAheadLeavesTheNodes: their time to come is no reason to let
// them in until then.
func TestWhoEndedByAClockThatWasAheadLeavesTheNodes(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	var id shop.AccessID
	err := s.Pool().QueryRow(t.Context(), `
		WITH customer AS (INSERT INTO users (id, language) VALUES (1, 'en') RETURNING id)
		INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT id, 'basic', 'expired', now() FROM customer RETURNING access_id`).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	orphans := func() []shop.AccessID {
		t.Helper()
		found, err := s.Orphans(t.Context(), []shop.AccessID{id}, time.Now().Add(-time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := orphans(); len(found) != 0 {
		t.Errorf("ended only now, and already removed: %v", found)
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE subscriptions SET updated_at = updated_at + interval '2 hours'`); err != nil {
		t.Fatal(err)
	}
	if found := orphans(); len(found) != 1 {
		t.Errorf("ended while the clock was ahead, and let in until then: %v", found)
	}
}
