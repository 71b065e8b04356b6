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
