package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The chart's measures, in its own units.
const (
	chartWidth   = 1000
	chartTop     = 64
	columns      = 3
	panelWidth   = 320
	panelHeight  = 184
	plotLeft     = 46
	plotTop      = 44
	plotWidth    = 262
	plotHeight   = 104
	chartPoints  = 131 // of a line: one for every second unit
	steps        = 4   // of an axis, at most
	decade       = 10.0
	lowestOfLogs = 1.0
)

// panel is one of the small pictures.
type panel struct {
	title string
	lines []line
	log   bool // the axis counts by powers of ten
	note  string
}

// line is one series of a panel.
type line struct {
	name   string
	values []float64
}

// panels are what is drawn of a run.
func (r record) panels() []panel {
	of := func(name string, scale float64) []float64 {
		values := slices.Clone(r.Series[name])
		for i := range values {
			values[i] *= scale
		}
		return values
	}
	const thousandth = 1 / kilobyte
	rest, history := r.sum(false), r.sum(true)
	return []panel{
		{title: "Memory, MB", lines: []line{{"process (PSS)", of(memory, 1)}, {"Go heap", of(heap, 1)}}, note: r.ratio(memory)},
		{title: "Goroutines", lines: []line{{"", of(goroutines, 1)}}, note: r.ratio(goroutines)},
		{title: "Connections and files", lines: []line{{"open files", of(files, 1)}, {"connections", of(connections, 1)}}, note: r.ratio(connections)},
		{title: "Inbox (kept 72 h), MB", lines: []line{{"", of(sizeOf+"inbox", thousandth)}}, note: r.ratio(sizeOf + "inbox")},
		{title: "Jobs (kept 6 h), MB", lines: []line{{"", of(sizeOf+"river_job", thousandth)}}, note: r.ratio(sizeOf + "river_job")},
		{title: "Other tables, MB", lines: []line{{"", rest}}, note: "none of them may grow"},
		{title: "Reply, ms", log: true, lines: []line{{"p99", of(replyMost, 1)}, {"p50", of(replyHalf, 1)}}},
		{title: "Updates and jobs waiting", lines: []line{{"", of(waiting, 1)}}},
		{title: "Kept for good, MB", lines: []line{{"", history}}, note: r.perOrder()},
	}
}

// sum adds up, in MB, the tables that keep history, or the others without the two large ones.
func (r record) sum(history bool) []float64 {
	var total []float64
	for name, values := range r.Series {
		table, ok := strings.CutPrefix(name, sizeOf)
		if _, keeps := grows()[table]; !ok || keeps != history || table == "inbox" || table == "river_job" {
			continue
		}
		if total == nil {
			total = make([]float64, len(values))
		}
		for i := range min(len(total), len(values)) {
			total[i] += values[i] / kilobyte
		}
	}
	return total
}

// ratio says by how much a series has grown.
func (r record) ratio(name string) string {
	for _, f := range r.findings() {
		if f.name == name {
			return fmt.Sprintf("last quarter %.2f x, at most %.2f", f.ratio(), f.rule.ratio)
		}
	}
	return ""
}

func (r record) perOrder() string {
	bytes := 0.0
	for _, g := range r.growth() {
		bytes += g.bytes
	}
	return fmt.Sprintf("orders, customers, ledger: %.1f kB for each order", bytes/kilobyte)
}

// drawChart draws a run as SVG, readable on light and on dark.
func drawChart(r record) []byte {
	all := r.panels()
	height := chartTop + (len(all)+columns-1)/columns*panelHeight + 10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title about">`+"\n", chartWidth, height)
	fmt.Fprintf(&b, "  <title id=\"title\">%s of the shop's schedule in %s</title>\n", days(r.Schedule), minutes(r.Length))
	fmt.Fprintf(&b, "  <desc id=\"about\">%s</desc>\n", r.described())
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `  <rect class="paper" x="1" y="1" width="%d" height="%d" rx="14"/>`+"\n", chartWidth-2, height-2)
	fmt.Fprintf(&b, `  <text class="head" x="20" y="30">%s of schedule in %s: %d presses, %d orders, %d customers</text>`+"\n",
		days(r.Schedule), minutes(r.Length), r.Presses, r.Orders, r.People)
	fmt.Fprintf(&b, `  <text class="note" x="20" y="50">Across: days of the schedule. Grey marks: an Xray restart, or %s without Crypto Pay or Telegram.</text>`+"\n",
		min(faultLength, r.Length/troubles/4))
	for i, p := range all {
		fmt.Fprintf(&b, `  <g transform="translate(%d %d)">`+"\n", 14+i%columns*(panelWidth+6), chartTop+i/columns*panelHeight)
		p.draw(&b, r)
		b.WriteString("  </g>\n")
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// described says in words what the chart shows.
func (r record) described() string {
	var parts []string
	for _, f := range r.findings() {
		if !strings.HasPrefix(f.name, rowsOf) {
			parts = append(parts, fmt.Sprintf("%s: %s, then %s", f.name, number(f.first), number(f.last)))
		}
	}
	return strings.Join(parts, ". ") + "."
}

// draw writes one panel.
func (p panel) draw(b *strings.Builder, r record) {
	fmt.Fprintf(b, `    <text class="name" x="4" y="16">%s</text><text class="note" x="4" y="32">%s</text>`+"\n", p.title, p.note)
	fmt.Fprintf(b, `    <text class="note end" x="%d" y="16">`, plotLeft+plotWidth)
	for i, l := range p.lines {
		fmt.Fprintf(b, `<tspan class="s%d" dx="8">%s</tspan>`, i, l.name)
	}
	b.WriteString("</text>\n")
	for _, t := range r.Troubles {
		fmt.Fprintf(b, `    <rect class="fault" x="%s" y="%d" width="%s" height="%d"/>`+"\n",
			across(t.At, r.Length), plotTop, number(max(1, plotWidth*t.Length.Seconds()/r.Length.Seconds())), plotHeight)
	}
	up := p.axis(b)
	for day := range int(r.Schedule.Hours()/24) + 1 {
		x := across(time.Duration(day)*24*time.Hour, r.Schedule)
		fmt.Fprintf(b, `    <text class="tick mid" x="%s" y="%d">%d</text>`+"\n", x, plotTop+plotHeight+14, day)
	}
	for i, l := range p.lines {
		l.draw(b, i, up)
	}
}

// across is where a moment of a length is.
func across(at, length time.Duration) string {
	return number(plotLeft + plotWidth*at.Seconds()/length.Seconds())
}

// axis draws the lines and figures of a panel and returns where a value is.
func (p panel) axis(b *strings.Builder) (up func(float64) float64) {
	most := 0.0
	for _, l := range p.lines {
		most = max(most, at(l.values, 1))
	}
	marks := p.marks(most)
	top := marks[len(marks)-1]
	up = func(v float64) float64 { return plotTop + plotHeight*(1-v/top) }
	if p.log {
		up = func(v float64) float64 {
			return plotTop + plotHeight*(1-math.Log10(max(lowestOfLogs, v)/marks[0])/math.Log10(top/marks[0]))
		}
	}
	for _, mark := range marks {
		fmt.Fprintf(b, `    <path class="grid" d="M%d %sh%d"/><text class="tick end" x="%d" y="%s">%s</text>`+"\n",
			plotLeft, number(up(mark)), plotWidth, plotLeft-5, number(up(mark)+4), number(mark))
	}
	return up
}

// marks are the figures of an axis: round, from 0 or a power of ten, to most or beyond.
func (p panel) marks(most float64) (marks []float64) {
	if p.log {
		marks = append(marks, lowestOfLogs)
		for len(marks) < 2 || marks[len(marks)-1] < most {
			marks = append(marks, marks[len(marks)-1]*decade)
		}
		return marks
	}
	step := math.Pow(decade, math.Floor(math.Log10(max(most, 1e-3))))
	for _, part := range []float64{0.1, 0.2, 0.5, 1, 2, 5} {
		if most <= step*part*steps {
			step *= part
			break
		}
	}
	for n := 0; len(marks) < 2 || marks[len(marks)-1] < most; n++ {
		marks = append(marks, float64(n)*step)
	}
	return marks
}

// draw writes a line.
func (l line) draw(b *strings.Builder, nth int, up func(float64) float64) {
	thin := thinned(l.values, chartPoints)
	if len(thin) == 0 {
		return
	}
	var points strings.Builder
	for i, v := range thin {
		fmt.Fprintf(&points, "%s,%s ", number(plotLeft+plotWidth*(float64(i)+0.5)/float64(len(thin))), number(up(v)))
	}
	fmt.Fprintf(b, `    <polyline class="line s%d" points="%s"/>`+"\n", nth, strings.TrimSpace(points.String()))
}

const chartStyle = `  <style>
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
    .paper { fill: #ffffff; stroke: #d0d7de }
    .head { fill: #1f2328; font-size: 17px; font-weight: 600 }
    .name { fill: #1f2328; font-size: 14px; font-weight: 600 }
    .note { fill: #59636e; font-size: 12px }
    .tick { fill: #59636e; font-size: 11px }
    .mid { text-anchor: middle }
    .end { text-anchor: end }
    .grid { stroke: #d0d7de; stroke-width: 0.7 }
    .fault { fill: #8c959f; fill-opacity: 0.35 }
    .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
    .line.s0 { stroke: #0969da }
    .line.s1 { stroke: #bc4c00 }
    tspan.s0 { fill: #0969da }
    tspan.s1 { fill: #bc4c00 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #3d444d }
      .head, .name { fill: #f0f6fc }
      .note, .tick { fill: #9198a1 }
      .grid { stroke: #3d444d }
      .fault { fill: #6e7681 }
      .line.s0 { stroke: #58a6ff }
      .line.s1 { stroke: #f0883e }
      tspan.s0 { fill: #58a6ff }
      tspan.s1 { fill: #f0883e }
    }
  </style>
`
