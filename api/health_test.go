package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"sallyport/api"
)

func alone(name string, critical bool, look func(context.Context) error) api.Probe {
	return api.Probe{Names: []string{name}, Critical: critical, Look: func(ctx context.Context) ([]api.Finding, error) {
		if err := look(ctx); err != nil {
			return nil, err
		}
		return []api.Finding{{State: api.StateOK}}, nil
	}}
}

func well(context.Context) error { return nil }

func page(t *testing.T, h *api.Health, path string) (int, string) {
	t.Helper()
	edge := api.New(api.Config{Health: h})
	r := chi.NewRouter()
	r.Mount("/", edge.Receivers())
	edge.Operations(r)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReportSaysHowEachComponentIs(t *testing.T) {
	t.Parallel()
	down := func(context.Context) error {
		return fmt.Errorf("database: %w", errors.New("dial tcp: connection refused"))
	}
	for _, c := range []struct {
		name   string
		probes []api.Probe
		code   int
		state  string
	}{
		{"all well", []api.Probe{alone("database", true, well), alone("telegram", false, well)}, 200, "ok"},
		{"something outside is down", []api.Probe{alone("database", true, well), alone("telegram", false, down)}, 200, "degraded"},
		{"the database is down", []api.Probe{alone("database", true, down), alone("telegram", false, well)}, 503, "fail"},
		{"both", []api.Probe{alone("database", true, down), alone("telegram", false, down)}, 503, "fail"},
	} {
		h := api.NewHealth("v1", c.probes...)
		code, body := page(t, h, "/healthz")
		var r api.Report
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		if code != c.code || r.State != c.state || len(r.Components) != 2 || r.Version != "v1" {
			t.Errorf("%s: %d %s", c.name, code, body)
		}
		for name, component := range r.Components {
			if component.State == "fail" && component.Reason != "dial tcp: connection refused" {
				t.Errorf("%s: %s: %q", c.name, name, component.Reason)
			}
			if component.State == "ok" && component.LastSuccess == "" {
				t.Errorf("%s: %s: no last success", c.name, name)
			}
		}
	}
}

func TestReportNamesWhatHangsWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hang := func(context.Context) error { <-release; return nil } // not even its context ends it
		h := api.NewHealth("v1", alone("database", true, well), alone("telegram", false, hang))
		for range 2 {
			start := time.Now()
			r := h.Report(t.Context())
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %s", took)
			}
			if c := r.Components["telegram"]; c.State != "fail" || !strings.HasPrefix(c.Reason, "no answer for") {
				t.Errorf("%+v", c)
			}
			if c := r.Components["database"]; c.State != "ok" {
				t.Errorf("%+v", c)
			}
		}
	})
}

func TestManyReportsAreOneLook(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	p := alone("telegram", false, func(context.Context) error { looks.Add(1); return nil })
	p.Fresh = time.Minute
	h := api.NewHealth("v1", p)
	for range 50 {
		h.Report(t.Context())
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("%d looks", n)
	}
}

func TestASupervisorNeedsNoMoreThanTheOperationsListener(t *testing.T) {
	t.Parallel()
	r := chi.NewRouter()
	api.New(api.Config{Health: api.NewHealth("v1")}).Operations(r)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/livez", nil))
	if w.Code != http.StatusOK {
		t.Errorf("/livez: %d", w.Code)
	}
}

func TestReadyOnlyWhileServing(t *testing.T) {
	t.Parallel()
	h := api.NewHealth("v1", alone("database", true, well), alone("telegram", false, func(context.Context) error { return errors.New("down") }))
	for _, step := range []struct {
		serving bool
		want    int
	}{{false, 503}, {true, 200}, {false, 503}} {
		h.SetServing(step.serving)
		if code, body := page(t, h, "/readyz"); code != step.want {
			t.Errorf("serving %v: %d %s", step.serving, code, body)
		}
		if code, _ := page(t, h, "/livez"); code != 200 {
			t.Errorf("not alive: %d", code)
		}
	}
}

// What takes longer than a page may wait is still found, by who can wait.
func TestALookThatTakesLongIsWaitedForByWhoCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := api.NewHealth("v1", alone("telegram", false, func(ctx context.Context) error {
			select {
			case <-time.After(900 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
		if c := h.Inspect(t.Context()).Components["telegram"]; c.State != api.StateOK {
			t.Errorf("slow is taken for away: %+v", c)
		}
	})
}

func TestShortenedTextIsWhole(t *testing.T) {
	t.Parallel()
	for most := range 12 {
		if got := api.Shortened("жбЯ\nx", most); !utf8.ValidString(got) || len(got) > most || strings.Contains(got, "\n") {
			t.Errorf("%d bytes: %q", most, got)
		}
	}
}
