package store_test

import (
	"testing"
	"time"

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
	if lanes, err := s.IdleLanes(t.Context(), 10); err != nil || len(lanes) != 1 {
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
		u, ok, err := s.ClaimUpdate(ctx, 1, "a", longLease)
		if err != nil || !ok || u.Trying < want || u.Trying > want+time.Minute {
			t.Errorf("claimed: %t, %v, tried for %s, want %s", ok, err, u.Trying, want)
		}
		if err := s.RetryUpdate(ctx, 1, "a", 0, false, "away"); err != nil {
			t.Fatal(err)
		}
	}
	retried(0)
	ahead(t, s, time.Hour) // and now the clock is right again
	retried(0)
	ahead(t, s, -2*time.Hour) // the clock jumps ahead
	retried(0)
	retried(90 * time.Second) // at most that much of the jump is taken for trying
	if more, err := s.ReleaseLane(ctx, 1, "a"); err != nil || !more {
		t.Errorf("more: %t, %v", more, err)
	}
}
