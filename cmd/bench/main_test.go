package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/node"
)

// build builds the programs as the Makefile does.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"sallyport", "bench"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, name), "sallyport/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

// What is measured changes with the machine; that everything is, does not.
func TestEverythingIsMeasured(t *testing.T) {
	t.Parallel()
	xray, err := node.Binary()
	if err != nil {
		t.Fatal(err)
	}
	bench := exec.CommandContext(t.Context(), filepath.Join(build(t), "bench"), "-tiny", "-json")
	bench.Env = append(os.Environ(), "SALLYPORT_XRAY="+xray)
	var said bytes.Buffer
	bench.Stderr = &said
	out, err := bench.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	var got []string
	for _, table := range r.Tables {
		got = append(got, table.Title)
		for _, row := range table.Rows {
			if len(row.Values) != len(table.Columns) {
				t.Errorf("%s, %s: %v, want a figure for each of %v", table.Title, row.Name, row.Values, table.Columns)
				continue
			}
			for i, column := range table.Columns {
				if v := row.Values[i]; v <= 0 && column != "refused" && (v != none || i == 0) {
					t.Errorf("%s, %s: %v %s", table.Title, row.Name, v, column)
				}
			}
		}
	}
	want := []string{
		"durable ingest, 64 connections", "durable ingest, 100 connections", "durable ingest, 1000/s",
		"durable ingest, 64 connections, slow disk", "durable ingest, 1000/s, slow disk", "press to answer", "idle",
		"pay to connected, 1 at 10/s", "payment callbacks", "workers, microseconds an item",
		"200 subscriptions end at once", "Xray restarts with 200 users",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	if len(r.Bars) < 20 {
		t.Errorf("only %d bars", len(r.Bars))
	}
}

func TestUpdatesAreNumbered(t *testing.T) {
	t.Parallel()
	nth := presses()
	first := string(nth(0)) // the bytes are good until the next call
	second := string(nth(people))
	for _, want := range []string{`"update_id":1000000001,`, `"from":{"id":2000000001,`, `"chat":{"id":2000000001,`} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in\n%s", want, first)
		}
	}
	if got := strings.ReplaceAll(second, "1000005001", "1000000001"); got != first {
		t.Errorf("the same person's next press differs by more than its number:\n%s", second)
	}
}

func TestQuantilesAndMedians(t *testing.T) {
	t.Parallel()
	var o outcome
	if o.at(0.99) != 0 {
		t.Error("nothing measured is not 0")
	}
	for range 99 {
		o.times = append(o.times, time.Millisecond)
	}
	o.times = append(o.times, 5*time.Millisecond)
	if o.at(0.5) != 1 || o.at(0.99) != 5 {
		t.Errorf("got %v and %v", o.at(0.5), o.at(0.99))
	}
	if got := median([]float64{9, 1, 2}); got != 2 {
		t.Errorf("median %v", got)
	}
}

// TestASpanLastsUntilEnoughCount: a machine may be so slow that nothing is answered in
// the time that was meant for it.
func TestASpanLastsUntilEnoughCount(t *testing.T) {
	t.Parallel()
	s := newSpan(time.Second, time.Second, 2)
	at := func(seconds float64) time.Time { return s.begin.Add(time.Duration(seconds * float64(time.Second))) }
	if s.counts(at(-0.5), at(0.5)) {
		t.Error("an answer counts to what was sent before the beginning")
	}
	if !s.open(at(1.5)) || !s.counts(at(0.5), at(3)) || !s.open(at(3.5)) || !s.counts(at(3), at(4)) {
		t.Error("it is over with too few")
	}
	if s.open(at(4)) || s.counts(at(3), at(4.5)) {
		t.Error("it is not over with enough")
	}
	o, err := s.outcome([]time.Duration{2500 * time.Millisecond, time.Second}, 0)
	if err != nil || o.rate != 0.5 || o.times[0] != time.Second {
		t.Errorf("got %+v, %v; want 2 answers in 4 seconds", o, err)
	}
	if o, err = s.outcome([]time.Duration{time.Second}, 7); err == nil {
		t.Errorf("too little was measured, and it is %+v", o)
	}
}

func TestReportSaysWhichBarsAreMissed(t *testing.T) {
	t.Parallel()
	r := &report{Cores: 2, Seconds: 1}
	r.add(table{Title: "things", Columns: []string{"a second", "x"}, Rows: []row{{"one", []float64{12345, none}}, {"two", []float64{0.1234, 9.876}}}})
	r.atLeast("enough", 2, 1)
	r.atMost("too long", 2, 1)
	var out bytes.Buffer
	r.print(&out)
	got := slices.DeleteFunc(strings.Split(out.String(), "\n"), func(line string) bool { return line == "" })
	for i := range got {
		got[i] = strings.Join(strings.Fields(got[i]), " ")
	}
	want := []string{
		"2 cores, measured in 1 s", "things a second x", "one 12345 -", "two 0.123 9.88",
		"bars", "enough 2.00 at least 1.00 met", "too long 2.00 at most 1.00 MISSED",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
