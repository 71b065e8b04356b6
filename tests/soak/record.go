package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// record is what was seen in a run.
type record struct {
	Length   time.Duration        `json:"length"`   // of the run
	Schedule time.Duration        `json:"schedule"` // that was compressed into it
	Series   map[string][]float64 `json:"series"`   // values at even distances, by name
	Troubles []trouble            `json:"troubles"`
	Removed  map[string]int       `json:"removed"` // rows, by what should remove them
	Rows     map[string]int       `json:"rows"`    // of the tables that keep history, at the end
	Orders   int                  `json:"orders"`
	People   int                  `json:"people"`
	Presses  int                  `json:"presses"`
	Wrong    []string             `json:"wrong"` // what was owed, lost or refused
}

// trouble is something that was broken on purpose.
type trouble struct {
	Name   string        `json:"name"`
	At     time.Duration `json:"at"`
	Length time.Duration `json:"length"`
}

// Prefixes and names of series.
const (
	memory      = "memory, PSS, MB"
	resident    = "memory, RSS, MB"
	heap        = "Go heap at its next collection, MB"
	goroutines  = "goroutines"
	files       = "open files"
	connections = "connections to PostgreSQL"
	deadRows    = "dead rows, all tables"
	waiting     = "updates and jobs waiting"
	granted     = "customers let in"
	soldOrders  = "orders"
	replyHalf   = "reply p50, ms"
	replyMost   = "reply p99, ms"
	sizeOf      = "size, kB: "
	rowsOf      = "live rows: "
)

// rule says how much more a series may be at the end than at its beginning.
type rule struct {
	ratio float64       // of the medians of two quarters
	small float64       // less counts as this much: it is a matter of a few pages
	keeps time.Duration // how much of the schedule it holds before anything is removed
}

// Limits of what must stay as it is.
const (
	memoryLimit = 1.15
	openLimit   = 1.1 // of what a pool opens and closes as it is used
	tableLimit  = 1.2
	smallTable  = 256 // kB
	smallCount  = 500 // rows
)

// grows are the tables that keep history: they grow with the orders or, if so marked,
// with the customers. All others must stay as large as they are.
func grows() map[string]bool {
	return map[string]bool{
		"orders": false, "invoices": false, "payment_events": false, "ledger_postings": false, "ledger_entries": false,
		"users": true, "subscriptions": true, "dialogs": true,
	}
}

// ruleOf returns the rule for a series, false if it may be whatever it is.
func ruleOf(name string) (rule, bool) {
	switch name {
	case memory, resident, heap:
		return rule{ratio: memoryLimit}, true
	case goroutines, files, connections:
		return rule{ratio: openLimit}, true
	}
	for prefix, small := range map[string]float64{sizeOf: smallTable, rowsOf: smallCount} {
		table, ok := strings.CutPrefix(name, prefix)
		if _, history := grows()[table]; ok && !history {
			return rule{ratio: tableLimit, small: small, keeps: keeps(table)}, true
		}
	}
	return rule{}, false
}

// finding is what became of a series.
type finding struct {
	name        string
	first, last float64 // medians
	rule        rule
	flat        bool
}

// ratio is by how much the series has grown; what is small counts as not grown.
func (f finding) ratio() float64 {
	return max(f.last, f.rule.small) / max(f.first, f.rule.small, math.SmallestNonzeroFloat64)
}

const quarters = 4

// judge compares the median of the last quarter with that of the second. The first is
// left out, because a process that has just started fills its caches and pools. What
// keeps more of the schedule than a quarter has to fill first: it is compared with the
// first quarter that begins when it is full. The median of a quarter is not moved by the
// faults, which are short, nor by when garbage is collected.
func judge(name string, values []float64, schedule time.Duration, r rule) finding {
	n := len(values)
	full := int(quarters * r.keeps / schedule) // the quarter in which the first rows are removed
	from := min(max(1, full+1), quarters-2)
	f := finding{name: name, rule: r}
	f.first = median(values[from*n/quarters : (from+1)*n/quarters])
	f.last = median(values[(quarters-1)*n/quarters:])
	f.flat = n >= quarters && f.ratio() <= r.ratio
	return f
}

// findings judges every series that has a rule.
func (r record) findings() (all []finding) {
	for _, name := range slices.Sorted(maps.Keys(r.Series)) {
		if rule, ok := ruleOf(name); ok {
			all = append(all, judge(name, r.Series[name], r.Schedule, rule))
		}
	}
	return all
}

// problems says all that is not as it must be.
func (r record) problems() []string {
	problems := slices.Clone(r.Wrong)
	for _, f := range r.findings() {
		if !f.flat {
			problems = append(problems, fmt.Sprintf("%s grew from %s to %s", f.name, number(f.first), number(f.last)))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(r.Removed)) {
		if r.Removed[what] == 0 {
			problems = append(problems, what+": none")
		}
	}
	return problems
}

// median returns the middle one, 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// at returns the value that the given part of all do not exceed, 0 of none.
func at(values []float64, part float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}
