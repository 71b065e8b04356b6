package store_test

import (
	"slices"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/store"
)

// TestAJobThatHangsIsStillOwed: while its host hangs, a job is tried most of the time.
// A periodic job may take long, and is asked for its last success instead.
func TestAJobThatHangsIsStillOwed(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s, prober := server.OpenURL(t, url), store.NewProber(url)
	t.Cleanup(prober.Close)
	if err := s.Enqueue(t.Context(), shop.ConvergeUser{UserID: 1}, shop.SweepPayments{}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Pool().Exec(t.Context(), `
		UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), created_at = now() - interval '1 hour'`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := prober.Vitals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if job := v.Jobs["converge_user"]; job.Waiting != 1 || job.Oldest < time.Hour {
		t.Errorf("the customer's job: %+v", job)
	}
	if job := v.Jobs["sweep_payments"]; job.Waiting != 0 || job.Oldest != 0 {
		t.Errorf("the periodic job: %+v", job)
	}
}

// One that somebody asked for looks at one provider alone.
func TestASweepThatWasAskedForDoesNotHideThatTheScheduledOnesFail(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s, prober := server.OpenURL(t, url), store.NewProber(url)
	t.Cleanup(prober.Close)
	if err := s.Enqueue(t.Context(), shop.SweepPayments{}, shop.SweepPayments{Provider: shop.Stars}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Pool().Exec(t.Context(), `
		UPDATE river_job SET created_at = now() - interval '1 hour', finalized_at = now(),
			state = CASE WHEN args ? 'provider' THEN 'completed' ELSE 'cancelled' END::river_job_state`)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := prober.Vitals(t.Context()); err != nil || !slices.Equal(v.IdleJobs, []string{"sweep_payments"}) {
		t.Errorf("%v, %v", v.IdleJobs, err)
	}
}

// One customer whose chat takes no more is not late, and hides nobody who is; many are.
func TestWhatACustomersOwnChatHoldsUpIsNotLate(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s, prober := server.OpenURL(t, url), store.NewProber(url)
	t.Cleanup(prober.Close)
	add := func(lane int64, kind string, age time.Duration) {
		t.Helper()
		if _, err := s.AddUpdate(t.Context(), shop.Update{ID: 100*lane + int64(age/time.Second), Lane: lane, Kind: kind, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if err := s.Enqueue(t.Context(), shop.Notify{UserID: shop.UserID(lane), Notice: shop.NoticeExpired}); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			`UPDATE inbox SET received_at = now() - $2::interval WHERE lane = $1 AND received_at > now() - interval '1 second'`,
			`UPDATE river_job SET created_at = now() - $2::interval WHERE (args ->> 'user_id')::bigint = $1 AND created_at > now() - interval '1 second'`,
		} {
			if _, err := s.Pool().Exec(t.Context(), statement, lane, age); err != nil {
				t.Fatal(err)
			}
		}
	}
	oldest := func(what string, update, job time.Duration) {
		t.Helper()
		v, err := prober.Vitals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := v.OldestUpdate.Truncate(10 * time.Minute); got != update {
			t.Errorf("%s: the oldest update is of %s", what, got)
		}
		if got := v.Jobs["notify"].Oldest.Truncate(10 * time.Minute); got != job {
			t.Errorf("%s: the oldest job is of %s", what, got)
		}
	}
	add(1, "message", 45*time.Minute)
	oldest("at first", 40*time.Minute, 40*time.Minute)
	leave := func(user shop.UserID, wait time.Duration) {
		t.Helper()
		if err := s.LeaveAlone(t.Context(), user, wait); err != nil {
			t.Fatal(err)
		}
	}
	leave(1, 2*time.Minute)
	oldest("left alone", 0, 0)
	add(2, "message", 25*time.Minute)
	oldest("another", 20*time.Minute, 20*time.Minute)
	leave(2, 24*time.Hour)
	add(1, shop.KindPayment, 35*time.Minute)
	oldest("a payment", 30*time.Minute, 0)
	for user := range shop.UserID(9) {
		leave(10+user, time.Minute)
	}
	oldest("many are left alone", 40*time.Minute, 40*time.Minute)
	if _, err := s.Pool().Exec(t.Context(), `UPDATE left_alone SET alone_until = alone_until - interval '3 minutes'`); err != nil {
		t.Fatal(err)
	}
	oldest("the pauses are over", 40*time.Minute, 40*time.Minute)
	if err := s.CleanUp(t.Context(), shop.Kept()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, `SELECT count(*) FROM left_alone`); n != 1 {
		t.Errorf("%d pauses are kept: but one is over, and an hour is the longest", n)
	}
}
