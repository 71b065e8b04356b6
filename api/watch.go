package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Incident is something wrong with a component.
type Incident struct {
	Component string
	Code      string
	Reason    string
	Since     time.Time
	Count     int       // of what waits for the operator, when they were told last
	Told      time.Time // when that was; zero if they never were
}

// Desk is where incidents are told and remembered.
type Desk interface {
	// Incidents returns those remembered, whoever told of them.
	Incidents(ctx context.Context) ([]Incident, error)
	// Tell tells the operator of an incident, once more if they were told before, or that
	// it was over at a time; zero means that it lasts.
	Tell(ctx context.Context, i Incident, over time.Time) error
	// Remember notes when the operator was told of it last. Safe to repeat.
	Remember(ctx context.Context, i Incident) error
	// Forget notes that the operator was told that it is over. Safe to repeat.
	Forget(ctx context.Context, i Incident) error
}

// WatchConfig is what a Watch is made of.
type WatchConfig struct {
	Look   func(ctx context.Context) Report
	Desk   Desk
	OnDuty func() bool   // whether it is for this process to report; nil means always
	Every  time.Duration // between looks; default 10 s
	Lasts  time.Duration // that something must be wrong to be an incident, and well to be over; default 30 s
	Grows  time.Duration // that nothing is said of an incident of which there is more; default 5 min
	Remind time.Duration // that nothing is said of one that lasts; default a day
	Logger *zap.Logger
}

// Watch looks at every component again and again. It has each incident reported
// once when it has lasted, and once when it has been over for as long: neither a
// component that flickers nor a restart of the process makes noise. In between the
// operator is reminded of it, and told when there is more of what waits for them.
type Watch struct {
	cfg   WatchConfig
	state map[key]*standing

	mu     sync.Mutex
	last   Report
	looked time.Time
}

type key struct{ component, code string }

// standing is what is known of one thing that is wrong.
type standing struct {
	Incident
	count int // as it is now
	told  bool
	noted bool      // that it was told is remembered
	owed  bool      // its beginning could not be told: its end will be
	well  time.Time // since when it is not seen any more; zero while it is
	ended bool      // the operator was told that it is over
}

// begins says whether it has been wrong for so long that the operator must know.
func (s *standing) begins(now time.Time, lasts time.Duration) bool {
	return !s.told && s.well.IsZero() && now.Sub(s.Since) >= lasts
}

// again says whether the operator must hear of it once more: there is more of it than
// they know of, or they may have forgotten it.
func (s *standing) again(now time.Time, cfg WatchConfig) bool {
	silent := now.Sub(s.Told)
	return s.told && s.well.IsZero() && (s.count > s.Count && silent >= cfg.Grows || silent >= cfg.Remind)
}

// ends says whether it has been well for so long that the operator must know.
func (s *standing) ends(now time.Time, lasts time.Duration) bool {
	return (s.told || s.owed) && !s.well.IsZero() && now.Sub(s.well) >= lasts
}

const (
	watchEvery = 10 * time.Second
	watchLasts = 30 * time.Second
	// watchGrows lets a fault that goes on fill no chat.
	watchGrows  = 5 * time.Minute
	watchRemind = 24 * time.Hour
	// tellBudget bounds one report to the operator.
	tellBudget = 5 * time.Second
)

// NewWatch returns a Watch.
func NewWatch(cfg WatchConfig) *Watch {
	cfg.Every = cmp.Or(cfg.Every, watchEvery)
	cfg.Lasts = cmp.Or(cfg.Lasts, watchLasts)
	cfg.Grows = cmp.Or(cfg.Grows, watchGrows)
	cfg.Remind = cmp.Or(cfg.Remind, watchRemind)
	if cfg.OnDuty == nil {
		cfg.OnDuty = func() bool { return true }
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Watch{cfg: cfg, state: make(map[key]*standing)}
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	remembered := false
	for {
		r := w.cfg.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.last, w.looked = r, time.Now()
		w.mu.Unlock()
		w.see(r, time.Now())
		if w.cfg.OnDuty() {
			remembered = remembered || w.remember(ctx)
			w.report(ctx, remembered, time.Now())
		} else {
			remembered = false
			w.forget()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// missedLooks is how many looks may be missed before the last one says nothing any more.
const missedLooks = 6

// Last returns the last report; it is empty before the first, and when that is long ago.
func (w *Watch) Last() Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) > missedLooks*w.cfg.Every {
		return Report{}
	}
	return w.last
}

// remember takes over what was reported before: by this process or by another.
func (w *Watch) remember(ctx context.Context) bool {
	open, err := w.cfg.Desk.Incidents(ctx)
	if err != nil {
		return false // the database is away: it is asked again
	}
	for _, i := range open {
		s, ok := w.state[key{i.Component, i.Code}]
		if !ok {
			s = &standing{well: time.Now()}
			w.state[key{i.Component, i.Code}] = s
		}
		i.Reason = cmp.Or(s.Reason, i.Reason) // as it is seen now
		s.Incident, s.told, s.noted = i, true, true
	}
	return true
}

// forget leaves what was reported to whoever is on duty now.
func (w *Watch) forget() {
	for _, s := range w.state {
		s.told, s.noted, s.owed, s.ended = false, false, false, false
		s.Count, s.Told = 0, time.Time{}
	}
}

// see brings what is known in line with a report.
func (w *Watch) see(r Report, now time.Time) {
	for name, c := range r.Components {
		for _, f := range c.All() {
			if f.State != StateOK && f.Code != CodeUnknown {
				w.found(key{name, f.Code}, f, now)
			}
		}
	}
	for k, s := range w.state {
		shown := r.Components[k.component].All()
		switch {
		case slices.ContainsFunc(shown, func(f Finding) bool { return f.Code == k.code }):
		case slices.ContainsFunc(shown, func(f Finding) bool { return hides(f.Code, k.code) }):
			if !s.well.IsZero() {
				s.well = now // that nobody knows is not that it is well
			}
		case s.well.IsZero():
			s.well = now
		case !s.told && !s.owed && now.Sub(s.well) >= w.cfg.Lasts:
			delete(w.state, k)
		}
	}
}

// found notes that something is wrong now.
func (w *Watch) found(k key, f Finding, now time.Time) {
	s, ok := w.state[k]
	if !ok || s.ended {
		s = &standing{Incident: Incident{Component: k.component, Code: k.code, Since: now}}
		w.state[k] = s
	}
	s.Reason, s.count, s.well = f.Reason, f.Count, time.Time{}
	if s.told && s.count < s.Count {
		s.Count, s.noted = s.count, false // of what is left the next is news
	}
}

// report tells what is to be told, beginnings before ends, and has it remembered. While
// nobody knows what was told before, it tells of beginnings alone. It gives up at the
// first that cannot be told, until the next look: the others could not be either.
func (w *Watch) report(ctx context.Context, remembered bool, now time.Time) {
	for _, s := range w.state {
		if s.Code == CodeOperatorUnreachable && s.begins(now, w.cfg.Lasts) {
			w.owe(s) // there is nobody to tell, so what else there is to tell would end this
		}
	}
	for _, s := range w.state {
		if s.Code != CodeOperatorUnreachable && s.begins(now, w.cfg.Lasts) && !w.begin(ctx, s, now) {
			return
		}
	}
	for _, s := range w.state {
		if s.again(now, w.cfg) && !w.tell(ctx, s, now) {
			return
		}
	}
	for k, s := range w.state {
		if s.told && !s.noted && !s.ended {
			s.noted = w.done(ctx, "remembered", s, func(ctx context.Context) error { return w.cfg.Desk.Remember(ctx, s.Incident) })
		}
		if remembered && s.ends(now, w.cfg.Lasts) && !w.end(ctx, k, s) {
			return
		}
	}
}

// begin reports whether the operator was told that it is wrong.
func (w *Watch) begin(ctx context.Context, s *standing, now time.Time) bool {
	w.owe(s)
	s.told = w.tell(ctx, s, now)
	s.owed = !s.told
	return s.told
}

// owe notes that the operator must be told, of its end at least.
func (w *Watch) owe(s *standing) {
	if !s.owed {
		w.cfg.Logger.Error("incident", s.fields()...)
	}
	s.owed = true
}

// tell reports whether the operator was told that it lasts, as it is now.
func (w *Watch) tell(ctx context.Context, s *standing, now time.Time) bool {
	if !w.done(ctx, "told", s, func(ctx context.Context) error { return w.cfg.Desk.Tell(ctx, s.Incident, time.Time{}) }) {
		return false
	}
	s.Told, s.Count, s.noted = now, s.count, false
	return true
}

// end reports whether the operator was told that it is over. It is told once, and
// stays until that is remembered.
func (w *Watch) end(ctx context.Context, k key, s *standing) bool {
	if !s.ended {
		s.ended = w.done(ctx, "told", s, func(ctx context.Context) error { return w.cfg.Desk.Tell(ctx, s.Incident, s.well) })
		if !s.ended {
			return false
		}
		w.cfg.Logger.Info("incident over", s.fields()...)
	}
	if w.done(ctx, "forgotten", s, func(ctx context.Context) error { return w.cfg.Desk.Forget(ctx, s.Incident) }) {
		delete(w.state, k)
	}
	return true
}

func (i Incident) fields() []zap.Field {
	return []zap.Field{
		zap.String("component", i.Component), zap.String("code", i.Code), zap.String("reason", i.Reason), zap.Time("since", i.Since),
	}
}

// done reports whether do succeeded; if not, it is tried again with the next look.
func (w *Watch) done(ctx context.Context, what string, s *standing, do func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, tellBudget)
	defer cancel()
	err := do(ctx)
	if err != nil {
		w.cfg.Logger.Warn("incident not "+what, append(s.fields(), zap.NamedError("err", err))...)
	}
	return err == nil
}
