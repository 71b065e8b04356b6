package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options say what is done.
type options struct {
	program  string        // the shop's
	length   time.Duration // of the run
	schedule time.Duration // that is compressed into it
	chart    string        // file for the chart, empty for none
	data     string        // file for all that was measured, empty for none
	log      string        // file for what the shop writes, empty for none
}

// compress returns how long what takes d by the schedule takes in the run.
func (o options) compress(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(o.length) / float64(o.schedule))
}

// errGrew says that the run was not what it must be; it has been printed why.
var errGrew = errors.New("the shop did not stay as it was")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, drawn := parse()
	do := run
	if drawn != "" {
		do = func(_ context.Context, o options, out io.Writer) error { return redraw(drawn, o, out) }
	}
	if err := do(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// parse reads the command line. drawn is a file of an earlier run that is to be shown
// again, empty for a new run.
func parse() (o options, drawn string) {
	minutes := flag.Float64("minutes", 60, "how long to run")
	days := flag.Float64("days", 7, "how much of the schedule to compress into that")
	flag.StringVar(&o.program, "sallyport", filepath.Join(".bin", "sallyport"), "the shop's program")
	flag.StringVar(&o.chart, "chart", "", "a file for the chart, as SVG")
	flag.StringVar(&o.data, "data", "", "a file for all that was measured, as JSON")
	flag.StringVar(&o.log, "log", "", "a file for what the shop writes")
	flag.StringVar(&drawn, "draw", "", "show what an earlier run left by -data instead of a new run")
	flag.Parse()
	o.length = time.Duration(*minutes * float64(time.Minute))
	o.schedule = time.Duration(*days * 24 * float64(time.Hour))
	return o, drawn
}

// run soaks the shop and shows what came of it.
func run(ctx context.Context, o options, out io.Writer) error {
	fmt.Fprintf(out, "%s of the shop's schedule in %s: %.0f times as fast\n", days(o.schedule), minutes(o.length), o.schedule.Hours()/o.length.Hours())
	r, err := soak(ctx, o, out)
	if err != nil {
		return err
	}
	if o.data != "" {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		if err := os.WriteFile(o.data, text, 0o600); err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	return show(r, o, out)
}

// redraw shows an earlier run.
func redraw(path string, o options, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return show(r, o, out)
}

// show prints and draws a run, and says whether it was as it must be.
func show(r record, o options, out io.Writer) error {
	printRecord(out, r)
	if o.chart != "" {
		if err := os.WriteFile(o.chart, drawChart(r), 0o644); err != nil { //nolint:gosec // a picture for everybody
			return fmt.Errorf("chart: %w", err)
		}
	}
	if len(r.problems()) > 0 {
		return errGrew
	}
	return nil
}

// soak starts a world and runs the shop in it.
func soak(ctx context.Context, o options, out io.Writer) (r record, err error) {
	s, err := start(ctx, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	fmt.Fprintf(out, "the shop runs as process %d\n", s.world.Ready().ProductPID)
	return s.soak(ctx)
}
