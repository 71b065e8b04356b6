package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
)

// report is what a run has found.
type report struct {
	Cores   int     `json:"cores"`
	Seconds float64 `json:"seconds"` // that the run took
	Tables  []table `json:"tables"`
	Bars    []bar   `json:"bars"`
}

func newReport() *report { return &report{Cores: runtime.NumCPU()} }

// table is a set of figures of one kind.
type table struct {
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    []row    `json:"rows"`
}

// row is what was measured of one thing.
type row struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"` // by column; negative: does not apply
}

// bar is what a figure must reach.
type bar struct {
	Name   string  `json:"name"`
	Got    float64 `json:"got"`
	Want   float64 `json:"want"`
	AtMost bool    `json:"at_most"` // else at least
	Met    bool    `json:"met"`
}

// none is the value of a column that does not apply to a row.
const none = -1

// over returns a ratio; none if there is nothing to compare with.
func over(value, limit float64) float64 {
	if limit == 0 {
		return none
	}
	return value / limit
}

func (r *report) add(t table) { r.Tables = append(r.Tables, t) }

func (r *report) atLeast(name string, got, want float64) {
	r.Bars = append(r.Bars, bar{Name: name, Got: got, Want: want, Met: got >= want})
}

func (r *report) atMost(name string, got, want float64) {
	r.Bars = append(r.Bars, bar{Name: name, Got: got, Want: want, AtMost: true, Met: got <= want})
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%d cores, measured in %.0f s\n", r.Cores, r.Seconds)
	for _, t := range r.Tables {
		t.print(out)
	}
	fmt.Fprintln(out, "\nbars")
	for _, b := range r.Bars {
		relation, verdict := "at least", "met"
		if b.AtMost {
			relation = "at most"
		}
		if !b.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(out, "  %-58s %9s  %s %-8s %s\n", b.Name, number(b.Got), relation, number(b.Want), verdict)
	}
}

func (t table) print(out io.Writer) {
	width := len(t.Title)
	for _, r := range t.Rows {
		width = max(width, len(r.Name)+2)
	}
	fmt.Fprintf(out, "\n%-*s", width, t.Title)
	for _, c := range t.Columns {
		fmt.Fprintf(out, "  %9s", c)
	}
	for _, r := range t.Rows {
		fmt.Fprintf(out, "\n  %-*s", width-2, r.Name)
		for i, v := range r.Values {
			fmt.Fprintf(out, "  %*s", max(9, len(t.Columns[i])), number(v))
		}
	}
	fmt.Fprintln(out)
}

// number writes three digits that count, or all before the point.
func number(v float64) string {
	switch {
	case v == none:
		return "-"
	case v == 0 || v >= 100:
		return fmt.Sprintf("%.0f", v)
	default:
		digits := max(0, 2-int(math.Floor(math.Log10(v))))
		return fmt.Sprintf("%.*f", min(digits, 3), v)
	}
}
