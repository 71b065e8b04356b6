package store_test

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"sallyport/shop"
)

// A periodic job that has run must be queued again at the next tick; while it
// waits or runs, one is enough.
func TestPeriodicJobsAreQueuedOnceAtATimeButAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for range 3 {
		if err := s.Enqueue(t.Context(), shop.ExpireDue{}, shop.CheckNode{Node: "de1"}, shop.CheckNode{Node: "nl1"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM river_job`); n != 3 {
		t.Errorf("%d jobs queued", n)
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE river_job SET state = 'completed', finalized_at = now()`); err != nil {
		t.Fatal(err)
	}
	if err := s.Enqueue(t.Context(), shop.ExpireDue{}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'available'`); n != 1 {
		t.Errorf("%d jobs queued after the first had run", n)
	}
}

// One customer's access may be converged again while a run that has read older
// facts is still under way.
func TestJobsOfOneCustomerAreNeverMerged(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for range 2 {
		if err := s.Enqueue(t.Context(), shop.ConvergeUser{UserID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM river_job`); n != 2 {
		t.Errorf("%d jobs", n)
	}
}

// Somebody asks again and again: what they ask for is done now, and once more when
// some time is over, for what the first look came too early for.
func TestWhatIsAskedForIsDoneNowAndOnceMoreLater(t *testing.T) {
	t.Parallel()
	for kind, ask := range map[string]struct{ asked, scheduled shop.Job }{
		"sweeps": {shop.SweepPayments{Provider: shop.Stars}, shop.SweepPayments{}},
		"polls":  {shop.PollInvoices{Provider: shop.CryptoBot}, shop.PollInvoices{}},
	} {
		s := server.Open(t)
		began := time.Now()
		for range 60 {
			if err := s.Enqueue(t.Context(), ask.asked); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Pool().Exec(t.Context(), `
				UPDATE river_job SET state = 'completed', finalized_at = now() WHERE state = 'available'`); err != nil {
				t.Fatal(err)
			}
		}
		n := count(t, s, `SELECT count(*) FROM river_job`)
		if periods := int(time.Since(began)/(20*time.Second)) + 2; n < 2 || n > periods+1 {
			t.Errorf("%d %s in %s", n, kind, time.Since(began))
		}
		if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'scheduled' AND scheduled_at > now()
			AND scheduled_at <= now() + interval '20 seconds'`); n != 1 {
			t.Errorf("%d %s wait for their time", n, kind)
		}
		if err := s.Enqueue(t.Context(), ask.scheduled); err != nil {
			t.Fatal(err)
		}
		if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'available' AND NOT args ? 'provider'`); n != 1 {
			t.Errorf("%d %s by schedule: the one that was asked for must not stand for it", n, kind)
		}
	}
}

// all returns every job, in each of the forms that are worked in a queue of their own.
func all() []shop.Job {
	return append(shop.Jobs(), shop.Notify{Notice: shop.NoticeReady}, shop.OpenInvoice{Provider: shop.Stars}, shop.SweepPayments{Provider: shop.Stars},
		shop.PollInvoices{Provider: shop.CryptoBot})
}

// How often a job is tried is what its policy promises, whoever stores it.
func TestEveryJobIsStoredAsItsPolicySays(t *testing.T) {
	t.Parallel()
	for _, j := range all() {
		s := server.Open(t)
		policy := j.Policy()
		if policy.Queue == "" || policy.Tries == 0 || policy.Time == 0 || policy.Alone != (policy.Tries == 1) {
			t.Errorf("%s: a policy with a gap: %+v", j.Kind(), policy)
		}
		if err := s.Enqueue(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if n := count(t, s, `SELECT count(*) FROM river_job`); n != count(t, s, `
			SELECT count(*) FROM river_job WHERE kind = $1 AND queue = $2 AND max_attempts = $3`, j.Kind(), policy.Queue, policy.Tries) {
			t.Errorf("%s is not stored as %+v", j.Kind(), policy)
		}
	}
}

// While processes of two versions run, the old one takes jobs of every queue that it
// knows, and fails with those of kinds that it does not know. So a new kind comes in a
// queue that is new, too, and a kind that moves to another queue moves to a new one.
func TestAProgramBeforeThisOneKnowsWhatItsQueuesHold(t *testing.T) {
	t.Parallel()
	known := map[shop.Queue][]string{ // of the programs before; a new queue is added here once it has been shipped
		"access":   {"converge_user"},
		"ends":     {"converge_users"},
		"messages": {"notify"},
		"notices":  {"notify"},
		"payments": {"open_invoice", "poll_invoices", "sweep_payments"},
		"nodes":    {"check_node"},
		"house":    {"expire_due", "clean_up"},
	}
	for _, j := range all() {
		if kinds, shipped := known[j.Policy().Queue]; shipped && !slices.Contains(kinds, j.Kind()) {
			t.Errorf("%s in queue %s: the program before would take it, and knows only %v there", j.Kind(), j.Policy().Queue, kinds)
		}
	}
}

// What the manual says to do about jobs that were given up must not fail because of
// periodic ones, of which one at a time may wait.
func TestWhatTheManualSaysQueuesJobsAgain(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	cure := regexp.MustCompile(`(?s)UPDATE river_job .*?;`).Find(manual)
	s := server.Open(t)
	for range 2 {
		if err := s.Enqueue(t.Context(), shop.ConvergeUser{UserID: 1}, shop.CleanUp{}); err != nil {
			t.Fatal(err)
		}
		must(t, s, `UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = max_attempts`)
	}
	must(t, s, string(cure))
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'available' AND kind = 'converge_user' AND attempt < max_attempts`); n != 2 {
		t.Errorf("%d jobs are tried again", n)
	}
	if err := s.Enqueue(t.Context(), shop.CleanUp{}); err != nil {
		t.Error(err)
	}
}
