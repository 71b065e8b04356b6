package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a component.
const (
	StateOK       = "ok"
	StateDegraded = "degraded" // works, but an operator should look
	StateFail     = "fail"
)

// Finding is what a probe found of one component.
type Finding struct {
	State  string    `json:"status"`
	Code   string    `json:"code,omitempty"`   // what is wrong, as docs/operations.md explains it; empty if nothing is
	Reason string    `json:"reason,omitempty"` // short, and never a secret
	Count  int       `json:"count,omitempty"`  // of what waits for an operator: that there is more of it is news
	Also   []Finding `json:"also,omitempty"`   // what else is wrong with it
}

// Together returns one finding of what was found of one component: what is worst, and
// in Also whatever else is wrong.
func Together(found ...Finding) Finding {
	wrong := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.State == StateOK })
	if len(wrong) == 0 {
		return found[0]
	}
	slices.SortStableFunc(wrong, func(a, b Finding) int { return cmp.Compare(rank(a.Code), rank(b.Code)) })
	first := wrong[0]
	first.Also = append(first.Also, wrong[1:]...)
	return first
}

// All returns the finding and what else is wrong, each by itself.
func (f Finding) All() []Finding {
	all := append([]Finding{f}, f.Also...)
	all[0].Also = nil
	return all
}

// Probe looks at components together. It is called at most once at a time.
type Probe struct {
	Names    []string                                     // of the components
	Silent   string                                       // the code if it fails or does not answer; default CodeUnknown
	Critical bool                                         // the shop cannot work without them
	Fresh    time.Duration                                // that a finding may be reused
	Look     func(ctx context.Context) ([]Finding, error) // one finding per name; an error is StateFail for all
}

// Component is what the report says of one component.
type Component struct {
	Finding

	LastSuccess string  `json:"last_success,omitempty"`
	AgeSeconds  float64 `json:"last_success_age_seconds,omitempty"`
}

// Report is the answer of /healthz.
type Report struct {
	State      string               `json:"status"`
	Version    string               `json:"version"`
	Components map[string]Component `json:"components"`
}

// probeBudget bounds how long a report waits for its probes, whatever hangs.
const probeBudget = 700 * time.Millisecond

// lookBudget bounds one look; a report does not wait that long for it.
const lookBudget = 5 * time.Second

// Health knows how every component is.
type Health struct {
	version string
	probes  atomic.Pointer[[]*watched]
	serving atomic.Bool // started, and not about to stop
}

// watched is a probe with what it found last.
type watched struct {
	Probe

	mu      sync.Mutex
	running chan struct{} // closed when the look under way ends; nil if none is
	looked  time.Time
	started time.Time
	found   []Finding
	success []time.Time
}

// NewHealth returns a Health that looks through the probes.
func NewHealth(version string, probes ...Probe) *Health {
	h := &Health{version: version}
	h.SetProbes(probes...)
	return h
}

// SetProbes replaces what it looks through.
func (h *Health) SetProbes(probes ...Probe) {
	all := make([]*watched, len(probes))
	for i, p := range probes {
		if p.Silent == "" {
			p.Silent = CodeUnknown
		}
		all[i] = &watched{Probe: p, success: make([]time.Time, len(p.Names)), found: make([]Finding, len(p.Names))}
	}
	h.probes.Store(&all)
}

// SetServing says whether the process should be sent work: not before it has
// started, and not once it is about to stop.
func (h *Health) SetServing(serving bool) { h.serving.Store(serving) }

// Report looks at every component and returns within a second, whatever hangs.
func (h *Health) Report(ctx context.Context) Report {
	return h.look(ctx, probeBudget, func(*watched) bool { return true })
}

// Inspect looks at every component and waits for what takes long, at most 5 s.
func (h *Health) Inspect(ctx context.Context) Report {
	return h.look(ctx, lookBudget+probeBudget, func(*watched) bool { return true })
}

func (h *Health) look(ctx context.Context, budget time.Duration, wanted func(*watched) bool) Report {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	looks := make(map[*watched]<-chan struct{})
	for _, p := range *h.probes.Load() {
		if wanted(p) {
			looks[p] = p.look(ctx)
		}
	}
	r := Report{State: StateOK, Version: h.version, Components: make(map[string]Component)}
	for p, done := range looks {
		p.describe(&r, !ended(ctx, done))
	}
	return r
}

// ended waits for done, but not beyond ctx, and says whether it came.
func ended(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// look starts a look unless one is under way or the last is fresh, and returns
// what is closed when the finding is there.
func (w *watched) look(ctx context.Context) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running != nil {
		return w.running
	}
	done := make(chan struct{})
	if time.Since(w.looked) < w.Fresh {
		close(done)
		return done
	}
	w.running, w.started = done, time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookBudget) // the finding outlives the request
	go func() {
		defer cancel()
		found, err := w.Look(ctx)
		w.keep(found, err)
		close(done)
	}()
	return done
}

func (w *watched) keep(found []Finding, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running, w.looked = nil, time.Now()
	for i := range w.Names {
		switch {
		case err != nil:
			w.found[i] = Finding{State: StateFail, Code: w.Silent, Reason: reasonOf(err)}
		default:
			w.found[i] = found[i]
		}
		if w.found[i].State == StateOK {
			w.success[i] = w.looked
		}
	}
}

// describe adds what was found to the report; late says that the look under way
// did not end in time.
func (w *watched) describe(r *Report, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, name := range w.Names {
		c := Component{Finding: w.found[i]}
		if late {
			c.Finding = Finding{State: StateFail, Code: w.Silent, Reason: "no answer for " + time.Since(w.started).Round(100*time.Millisecond).String()}
		}
		if !w.success[i].IsZero() {
			c.LastSuccess = w.success[i].UTC().Format(time.RFC3339Nano)
			c.AgeSeconds = time.Since(w.success[i]).Seconds()
		}
		r.Components[name] = c
		for _, f := range c.All() {
			r.State = worse(r.State, f.State, w.Critical)
		}
	}
}

func worse(state, component string, critical bool) string {
	switch {
	case component == StateFail && critical:
		return StateFail
	case component != StateOK && state == StateOK:
		return StateDegraded
	default:
		return state
	}
}

// reasonOf returns the innermost cause, cut short.
func reasonOf(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return Shortened(err.Error(), 160)
}

// Shortened returns as much of a text as fits into so many bytes, in one line.
func Shortened(text string, most int) string {
	line := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	return strings.ToValidUTF8(line[:min(len(line), most)], "")
}

func (h *Health) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": StateOK})
}

// ready says whether this process should be sent work. It waits for the critical
// components alone.
func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	switch {
	case !h.serving.Load():
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not serving"})
	case h.look(r.Context(), probeBudget, func(p *watched) bool { return p.Critical }).State == StateFail:
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": StateFail})
	default:
		writeJSON(w, http.StatusOK, map[string]string{"status": StateOK})
	}
}

func (h *Health) report(w http.ResponseWriter, r *http.Request) {
	report, code := h.Report(r.Context()), http.StatusOK
	if report.State == StateFail {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, report)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}
