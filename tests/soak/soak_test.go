package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shopProgram builds the shop as it is.
func shopProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sallyport")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "sallyport/cmd/sallyport")
	build.Env = append(build.Environ(), "CGO_ENABLED=0") // as the Makefile does, whose work is then used again
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the shop: %v\n%s", err, out)
	}
	return program
}

// A week in twenty seconds is too short to say that nothing grows; that everything is
// removed in its time, and nothing owed or lost, it does say.
func TestAWeekInSecondsRemovesWhatIsOldAndLosesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	o := options{
		program: shopProgram(t), length: 20 * time.Second, schedule: 7 * 24 * time.Hour, chart: filepath.Join(t.TempDir(), "soak.svg"),
	}
	var out bytes.Buffer
	r, err := soak(ctx, o, &out)
	if err != nil {
		t.Fatal(err)
	}
	if err := show(r, o, &out); err != nil && !errors.Is(err, errGrew) {
		t.Error(err)
	}
	t.Logf("%s", out.String())
	for _, wrong := range r.Wrong {
		t.Error("wrong:", wrong)
	}
	if len(r.Removed) != 3 {
		t.Errorf("looked for %v", r.Removed)
	}
	for what, n := range r.Removed {
		if n == 0 {
			t.Errorf("%s: none", what)
		}
	}
	if r.Presses < 100 || r.Orders < 5 || len(r.Troubles) != troubles {
		t.Errorf("%d presses, %d orders, %d troubles", r.Presses, r.Orders, len(r.Troubles))
	}
	for _, name := range []string{memory, heap, goroutines, files, connections, sizeOf + "inbox", rowsOf + "inbox", sizeOf + "orders", waiting} {
		if values := r.Series[name]; len(values) < 40 || at(values, 1) <= 0 && name != waiting {
			t.Errorf("%s: %v", name, values)
		}
	}
	chart, err := os.ReadFile(o.chart)
	if err != nil || !strings.Contains(string(chart), "Goroutines") {
		t.Errorf("%v in %s", err, chart)
	}
}

// steady is a run in which nothing grows.
func steady() record {
	r := record{
		Length: time.Hour, Schedule: 7 * 24 * time.Hour, Orders: 100, People: 50,
		Series: make(map[string][]float64), Rows: map[string]int{"orders": 100}, Removed: map[string]int{"updates": 5},
		Troubles: []trouble{{Name: "Xray restarts", At: time.Minute, Length: time.Second}},
	}
	for name, value := range map[string]float64{
		memory: 40, resident: 42, heap: 12, goroutines: 150, files: 40, connections: 12, sizeOf + "inbox": 9000, rowsOf + "inbox": 15000,
		sizeOf + "river_job": 2000, sizeOf + "lanes": 90, sizeOf + "orders": 500, soldOrders: 50, waiting: 2, replyHalf: 4, replyMost: 12,
	} {
		for n := range 400 {
			r.Series[name] = append(r.Series[name], value*(1+0.02*float64(n%3)))
		}
	}
	for n := range r.Series[connections] {
		r.Series[connections][n] = 12
	}
	return r
}

// grow has a series grow evenly to so many times what it was.
func grow(r record, name string, times float64) {
	for n := range r.Series[name] {
		r.Series[name][n] *= 1 + (times-1)*float64(n)/float64(len(r.Series[name]))
	}
}

func TestASteadyRunIsFlat(t *testing.T) {
	t.Parallel()
	r := steady()
	grow(r, sizeOf+"orders", 20) // as it should
	for n := range 100 {         // the start does not count
		r.Series[memory][n] /= 3
	}
	for _, n := range []int{150, 250, 350, 399} { // nor does what is over at once
		r.Series[memory][n] *= 5
	}
	for n := range 170 { // nor that the inbox fills
		r.Series[sizeOf+"inbox"][n] *= float64(n) / 170
	}
	if problems := r.problems(); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestWhatGrowsIsSeen(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]float64{
		memory: 1.5, resident: 1.5, heap: 1.5, goroutines: 1.3, files: 1.3, connections: 1.3, sizeOf + "inbox": 40, rowsOf + "inbox": 40, // as if nothing were removed
		sizeOf + "river_job": 1.6, sizeOf + "lanes": 20,
	} {
		r := steady()
		grow(r, name, times)
		if problems := r.problems(); len(problems) != 1 || !strings.Contains(problems[0], name+" grew") {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestWhatIsWrongAndWhatIsKeptFails(t *testing.T) {
	t.Parallel()
	r := steady()
	r.Wrong, r.Removed = []string{"a payment is lost"}, map[string]int{"updates removed": 0}
	if problems := r.problems(); len(problems) != 2 {
		t.Error(problems)
	}
	var out bytes.Buffer
	if err := show(r, options{}, &out); !errors.Is(err, errGrew) || strings.Count(out.String(), "WRONG") != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := show(steady(), options{}, &out); err != nil {
		t.Error(err)
	}
}

// A table of which nobody has thought must not grow.
func TestANewTableMustNotGrow(t *testing.T) {
	t.Parallel()
	if _, judged := ruleOf(sizeOf + "something_new"); !judged {
		t.Error("it may")
	}
	if _, judged := ruleOf(sizeOf + "ledger_entries"); judged {
		t.Error("the ledger may not")
	}
}

func TestTheChartIsXMLAndSaysWhatItShows(t *testing.T) {
	t.Parallel()
	chart := drawChart(steady())
	text := xml.NewDecoder(bytes.NewReader(chart))
	lines := 0
	for {
		token, err := text.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, chart)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 12 {
		t.Errorf("%d lines", lines)
	}
	for _, want := range []string{"Memory, MB", "last quarter 1.00 x, at most 1.15", "prefers-color-scheme: dark", "7 days"} {
		if !strings.Contains(string(chart), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(string(chart), "NaN") || strings.Contains(string(drawChart(record{Length: time.Hour, Schedule: time.Hour})), "NaN") {
		t.Error("something is not a number")
	}
}

func TestAxesHaveRoundFigures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most float64
		log  bool
		want []float64
	}{
		{44, false, []float64{0, 20, 40, 60}},
		{152, false, []float64{0, 50, 100, 150, 200}},
		{1, false, []float64{0, 0.5, 1}},
		{0, false, []float64{0, 0.0005}},
		{1476, true, []float64{1, 10, 100, 1000, 10000}},
	} {
		got := panel{log: c.log}.marks(c.most)
		if got[0] != c.want[0] || got[len(got)-1] < c.most || len(got) > 6 || c.most > 0 && got[1] != c.want[1] {
			t.Errorf("%v: %v", c.most, got)
		}
	}
}
