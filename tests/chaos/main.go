package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// options say what is to be done.
type options struct {
	seed   uint64
	length time.Duration
	root   string // of the shop's source
	only   bool   // print the plan
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = chaos(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	minutes := flags.Float64("minutes", 5, "how long the load lasts")
	flags.Uint64Var(&o.seed, "seed", 0, "of everything random; 0 means a new one")
	flags.StringVar(&o.root, "root", filepath.Join("..", ".."), "the shop's source")
	flags.BoolVar(&o.only, "plan", false, "print the plan and do nothing")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	o.length = time.Duration(*minutes * float64(time.Minute)).Round(time.Second)
	if o.length < shortest {
		return o, fmt.Errorf("%s is too short: at least %s", o.length, shortest)
	}
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32()) // short enough to be typed
	}
	return o, nil
}

// shortest is the shortest load.
const shortest = 30 * time.Second

// run is one run.
type run struct {
	*stage

	out        io.Writer
	mu         sync.Mutex
	plan       plan
	crowd      *crowd
	wreck      *wreck
	goroutines int // of a replica at the beginning
}

// chaos runs and checks. Its error says that something does not hold.
func chaos(ctx context.Context, o options, out io.Writer) (err error) {
	again := fmt.Sprintf("SEED=%d: make chaos SEED=%d MINUTES=%.4g", o.seed, o.seed, o.length.Minutes())
	fmt.Fprintln(out, again)
	defer fmt.Fprintln(out, again)
	p := newPlan(o.seed, o.length)
	if os.Geteuid() != 0 {
		var left int
		p, left = p.without(fillDisk, fillDiskAndWAL)
		fmt.Fprintf(out, "Not root: %d faults of a full disk are left out\n", left)
	}
	p.print(out)
	if o.only {
		return nil
	}
	fmt.Fprintln(out, "Starting (building the shop with clocks that can be wrong takes 2 minutes the first time)")
	s, err := newStage(ctx, o.root, o.seed)
	defer func() {
		if err != nil {
			fmt.Fprintln(out, "The replicas' log:", s.keepLog())
		}
		if stopped := s.stop(); err == nil {
			err = stopped
		}
	}()
	if err != nil {
		return err
	}
	r := &run{stage: s, out: out, plan: p, crowd: newCrowd(s.world)}
	if r.goroutines, err = r.atRest(ctx); err != nil {
		return err
	}
	r.play(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.judge(ctx)
}

// atRest has every replica work a little, and returns how many goroutines one has.
func (r *run) atRest(ctx context.Context) (most int, err error) {
	for n := range int64(replicas * 2) {
		if err := r.crowd.person(firstRegular + n%regulars).greets(ctx); err != nil {
			return 0, err
		}
	}
	for _, one := range r.fleet.members() {
		n, err := one.goroutines(ctx)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

// play lets load and faults happen, and waits until all is quiet, or for too long.
func (r *run) play(ctx context.Context) {
	began := time.Now()
	r.wreck = &wreck{stage: r.stage, began: began, now: make(map[int]event), log: func(format string, args ...any) {
		r.say(began, format, args...)
	}}
	acting, stopActing := context.WithCancel(ctx)
	defer stopActing()
	watching, stopWatching := context.WithCancel(ctx)
	var acts, watch sync.WaitGroup
	watch.Go(func() { r.progress(watching, began) })
	acts.Go(func() { r.crowd.run(acting, began, r.plan.length, r.plan.acts) })
	r.wreck.run(ctx, r.plan.faults)
	sleepUntil(ctx, began.Add(r.plan.length))
	if err := r.wreck.mendAll(ctx); err != nil {
		r.wreck.problems = append(r.wreck.problems, err)
	}
	r.door.good.Store(true)
	mended := time.Now()
	r.say(began, "the load ends, and nothing is broken any more")
	time.AfterFunc(quietLimit, stopActing)
	acts.Wait()
	stopWatching()
	watch.Wait()
	r.say(began, "everybody is done after %.1f s", time.Since(mended).Seconds())
	quiet, cancel := context.WithDeadline(ctx, mended.Add(quietLimit))
	defer cancel()
	if err := r.books.Settle(quiet); err != nil {
		r.say(began, "%v", err)
	}
	r.say(began, "nothing is owed after %.1f s", time.Since(mended).Seconds())
	if r.books.Stale = true; r.plan.steps() {
		r.books.Slack, r.books.Early = clockSlack, r.plan.ahead()
	}
	r.rest(ctx)
}

// judge prints every check and returns an error unless all hold.
func (r *run) judge(ctx context.Context) error {
	broken := 0
	for _, c := range r.checks() {
		if err := c.do(ctx); err != nil {
			broken++
			fmt.Fprintf(r.out, "FAILED  %s:\n%v\n", c.name, err)
			continue
		}
		fmt.Fprintf(r.out, "ok      %s\n", c.name)
	}
	r.summary(ctx)
	if broken > 0 {
		return fmt.Errorf("%d checks failed", broken)
	}
	return nil
}

// summary says how much there was.
func (r *run) summary(ctx context.Context) {
	count := func(query string) int {
		n, _ := r.books.Count(ctx, query) // only to be shown
		return n
	}
	starts := 0
	for _, one := range r.fleet.members() {
		starts += one.starts
	}
	fmt.Fprintf(r.out, "%d updates, %d orders paid, %d payments flagged, %d updates stale, %d times a replica was started; forged callbacks were answered %v\n",
		count(`SELECT count(*) FROM inbox`), count(`SELECT count(*) FROM orders WHERE status = 'paid'`),
		count(`SELECT count(*) FROM payment_events WHERE outcome = 'flagged'`),
		count(`SELECT count(*) FROM inbox WHERE state = 'stale'`), starts, r.crowd.posted)
}

// say writes a line with the time since the beginning.
func (r *run) say(began time.Time, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// progressEvery is how often a line says how it goes.
const progressEvery = 5 * time.Second

func (r *run) progress(ctx context.Context, began time.Time) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		done, under := r.crowd.state()
		waits := "the database is away"
		try, cancel := context.WithTimeout(ctx, time.Second)
		if n, err := r.books.Count(try, `SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting')
			+ (SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND finalized_at IS NULL)`); err == nil {
			waits = fmt.Sprintf("%d updates and jobs wait", n)
		}
		cancel()
		r.say(began, "-- %d acts done, %d under way, %s; broken: %s", done, under, waits, r.wreck.broken())
	}
}
