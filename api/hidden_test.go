package api_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/api"
)

// notebook is a Desk that writes down what it is told.
type notebook struct {
	mu   sync.Mutex
	told []string
}

func (n *notebook) Incidents(context.Context) ([]api.Incident, error) { return nil, nil }

func (n *notebook) Begins(_ context.Context, i api.Incident) error {
	return n.write("begins " + i.Code)
}

func (n *notebook) Ends(_ context.Context, i api.Incident, _ time.Time) error {
	return n.write("ends " + i.Code)
}

func (n *notebook) write(line string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, line)
	return nil
}

func (n *notebook) read() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

// patient has a Watch look at what is found until the notebook holds the lines.
type patient struct {
	t     *testing.T
	notes *notebook
	mu    sync.Mutex
	code  string
}

func watchPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, notes: &notebook{}}
	w := api.NewWatch(api.WatchConfig{Look: p.look, Desk: p.notes, Every: 2 * time.Millisecond, Lasts: 20 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return p
}

func (p *patient) look(context.Context) api.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := api.Component{State: api.StateOK}
	if p.code != "" {
		c = api.Component{State: api.StateDegraded, Code: p.code}
	}
	return api.Report{Components: map[string]api.Component{"payments": c}}
}

// shows has the code found from now on, and waits until the notebook ends with the lines.
func (p *patient) shows(code string, want ...string) {
	p.t.Helper()
	p.mu.Lock()
	p.code = code
	p.mu.Unlock()
	deadline, tick := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !slices.Equal(p.notes.read(), want) {
		select {
		case <-deadline:
			p.t.Fatalf("told %q, want %q", p.notes.read(), want)
		case <-tick.C:
		}
	}
}

// TestWhatAWorseFindingHidesIsNotOver: a payment that waits for an operator is not
// settled because access is late, too.
func TestWhatAWorseFindingHidesIsNotOver(t *testing.T) {
	t.Parallel()
	p := watchPatient(t)
	flagged, undelivered := api.CodePaymentsFlagged, api.CodePaymentsUndelivered
	p.shows(flagged, "begins "+flagged)
	p.shows(undelivered, "begins "+flagged, "begins "+undelivered)
	p.shows(flagged, "begins "+flagged, "begins "+undelivered, "ends "+undelivered)
	p.shows("", "begins "+flagged, "begins "+undelivered, "ends "+undelivered, "ends "+flagged)
}

func TestLastSaysNothingOnceLooksAreMissed(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var looks int
	w := api.NewWatch(api.WatchConfig{Desk: &notebook{}, Every: 5 * time.Millisecond, Look: func(ctx context.Context) api.Report {
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
		for deadline := time.Now().Add(10 * time.Second); w.Last().Version != want; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("the last report is %+v, want version %q", w.Last(), want)
			}
		}
	}
}
