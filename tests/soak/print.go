package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// days writes a length of the schedule.
func days(d time.Duration) string { return number(d.Hours()/24) + " days" }

// minutes writes the length of a run.
func minutes(d time.Duration) string { return number(d.Minutes()) + " minutes" }

// row is a line of the printed table: a name, its sparks, four figures and a word.
const row = "%-30s %-48s %9s %9s %6s %8s  %s\n"

// printRecord writes a run as a table with a small line for each series.
func printRecord(out io.Writer, r record) {
	fmt.Fprintf(out, "%s of the schedule in %s; %d presses, %d orders by %d customers, %d troubles\n\n",
		days(r.Schedule), minutes(r.Length), r.Presses, r.Orders, r.People, len(r.Troubles))
	r.printFindings(out)
	fmt.Fprintf(out, "\n"+row, "grows with what is sold", "", "early", "last", "", "", "each")
	for _, g := range r.growth() {
		fmt.Fprintf(out, row, sizeOf+g.table, sparks(r.Series[sizeOf+g.table], sparkWidth), number(g.first), number(g.last), "", "", g.each())
	}
	fmt.Fprintln(out)
	for _, name := range []string{deadRows, waiting, granted, replyHalf, replyMost} {
		values := r.Series[name]
		fmt.Fprintf(out, row, name, sparks(values, sparkWidth), "", "", "", "",
			fmt.Sprintf("median %s, at most %s", number(median(values)), number(at(values, 1))))
	}
	fmt.Fprintln(out)
	for _, what := range slices.Sorted(maps.Keys(r.Removed)) {
		fmt.Fprintf(out, "%7d %s\n", r.Removed[what], what)
	}
	for _, problem := range r.problems() {
		fmt.Fprintln(out, "WRONG:", problem)
	}
	if len(r.problems()) == 0 {
		fmt.Fprintln(out, "nothing grew that must not, nothing is owed, nothing is lost")
	}
}

// printFindings writes what must stay as it is; of the small tables, only how many
// there are.
func (r record) printFindings(out io.Writer) {
	fmt.Fprintf(out, row, "must stay as it is", "from the start to the end", "early", "last", "ratio", "at most", "")
	small := 0
	for _, f := range r.findings() {
		if f.flat && at(r.Series[f.name], 1) <= f.rule.small {
			small++
			continue
		}
		verdict := "flat"
		if !f.flat {
			verdict = "GREW"
		}
		fmt.Fprintf(out, row, f.name, sparks(r.Series[f.name], sparkWidth), number(f.first), number(f.last),
			fmt.Sprintf("%.2f", f.ratio()), fmt.Sprintf("%.2f", f.rule.ratio), verdict)
	}
	fmt.Fprintf(out, "and %d figures of tables that stayed below %d kB or %d rows\n", small, smallTable, smallCount)
}

// grown is what a table that keeps history takes for each order, or each customer.
type grown struct {
	table       string
	of          string
	first, last float64 // kB
	bytes, rows float64 // for each
}

func (g grown) each() string {
	return fmt.Sprintf("%.0f bytes and %s rows for each %s", g.bytes, number(g.rows), g.of)
}

// growth says how the tables that keep history have grown since the end of the first
// quarter. A table that was not there yet has not grown.
func (r record) growth() (all []grown) {
	for _, table := range slices.Sorted(maps.Keys(grows())) {
		sizes := r.Series[sizeOf+table]
		if len(sizes) < quarters {
			continue
		}
		g := grown{table: table, of: "order", first: sizes[len(sizes)/quarters], last: sizes[len(sizes)-1]}
		orders := r.Series[soldOrders]
		came := orders[len(orders)-1] - orders[len(orders)/quarters]
		total := r.Orders
		if grows()[table] { // customers come as evenly as orders do
			g.of, total = "customer", r.People
			came *= float64(r.People) / float64(max(1, r.Orders))
		}
		g.bytes = (g.last - g.first) * kilobyte / max(1, came)
		g.rows = float64(r.Rows[table]) / float64(max(1, total))
		all = append(all, g)
	}
	return all
}

const sparkWidth = 48

// sparks draws values in one line of text, from 0 up.
func sparks(values []float64, width int) string {
	marks := []rune("▁▂▃▄▅▆▇█")
	if len(values) == 0 {
		return ""
	}
	most := math.SmallestNonzeroFloat64
	thin := thinned(values, width)
	for _, v := range thin {
		most = max(most, v)
	}
	var line strings.Builder
	for _, v := range thin {
		line.WriteRune(marks[min(len(marks)-1, int(v/most*float64(len(marks))))])
	}
	return line.String()
}

// thinned returns at most so many values: each the median of those in its place.
func thinned(values []float64, width int) []float64 {
	if len(values) <= width {
		return values
	}
	thin := make([]float64, width)
	for n := range thin {
		thin[n] = median(values[n*len(values)/width : (n+1)*len(values)/width])
	}
	return thin
}

// number writes three digits that count, or all before the point.
func number(v float64) string {
	switch {
	case v == 0 || v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v < 0:
		return "-" + number(-v)
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(v))))
	text := fmt.Sprintf("%.*f", min(decimals, 3), v)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
