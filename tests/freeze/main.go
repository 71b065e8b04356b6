package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/tests/load"
)

// options say how much is done.
type options struct {
	program string        // the shop's
	calm    time.Duration // without a fault
	fault   time.Duration // each of them
	bursts  int           // of newcomers
	phases  []phase
	only    string // "shop" or "model", empty for both
	log     string // file for what the shop writes, empty for none
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lost, err := run(ctx, parse(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "freeze:", err)
		os.Exit(1)
	}
	if lost {
		os.Exit(1)
	}
}

// parse reads the command line.
func parse() options {
	o := options{calm: 8 * time.Second, fault: 12 * time.Second, bursts: 20, phases: phases()}
	long := flag.Bool("long", false, "faults of 30 s instead of 12 s")
	flag.StringVar(&o.program, "sallyport", filepath.Join(".bin", "sallyport"), "the shop's program")
	flag.StringVar(&o.only, "only", "", "shop or model; both if not given")
	flag.StringVar(&o.log, "log", "", "a file for what the shop writes")
	flag.Parse()
	if *long {
		o.calm, o.fault = 30*time.Second, 30*time.Second
	}
	return o
}

// run does it all and says whether the shop lost anything.
func run(ctx context.Context, o options, out io.Writer) (lost bool, err error) {
	fmt.Fprintf(out, "%d customers press %d buttons a second, one press in %d buys; faults last %s\n",
		customers, perSecond, oneBuys, o.fault)
	var shop, audited report
	if o.only != "model" {
		if shop, err = measure(ctx, o, out, startShop); err != nil {
			return false, fmt.Errorf("the shop: %w", err)
		}
		load.PrintBars(out, bars(shop))
	}
	if o.only != "shop" {
		o.bursts = 0
		if audited, err = measure(ctx, o, out, startModel); err != nil {
			return false, fmt.Errorf("the audited structure: %w", err)
		}
	}
	printHeadline(out, shop, audited)
	for _, what := range shop.lost {
		fmt.Fprintln(out, "LOST:", what)
	}
	return len(shop.lost) > 0, nil
}

// report is what was measured of one shop.
type report struct {
	name   string
	phases []figures
	bursts []time.Duration // until the last newcomer was answered
	lost   []string
}

// measure runs a shop through all phases.
func measure(ctx context.Context, o options, out io.Writer, start func(context.Context, options) (*subject, error)) (r report, err error) {
	s, err := start(ctx, o)
	if err != nil {
		return r, err
	}
	defer func() {
		if stopped := s.stop(); err == nil {
			err = stopped
		}
	}()
	r.name = s.name
	c, err := newCrowd(ctx, s, o)
	if err != nil {
		return r, fmt.Errorf("the customers: %w", err)
	}
	defer c.leave()
	fmt.Fprintf(out, "\n%s\n", s.name)
	printHead(out)
	for _, p := range o.phases {
		f, err := s.phase(ctx, c, p, o)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		r.phases = append(r.phases, f)
		printFigures(out, f)
	}
	for try := range o.bursts {
		took, err := c.burst(ctx, try)
		if err != nil {
			return r, fmt.Errorf("burst %d: %w", try+1, err)
		}
		r.bursts = append(r.bursts, took)
	}
	r.lost, err = s.lost(ctx, c)
	return r, err
}
