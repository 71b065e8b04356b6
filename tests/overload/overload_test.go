package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/tests/load"
)

// program is the shop's, built once for all tests.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "overload-")
	if err == nil {
		program, err = load.Program(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// kept runs a part, small, and fails for what was lost and for every promise that was not
// kept; times are no promise here, where tests run side by side.
func kept(t *testing.T, run func(context.Context, options) (result, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	r, err := run(ctx, options{program: program})
	for _, line := range r.lines {
		t.Log(line)
	}
	for _, what := range r.lost {
		t.Error("lost:", what)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.bars {
		t.Logf("%s: %s, kept %t", b.What, b.Got, b.Kept)
		if !b.Kept && !r.timed[b.What] {
			t.Errorf("%s: %s", b.What, b.Got)
		}
	}
}

// sideBySide runs parts at the same time: each of these mostly waits.
func sideBySide(t *testing.T, parts ...part) {
	t.Helper()
	var g sync.WaitGroup
	for _, p := range parts {
		g.Go(func() { t.Run(p.name, func(t *testing.T) { kept(t, p.run) }) })
	}
	g.Wait()
}

func TestACrowdIsAnsweredAndOthersPay(t *testing.T) {
	t.Parallel()
	kept(t, func(ctx context.Context, o options) (result, error) {
		return newcomers(ctx, o, crowd{newcomers: 600, payers: 4, stars: 2, choosers: 2, busy: 1, within: time.Second})
	})
}

func TestBurstsAndFloodsDelayNobody(t *testing.T) {
	t.Parallel()
	sideBySide(
		t,
		part{"burst", func(ctx context.Context, o options) (result, error) {
			return burst(ctx, o, bursts{people: 200, tries: 1})
		}},
		part{"flood", func(ctx context.Context, o options) (result, error) {
			return flood(ctx, o, torrent{messages: 300, others: 20, rounds: 1})
		}},
	)
}

// At Telegram's pace the crowd takes half a minute; nobody who was there before waits for it.
func TestTelegramsLimitsAreKeptAndWhatMattersGoesFirst(t *testing.T) {
	t.Parallel()
	sideBySide(
		t,
		part{"crowd", func(ctx context.Context, o options) (result, error) {
			return newcomers(ctx, o, crowd{newcomers: 1000, payers: 2, stars: 2, choosers: 2, busy: 1, within: time.Second, limits: true})
		}},
		part{"queue", func(ctx context.Context, o options) (result, error) { return queue(ctx, o, smallBacklog(0)) }},
		part{"429", func(ctx context.Context, o options) (result, error) { return queue(ctx, o, smallBacklog(10)) }},
	)
}

func TestMuchTakesLittleMemory(t *testing.T) {
	t.Parallel()
	sideBySide(
		t,
		part{"inbox", func(ctx context.Context, o options) (result, error) {
			return fullInbox(ctx, o, weight{waiting: 5000, perSecond: 200, lasts: 2 * time.Second, writers: 100})
		}},
		part{"idle", func(ctx context.Context, o options) (result, error) {
			return idle(ctx, o, weight{subscriptions: 1000, quiet: time.Second})
		}},
	)
}

func TestKilledUnderLoadItLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	kept(t, func(ctx context.Context, o options) (result, error) {
		return crash(ctx, o, crashes{perSecond: 200, lasts: 3 * time.Second, kills: []time.Duration{time.Second}, payers: 4, starts: 1})
	})
}

func TestTheBusiestSecondIsFound(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var at []time.Time
	for _, ms := range []int{0, 100, 200, 900, 1050, 3000, 3999, 4000, 4001} {
		at = append(at, begin.Add(time.Duration(ms)*time.Millisecond))
	}
	if all, later := busiest(at, time.Time{}), busiest(at, begin.Add(2*time.Second)); all != 4 || later != 3 {
		t.Errorf("%d and %d", all, later)
	}
}
