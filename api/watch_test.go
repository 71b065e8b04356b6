package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/api"
)

// paper is a desk that notes what it is told.
type paper struct {
	mu     sync.Mutex
	open   map[string]api.Incident
	told   []string
	broken error // it cannot tell
	slow   func()
	away   error // it cannot remember
}

func (p *paper) Incidents(context.Context) ([]api.Incident, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var open []api.Incident
	for _, i := range p.open {
		open = append(open, i)
	}
	return open, p.away
}

func (p *paper) Tell(_ context.Context, i api.Incident, over time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow != nil {
		p.slow()
	}
	switch {
	case p.broken != nil:
		return p.broken
	case over.IsZero() && !i.Told.IsZero():
		p.told = append(p.told, fmt.Sprintf("still %s %s: %s", i.Component, i.Code, i.Reason))
	case over.IsZero():
		p.told = append(p.told, fmt.Sprintf("begins %s %s: %s", i.Component, i.Code, i.Reason))
	case over.Before(i.Since):
		p.told = append(p.told, "ends before it began")
	default:
		p.told = append(p.told, "ends "+i.Component+" "+i.Code)
	}
	return nil
}

func (p *paper) Remember(_ context.Context, i api.Incident) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away == nil {
		p.open[i.Component+i.Code] = i
	}
	return p.away
}

func (p *paper) Forget(_ context.Context, i api.Incident) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away == nil {
		delete(p.open, i.Component+i.Code)
	}
	return p.away
}

// isAway says why it can remember nothing from now on.
func (p *paper) isAway(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = err
}

// scene is a Watch over components that the test sets.
type scene struct {
	t     *testing.T
	paper *paper
	mu    sync.Mutex
	now   map[string]api.Component
	duty  bool
	looks int
	stop  func()

	grows, remind time.Duration
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, paper: &paper{open: make(map[string]api.Incident)}, duty: true, now: map[string]api.Component{"node:a": {Finding: api.Finding{State: api.StateOK}}}}
	s.start()
	return s
}

// start starts a process that watches.
func (s *scene) start() {
	s.t.Helper()
	w := api.NewWatch(api.WatchConfig{
		Look: func(context.Context) api.Report {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.looks++
			components := make(map[string]api.Component)
			for name, c := range s.now {
				components[name] = c
			}
			return api.Report{Components: components}
		},
		Desk: s.paper, OnDuty: func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.duty },
		Every: time.Millisecond, Lasts: 50 * time.Millisecond, Grows: s.grows, Remind: s.remind,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	s.stop = func() { cancel(); <-ended }
	s.t.Cleanup(func() { s.stop() })
}

// is sets how a component is.
func (s *scene) is(name, state, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now[name] = api.Component{Finding: api.Finding{State: state, Code: code, Reason: "because"}}
}

// has sets everything that is wrong with a component.
func (s *scene) has(name string, codes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]api.Finding, len(codes))
	for i, code := range codes {
		found[i] = api.Finding{State: api.StateDegraded, Code: code, Reason: "because"}
	}
	s.now[name] = api.Component{Finding: api.Together(found...)}
}

// counts sets how many payments wait for the operator.
func (s *scene) counts(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now["payments"] = api.Component{Finding: api.Finding{
		State: api.StateDegraded, Code: api.CodePaymentsFlagged, Reason: fmt.Sprint(n, " wait"), Count: n,
	}}
}

// said returns what was told.
func (s *scene) said() []string {
	s.paper.mu.Lock()
	defer s.paper.mu.Unlock()
	return slices.Clone(s.paper.told)
}

// until waits until what was told is enough.
func (s *scene) until(enough func(said []string) bool) {
	s.t.Helper()
	for limit := time.After(time.Minute); !enough(s.said()); {
		select {
		case <-limit:
			s.t.Fatalf("told only %q", s.said())
		case <-time.After(time.Millisecond):
		}
	}
}

// tells waits until exactly these lines were told.
func (s *scene) tells(want ...string) {
	s.t.Helper()
	s.until(func(said []string) bool { return len(said) >= len(want) })
	s.looksOn()
	if diff := cmp.Diff(want, s.said()); diff != "" {
		s.t.Fatalf("told (+):\n%s", diff)
	}
}

// looksOn waits for as many looks as would make anything told again.
func (s *scene) looksOn() {
	s.t.Helper()
	looks := func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.looks }
	for from, limit := looks(), time.After(time.Minute); looks() < from+80; {
		select {
		case <-limit:
			s.t.Fatal("it looks no more")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestAnIncidentIsToldOnceAndItsEndOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.looksOn()
	s.tells()
	s.is("node:a", api.StateFail, "node_unreachable")
	s.tells("begins node:a node_unreachable: because")
	s.is("node:a", api.StateOK, "")
	s.tells("begins node:a node_unreachable: because", "ends node:a node_unreachable")
}

func TestWhatFlickersOrCannotBeToldIsNoIncident(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for range 20 {
		s.is("node:a", api.StateFail, "node_unreachable")
		s.is("node:a", api.StateOK, "")
	}
	s.is("jobs", api.StateFail, api.CodeUnknown)
	s.looksOn()
	s.tells()
}

// An incident that turns into "unknown", because the database is away too, goes on.
func TestAnIncidentGoesOnWhileNobodyKnows(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("jobs", api.StateDegraded, "jobs_late")
	s.tells("begins jobs jobs_late: because")
	s.is("jobs", api.StateFail, api.CodeUnknown)
	s.looksOn()
	s.is("jobs", api.StateDegraded, "jobs_late")
	s.looksOn()
	s.tells("begins jobs jobs_late: because")
	s.is("jobs", api.StateDegraded, "jobs_dead")
	s.tells("begins jobs jobs_late: because", "begins jobs jobs_dead: because", "ends jobs jobs_late")
}

func TestARestartRepeatsNothingAndForgetsNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("node:a", api.StateFail, "node_unreachable")
	s.tells("begins node:a node_unreachable: because")
	s.stop()
	s.start()
	s.looksOn()
	s.tells("begins node:a node_unreachable: because")
	s.stop()
	s.is("node:a", api.StateOK, "") // while nobody looks
	s.start()
	s.tells("begins node:a node_unreachable: because", "ends node:a node_unreachable")
}

func TestOnlyTheProcessOnDutyTells(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	duty := func(on bool) { s.mu.Lock(); defer s.mu.Unlock(); s.duty = on }
	duty(false)
	s.is("node:a", api.StateFail, "node_unreachable")
	s.looksOn()
	s.tells()
	s.paper.mu.Lock()
	s.paper.open["node:anode_unreachable"] = api.Incident{Component: "node:a", Code: "node_unreachable", Since: time.Now(), Told: time.Now()} // by another
	s.paper.mu.Unlock()
	duty(true)
	s.looksOn()
	s.tells()
	s.is("node:a", api.StateOK, "")
	s.tells("ends node:a node_unreachable")
}

// Telegram itself is away: its end is told, because its beginning could not be.
func TestWhatCouldNotBeToldIsToldAtItsEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	set := func(err error) { s.paper.mu.Lock(); defer s.paper.mu.Unlock(); s.paper.broken = err }
	set(errors.New("telegram is away"))
	s.is("telegram", api.StateFail, "telegram_unreachable")
	s.looksOn()
	s.is("telegram", api.StateOK, "")
	s.looksOn() // who had looked before could else tell what they saw
	set(nil)
	s.tells("ends telegram telegram_unreachable")
}

// The chat itself cannot be written to: others are told as soon as they can be, and of
// that only its end.
func TestTheOperatorIsNotToldThatTheyCannotBeTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("operator", api.StateDegraded, api.CodeOperatorUnreachable)
	s.looksOn()
	s.is("node:a", api.StateFail, "node_unreachable")
	s.tells("begins node:a node_unreachable: because")
	s.is("operator", api.StateOK, "")
	s.tells("begins node:a node_unreachable: because", "ends operator operator_unreachable")
}

// The chat cannot be written to while much is wrong: that none of it can be told keeps
// nobody from telling the end of that.
func TestThatTheOperatorCannotBeToldIsOverWhateverElseIsWrong(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	set := func(err error) { s.paper.mu.Lock(); defer s.paper.mu.Unlock(); s.paper.broken = err }
	set(errors.New("blocked"))
	for n := range 2000 {
		s.is(fmt.Sprintf("node:%d", n), api.StateFail, "node_unreachable")
	}
	s.is("operator", api.StateDegraded, api.CodeOperatorUnreachable)
	s.looksOn()
	s.is("operator", api.StateOK, "")
	s.looksOn()
	set(nil)
	s.until(func(said []string) bool { return slices.Contains(said, "ends operator operator_unreachable") })
}

// The database is away from the start: nobody knows what was told before.
func TestWithoutMemoryBeginningsAreToldAndEndsWait(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.stop()
	s.paper.isAway(errors.New("no database"))
	s.is("database", api.StateFail, "database_unreachable")
	s.start()
	s.tells("begins database database_unreachable: because")
	s.is("database", api.StateOK, "")
	s.looksOn()
	s.tells("begins database database_unreachable: because")
	s.paper.isAway(nil)
	s.tells("begins database database_unreachable: because", "ends database database_unreachable")
}

func TestAComponentThatIsGoneIsOver(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("node:a", api.StateFail, "node_unreachable")
	s.tells("begins node:a node_unreachable: because")
	s.mu.Lock()
	delete(s.now, "node:a")
	s.mu.Unlock()
	s.tells("begins node:a node_unreachable: because", "ends node:a node_unreachable")
}

// The database goes away while an incident lasts, and stays away beyond its end.
func TestAnEndThatCannotBeRememberedIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("node:a", api.StateFail, "node_unreachable")
	s.tells("begins node:a node_unreachable: because")
	s.paper.isAway(errors.New("no database"))
	s.is("node:a", api.StateOK, "")
	both := []string{"begins node:a node_unreachable: because", "ends node:a node_unreachable"}
	s.tells(both...)
	s.paper.isAway(nil)
	s.looksOn()
	s.tells(both...)
	s.paper.mu.Lock()
	left := len(s.paper.open)
	s.paper.mu.Unlock()
	if left != 0 {
		t.Error("it is remembered for ever")
	}
	s.is("node:a", api.StateFail, "node_unreachable")
	s.tells(append(both, "begins node:a node_unreachable: because")...)
}

// Well for a moment, then nobody knows: that is not well for long.
func TestNotKnowingIsNotBeingWell(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("payments", api.StateDegraded, "payments_flagged")
	s.tells("begins payments payments_flagged: because")
	s.is("payments", api.StateOK, "")
	s.is("payments", api.StateFail, api.CodeUnknown)
	s.looksOn()
	s.tells("begins payments payments_flagged: because")
	s.stop()
	s.start() // into the same
	s.looksOn()
	s.tells("begins payments payments_flagged: because")
}

// Of many incidents that cannot be told only one is tried at each look.
func TestTellingDoesNotHoldUpLooking(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var tries atomic.Int32
	s.paper.slow = func() { tries.Add(1) }
	s.paper.mu.Lock()
	s.paper.broken = errors.New("telegram hangs")
	s.paper.mu.Unlock()
	for n := range 20 {
		s.is(fmt.Sprintf("node:%d", n), api.StateFail, "node_unreachable")
	}
	s.looksOn()
	s.mu.Lock()
	looks := s.looks
	s.mu.Unlock()
	if n := int(tries.Load()); n == 0 || n > looks {
		t.Errorf("%d tries in %d looks", n, looks)
	}
}

// Each thing that is wrong with a component begins and ends by itself, whatever else is.
func TestEverythingThatIsWrongIsAnIncidentOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.has("payments", api.CodePaymentsUndelivered)
	told := []string{"begins payments payments_undelivered: because"}
	s.tells(told...)
	for _, step := range []struct {
		wrong []string
		says  string
	}{
		{[]string{api.CodePaymentsUndelivered, api.CodePaymentsFlagged}, "begins payments payments_flagged: because"},
		{[]string{api.CodePaymentsFlagged}, "ends payments payments_undelivered"},
		{[]string{api.CodePaymentsUndelivered, api.CodePaymentsFlagged}, "begins payments payments_undelivered: because"},
		{[]string{api.CodePaymentsUndelivered}, "ends payments payments_flagged"},
	} {
		s.has("payments", step.wrong...)
		told = append(told, step.says)
		s.tells(told...)
	}
	s.is("payments", api.StateOK, "")
	s.tells(append(told, "ends payments payments_undelivered")...)
}

// While a node does not answer nobody knows whether its users are right.
func TestWhatCannotBeAskedForGoesOn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.is("node:a", api.StateDegraded, api.CodeNodeStale)
	s.tells("begins node:a node_stale: because")
	s.is("node:a", api.StateFail, api.CodeNodeUnreachable)
	told := []string{"begins node:a node_stale: because", "begins node:a node_unreachable: because"}
	s.tells(told...)
	s.is("node:a", api.StateDegraded, api.CodeNodeStale)
	told = append(told, "ends node:a node_unreachable")
	s.tells(told...)
	s.is("node:a", api.StateOK, "")
	s.tells(append(told, "ends node:a node_stale")...)
}

// A payment that comes while another waits is told, by whichever process; one of
// those that are left is not, and one that comes once some were reviewed is.
func TestThatThereIsMoreIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.stop()
	s.grows = time.Millisecond
	s.start()
	s.counts(1)
	told := []string{"begins payments payments_flagged: 1 wait"}
	s.tells(told...)
	restart := func() { s.stop(); s.start() }
	for _, step := range []struct {
		count int
		says  []string
		then  func()
	}{
		{2, []string{"still payments payments_flagged: 2 wait"}, restart},
		{2, nil, restart},
		{1, nil, s.looksOn},
		{1, nil, restart},
		{2, []string{"still payments payments_flagged: 2 wait"}, s.looksOn},
	} {
		s.counts(step.count)
		told = append(told, step.says...)
		s.tells(told...)
		step.then()
	}
	s.is("payments", api.StateOK, "")
	s.tells(append(told, "ends payments payments_flagged")...)
}

// However fast it grows, the chat is not filled.
func TestWhatGrowsFastIsNotToldEachTime(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.counts(1)
	s.tells("begins payments payments_flagged: 1 wait")
	for n := range 20 {
		s.counts(n + 2)
	}
	s.tells("begins payments payments_flagged: 1 wait")
}

func TestTheOperatorIsRemindedOfWhatLasts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.stop()
	s.paper.open["node:anode_unreachable"] = api.Incident{
		Component: "node:a", Code: "node_unreachable", Since: time.Now().Add(-26 * time.Hour), Told: time.Now().Add(-25 * time.Hour),
	}
	s.is("node:a", api.StateFail, "node_unreachable")
	s.start()
	s.tells("still node:a node_unreachable: because")
	s.stop()
	s.start() // that it was told is remembered
	s.tells("still node:a node_unreachable: because")
}

func TestLastSaysNothingOnceLooksAreMissed(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var looks int
	w := api.NewWatch(api.WatchConfig{Desk: &paper{}, Every: 5 * time.Millisecond, Look: func(ctx context.Context) api.Report {
		if looks++; looks > 1 {
			select {
			case <-hang:
			case <-ctx.Done():
			}
		}
		return api.Report{Version: "v1"}
	}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	defer func() { stop(); <-ended }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, want := range []string{"v1", ""} {
		for deadline := time.Now().Add(time.Minute); w.Last().Version != want; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("the last report is %+v, want version %q", w.Last(), want)
			}
		}
	}
}
