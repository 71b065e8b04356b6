package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"sallyport/sandbox"
)

const (
	// slowHost and slowDatabase are what an answer of theirs is late by.
	slowHost     = 700 * time.Millisecond
	slowDatabase = 150 * time.Millisecond
	// backLimit is how long PostgreSQL may take to be back.
	backLimit = 40 * time.Second
	// switches are how many WAL segments are ended on a full disk.
	switches = 12
)

// wreck breaks the stage as a plan says, and mends it.
type wreck struct {
	*stage

	began time.Time
	log   func(format string, args ...any)

	mu       sync.Mutex
	now      map[int]event // what is broken
	problems []error       // what could not be broken or mended, and what did not stop in time
}

// run lets every fault of the plan happen and returns when all are mended.
func (w *wreck) run(ctx context.Context, faults []event) {
	var all sync.WaitGroup
	for n, e := range faults {
		all.Go(func() { w.happen(ctx, n, e) })
	}
	all.Wait()
}

// happen breaks, waits and mends.
func (w *wreck) happen(ctx context.Context, n int, e event) {
	if !sleepUntil(ctx, w.began.Add(e.at)) {
		return
	}
	w.log("begins: %s", e)
	w.note(n, &e)
	mend, err := w.begin(ctx, e)
	w.report(e, err)
	sleepUntil(ctx, w.began.Add(e.end()))
	if mend != nil {
		w.report(e, mend(context.WithoutCancel(ctx)))
		w.log("is over: %s", e)
	}
	w.note(n, nil)
}

func (w *wreck) note(n int, e *event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e == nil {
		delete(w.now, n)
		return
	}
	w.now[n] = *e
}

// broken lists what is broken now.
func (w *wreck) broken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, e := range w.now {
		list = append(list, e.String())
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, "; ")
}

func (w *wreck) report(e event, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Errorf("%s: %w", e, err))
}

func sleepUntil(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type mending func(context.Context) error

// begin breaks something and returns how it is mended, nil if it mends itself.
func (w *wreck) begin(ctx context.Context, e event) (mending, error) {
	switch e.place() {
	case "replicas":
		return w.beginReplica(ctx, e)
	case "postgres":
		return w.beginPostgres(ctx, e)
	case "connections":
		return w.beginConnections(e)
	case "xray process":
		return w.beginXray(ctx, e)
	case "clocks":
		return w.beginClocks(e)
	default:
		s := w.world.Fault(e.target)
		return func(context.Context) error { s.Clear(); return nil }, s.Set(e.mode, slowHost, 0)
	}
}

func (w *wreck) member(e event) *replica {
	all := w.fleet.members()
	return all[e.which%len(all)]
}

func (w *wreck) beginReplica(ctx context.Context, e event) (mending, error) {
	switch e.kind {
	case killReplica:
		w.member(e).kill()
		return nil, nil
	case stopReplica:
		return nil, w.member(e).stop(context.WithoutCancel(ctx))
	default:
		added, err := w.fleet.add()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return w.fleet.remove(ctx, added, e.kind == addThenStop) }, nil
	}
}

func (w *wreck) beginPostgres(ctx context.Context, e event) (mending, error) {
	switch e.kind {
	case restartPostgres:
		return nil, w.world.Postgres.Restart(context.WithoutCancel(ctx))
	case crashPostgres:
		return w.back, w.world.Postgres.Signal(syscall.SIGQUIT)
	case killPostgres:
		w.world.Postgres.Kill()
		return w.back, nil
	default:
		mend := func(ctx context.Context) error { return errors.Join(w.disk.free(), w.back(ctx)) }
		if err := w.disk.fill(); err != nil {
			return mend, err
		}
		if e.kind == fillDiskAndWAL {
			w.endSegments(ctx)
		}
		return mend, nil
	}
}

// endSegments has PostgreSQL need new segments of its log, until it cannot have any.
func (w *wreck) endSegments(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for range switches {
		if _, err := w.books.DB.Exec(ctx, `SELECT pg_logical_emit_message(false, 'chaos', 'chaos'), pg_switch_wal()`); err != nil {
			return // it is as full as it can be
		}
	}
}

// back waits until PostgreSQL answers, and starts it if it does not run.
func (w *wreck) back(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, backLimit)
	defer cancel()
	for {
		if !w.world.Postgres.Running() {
			if err := w.world.Postgres.Restart(ctx); err != nil && ctx.Err() != nil {
				return err
			}
		}
		try, end := context.WithTimeout(ctx, time.Second)
		_, err := w.books.Count(try, `SELECT 1`)
		end()
		if err == nil {
			return nil
		}
		if !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return fmt.Errorf("PostgreSQL is not back: %w", err)
		}
	}
}

func (w *wreck) beginConnections(e event) (mending, error) {
	toxic := map[kind]string{
		resetRequests: `{"type":"reset_peer","stream":"upstream","attributes":{"timeout":20}}`,
		resetAnswers:  `{"type":"reset_peer","stream":"downstream","attributes":{"timeout":20}}`,
		hangPostgres:  `{"type":"timeout","stream":"downstream","attributes":{"timeout":0}}`,
		slowPostgres:  fmt.Sprintf(`{"type":"latency","stream":"downstream","attributes":{"latency":%d}}`, slowDatabase.Milliseconds()),
	}[e.kind]
	added, err := w.way.Toxics.AddToxicJson(strings.NewReader(toxic))
	if err != nil {
		return nil, fmt.Errorf("toxiproxy: %w", err)
	}
	return func(ctx context.Context) error { return w.way.Toxics.RemoveToxic(ctx, added.Name) }, nil
}

func (w *wreck) beginXray(ctx context.Context, e event) (mending, error) {
	if e.kind == restartXray {
		return nil, w.world.Node.Restart(context.WithoutCancel(ctx))
	}
	w.world.Node.Kill()
	return w.world.Node.Restart, nil
}

func (w *wreck) beginClocks(e event) (mending, error) {
	var clocks []*clock
	if e.kind == stepPostgres || e.kind == stepAll {
		clocks = append(clocks, w.clock)
	}
	if e.kind == stepReplica {
		clocks = append(clocks, w.member(e).clock)
	}
	if e.kind == stepReplicas || e.kind == stepAll {
		for _, r := range w.fleet.members() {
			clocks = append(clocks, r.clock)
		}
	}
	set := func(off time.Duration) error {
		for _, c := range clocks {
			// A replica that was removed meanwhile has no clock any more.
			_ = c.set(off)
		}
		return nil
	}
	return func(context.Context) error { return set(0) }, set(e.step)
}

// mendAll makes sure that nothing is broken any more.
func (w *wreck) mendAll(ctx context.Context) error {
	for _, target := range sandbox.Targets() {
		w.world.Fault(target).Clear()
	}
	w.way.Toxics.ResetToxics(ctx)
	problems := []error{w.clock.set(0)}
	for _, r := range w.fleet.members() {
		problems = append(problems, r.clock.set(0))
	}
	if w.disk != nil {
		problems = append(problems, w.disk.free())
	}
	problems = append(problems, w.back(ctx))
	if !w.world.Node.Running() {
		problems = append(problems, w.world.Node.Restart(ctx))
	}
	return errors.Join(append(problems, w.allReady(ctx))...)
}
