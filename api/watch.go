package api

import (
	"context"
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
}

// Desk is where incidents are reported and remembered.
type Desk interface {
	// Incidents returns those reported and not yet over, whoever reported them.
	Incidents(ctx context.Context) ([]Incident, error)
	// Begins tells the operator of an incident, once it is true.
	Begins(ctx context.Context, i Incident) error
	// Ends tells the operator that it was over at the time.
	Ends(ctx context.Context, i Incident, over time.Time) error
}

// WatchConfig is what a Watch is made of.
type WatchConfig struct {
	Look   func(ctx context.Context) Report
	Desk   Desk
	OnDuty func() bool   // whether it is for this process to report; nil means always
	Every  time.Duration // between looks; default 10 s
	Lasts  time.Duration // that something must be wrong to be an incident, and well to be over; default 30 s
	Logger *zap.Logger
}

// Watch looks at every component again and again. It has each incident reported
// once when it has lasted, and once when it has been over for as long: neither a
// component that flickers nor a restart of the process makes noise.
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
	told bool
	owed bool      // its beginning could not be told: its end will be
	well time.Time // since when it is not seen any more; zero while it is
}

const (
	watchEvery = 10 * time.Second
	watchLasts = 30 * time.Second
	// tellBudget bounds one report to the operator.
	tellBudget = 15 * time.Second
)

// NewWatch returns a Watch.
func NewWatch(cfg WatchConfig) *Watch {
	if cfg.Every == 0 {
		cfg.Every = watchEvery
	}
	if cfg.Lasts == 0 {
		cfg.Lasts = watchLasts
	}
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
		s.Incident, s.told = i, true
	}
	return true
}

// forget leaves what was reported to whoever is on duty now.
func (w *Watch) forget() {
	for _, s := range w.state {
		s.told, s.owed = false, false
	}
}

// see brings what is known in line with a report.
func (w *Watch) see(r Report, now time.Time) {
	for name, c := range r.Components {
		if c.State == StateOK || c.Code == CodeUnknown {
			continue
		}
		k := key{name, c.Code}
		s, ok := w.state[k]
		if !ok {
			s = &standing{Incident: Incident{Component: name, Code: c.Code, Since: now}}
			w.state[k] = s
		}
		s.Reason, s.well = c.Reason, time.Time{}
	}
	for k, s := range w.state {
		c := r.Components[k.component]
		isSeen := c.Code == k.code || hides(c.Code, k.code)
		switch {
		case !isSeen && s.well.IsZero():
			s.well = now
		case !isSeen && !s.told && !s.owed && now.Sub(s.well) >= w.cfg.Lasts:
			delete(w.state, k)
		}
	}
}

// report tells what is to be told, beginnings before ends. While nobody knows what
// was told before, it tells of beginnings alone.
func (w *Watch) report(ctx context.Context, remembered bool, now time.Time) {
	for _, s := range w.state {
		if s.told || !s.well.IsZero() || now.Sub(s.Since) < w.cfg.Lasts {
			continue
		}
		if !s.owed {
			w.cfg.Logger.Error("incident", s.fields()...)
		}
		s.told = w.tell(ctx, s.Incident, func(ctx context.Context) error { return w.cfg.Desk.Begins(ctx, s.Incident) })
		s.owed = !s.told
	}
	for k, s := range w.state {
		isOver := !s.well.IsZero() && now.Sub(s.well) >= w.cfg.Lasts
		if !remembered || !isOver || !s.told && !s.owed {
			continue
		}
		w.cfg.Logger.Info("incident over", s.fields()...)
		if w.tell(ctx, s.Incident, func(ctx context.Context) error { return w.cfg.Desk.Ends(ctx, s.Incident, s.well) }) {
			delete(w.state, k)
		}
	}
}

func (i Incident) fields() []zap.Field {
	return []zap.Field{
		zap.String("component", i.Component), zap.String("code", i.Code), zap.String("reason", i.Reason), zap.Time("since", i.Since),
	}
}

// tell reports whether the operator was told; if not, it is tried again with the next look.
func (w *Watch) tell(ctx context.Context, i Incident, do func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, tellBudget)
	defer cancel()
	err := do(ctx)
	if err != nil {
		w.cfg.Logger.Warn("operator not told", append(i.fields(), zap.NamedError("err", err))...)
	}
	return err == nil
}
