package alerts_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// board is as much of a Grafana dashboard as matters here.
type board struct {
	Title         string
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ RefID, Expr, LegendFormat string }
}

func readBoard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal(readFile(t, boardFile), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheDashboardIsWhole(t *testing.T) {
	t.Parallel()
	b := readBoard(t)
	if b.Title == "" || b.UID == "" || b.SchemaVersion < 40 {
		t.Errorf("title %q, uid %q, schema %d", b.Title, b.UID, b.SchemaVersion)
	}
	if v := b.Templating.List; len(v) != 1 || v[0].Name != "datasource" || v[0].Type != "datasource" || v[0].Query != "prometheus" {
		t.Errorf("variables: %+v", v)
	}
	var rows []string
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range b.Panels {
		if ids[p.ID] || p.ID <= 0 {
			t.Errorf("%s: id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		occupy(t, p, taken)
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		checkPanel(t, p)
	}
	want := []string{"Is it well", "Money", "Customers", "Jobs", "Outside", "Nodes", "Database", "Edge", "Process"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q", rows)
	}
}

// occupy puts a panel where it says, which must be free.
func occupy(t *testing.T, p panel, taken map[[2]int]string) {
	t.Helper()
	g := p.GridPos
	if g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
		t.Errorf("%s: at %+v", p.Title, g)
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other, there := taken[[2]int{x, y}]; there {
				t.Errorf("%s lies over %s at %d, %d", p.Title, other, x, y)
				return
			}
			taken[[2]int{x, y}] = p.Title
		}
	}
}

func checkPanel(t *testing.T, p panel) {
	t.Helper()
	if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
		t.Errorf("panel %d: title %q, description %q, unit %q, data source %q, %d targets",
			p.ID, p.Title, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource.UID, len(p.Targets))
	}
	for _, target := range p.Targets {
		if target.LegendFormat == "" || target.RefID == "" {
			t.Errorf("%s: %+v", p.Title, target)
		}
	}
}

// asks is an expression of a panel as Grafana sends it.
func asks(expr string) string { return strings.ReplaceAll(expr, "$__rate_interval", "1m") }

// TestWhatIsAskedForIsThere: a running shop that has sold something has every metric
// that a rule or a panel reads, and every panel shows something.
func TestWhatIsAskedForIsThere(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	secure, app := freePort(t), freePort(t)
	s.startOn(app, "TLS=selfsigned", "TLS_DIR="+t.TempDir(), fmt.Sprintf("PUBLIC_URL=https://127.0.0.1:%d", secure),
		fmt.Sprintf("LISTEN=127.0.0.1:%d", secure), fmt.Sprintf("OPERATIONS_LISTEN=127.0.0.1:%d", app), "POLL_INVOICES_EVERY=500ms")
	s.buys(1)
	s.until("a key", func() bool { return s.received(1) })
	p := s.prometheus
	s.until("the metrics of the purchase", func() bool {
		return p.shows("sallyport_ledger_postings_total", "account", "sales") && p.knows("sallyport_node_checked_age_seconds") && p.knows("sallyport_component_status")
	})
	if worked := p.labelValues("sallyport_jobs_duration_seconds_count", "kind"); !slices.Equal(worked, p.labelValues("sallyport_jobs_waiting", "kind")) {
		t.Errorf("jobs of the kinds %q are worked, and those are counted: %q", worked, p.labelValues("sallyport_jobs_waiting", "kind"))
	}
	for _, r := range rules(t) {
		for _, selector := range selectors(t, r.Expr) {
			checkSelector(t, p, r.Alert, selector)
		}
	}
	for _, panel := range readBoard(t).Panels {
		for _, target := range panel.Targets {
			for _, selector := range selectors(t, asks(target.Expr)) {
				if metric(selector) != "ALERTS" { // Prometheus's own
					checkSelector(t, p, panel.Title, selector)
				}
			}
			if panel.Title != "What was wrong" && panel.Type != "row" {
				s.until("something to see under "+panel.Title, func() bool { return p.finds(t.Context(), asks(target.Expr)) })
			}
			checkLegend(t, p, panel.Title, asks(target.Expr), target.LegendFormat)
		}
	}
}

// checkLegend says whether a legend names labels that the answer has.
func checkLegend(t *testing.T, p *prometheus, title, expr, legend string) {
	t.Helper()
	for part := range strings.SplitSeq(legend, "{{") {
		label, _, isLabel := strings.Cut(part, "}}")
		if isLabel && !p.hasLabel(t.Context(), expr, strings.TrimSpace(label)) {
			t.Errorf("%s: the legend %q, but %s has no such label", title, legend, expr)
		}
	}
}
