package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sallyport/tests/load"
)

// options say how much is done.
type options struct {
	program string // the shop's
	log     string // file for what the shop writes, empty for none
	parts   []part
}

// part is one kind of overload.
type part struct {
	name string
	run  func(context.Context, options) (result, error)
}

// result is what a part found.
type result struct {
	lines []string
	bars  []load.Bar
	timed map[string]bool // the bars that a busy machine alone may miss
	lost  []string        // what was lost, or done twice
}

func (r *result) say(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *result) judge(what, got string, kept bool) {
	r.bars = append(r.bars, load.Judge(what, got, kept))
}

// judgeTime is judge of what depends on how fast the machine is.
func (r *result) judgeTime(what, got string, kept bool) {
	if r.timed == nil {
		r.timed = make(map[string]bool)
	}
	r.timed[what] = true
	r.judge(what, got, kept)
}

func (r *result) lose(format string, args ...any) {
	r.lost = append(r.lost, fmt.Sprintf(format, args...))
}

// parts are all of them, at full size.
func parts() []part {
	return []part{
		{"newcomers", func(ctx context.Context, o options) (result, error) { return newcomers(ctx, o, fullCrowd()) }},
		{"limited", func(ctx context.Context, o options) (result, error) { return newcomers(ctx, o, limitedCrowd()) }},
		{"burst", func(ctx context.Context, o options) (result, error) {
			return burst(ctx, o, bursts{people: 1000, tries: 5})
		}},
		{"flood", func(ctx context.Context, o options) (result, error) {
			return flood(ctx, o, torrent{messages: 1000, others: 20, rounds: 5})
		}},
		{"queue", func(ctx context.Context, o options) (result, error) { return queue(ctx, o, fullBacklog()) }},
		{"429", func(ctx context.Context, o options) (result, error) { return queue(ctx, o, smallBacklog(10)) }},
		{"inbox", func(ctx context.Context, o options) (result, error) {
			return fullInbox(ctx, o, weight{waiting: 100_000, perSecond: 1000, lasts: 20 * time.Second, writers: 5000})
		}},
		{"idle", func(ctx context.Context, o options) (result, error) {
			return idle(ctx, o, weight{subscriptions: 100_000, quiet: 30 * time.Second})
		}},
		{"crash", func(ctx context.Context, o options) (result, error) {
			return crash(ctx, o, crashes{perSecond: 500, lasts: 15 * time.Second, kills: []time.Duration{4 * time.Second, 9 * time.Second}, payers: 30, starts: 7})
		}},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lost, err := run(ctx, parse(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
	}
	if lost || err != nil {
		os.Exit(1)
	}
}

// parse reads the command line.
func parse() options {
	o := options{}
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	flag.StringVar(&o.program, "sallyport", filepath.Join(".bin", "sallyport"), "the shop's program")
	flag.StringVar(&o.log, "log", "", "a file for what the shop writes")
	only := flag.String("only", strings.Join(names, ","), "the parts to do")
	flag.Parse()
	for _, p := range parts() {
		if slices.Contains(strings.Split(*only, ","), p.name) {
			o.parts = append(o.parts, p)
		}
	}
	return o
}

// run does every part and says whether anything was lost or done twice.
func run(ctx context.Context, o options, out io.Writer) (lost bool, err error) {
	var bars []load.Bar
	for _, p := range o.parts {
		fmt.Fprintf(out, "\n%s\n", strings.ToUpper(p.name))
		r, err := p.run(ctx, o)
		for _, line := range r.lines {
			fmt.Fprintln(out, "  "+line)
		}
		for _, what := range r.lost {
			fmt.Fprintln(out, "LOST:", what)
		}
		if err != nil {
			return lost, fmt.Errorf("%s: %w", p.name, err)
		}
		bars, lost = append(bars, r.bars...), lost || len(r.lost) > 0
	}
	load.PrintBars(out, bars)
	return lost, nil
}
