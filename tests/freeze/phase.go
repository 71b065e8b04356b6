package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/tests/load"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
)

// slowDatabase is what every answer of a slow PostgreSQL is late by.
const slowDatabase = 200 * time.Millisecond

// phase is a time of load under faults.
type phase struct {
	name   string
	hung   []sandbox.Target
	slowDB bool
}

// phases are the calm and the faults, in order.
func phases() []phase {
	return []phase{
		{name: "calm"},
		{name: "Xray hung", hung: []sandbox.Target{sandbox.XrayTarget}},
		{name: "Crypto Pay hung", hung: []sandbox.Target{sandbox.CryptoPayTarget}},
		{name: "calm again"},
		{name: "Telegram hung", hung: []sandbox.Target{sandbox.TelegramTarget}},
		{name: "PostgreSQL slow", slowDB: true},
		{name: "all of them", hung: []sandbox.Target{sandbox.XrayTarget, sandbox.CryptoPayTarget, sandbox.TelegramTarget}, slowDB: true},
	}
}

// calm says that nothing is wrong in the phase.
func (p phase) calm() bool { return len(p.hung) == 0 && !p.slowDB }

// outside says that the phase's only fault is a host that hangs.
func (p phase) outside() bool { return len(p.hung) == 1 && !p.slowDB }

// deaf says that no answer can reach a customer in the phase.
func (p phase) deaf() bool {
	for _, target := range p.hung {
		if target == sandbox.TelegramTarget {
			return true
		}
	}
	return false
}

func (p phase) begin(w *sandbox.World) error {
	var problems []error
	for _, target := range p.hung {
		problems = append(problems, w.Fault(target).Set(fault.Hung, 0, 0))
	}
	if p.slowDB {
		problems = append(problems, w.Fault(sandbox.PostgresTarget).Set(fault.Slow, slowDatabase, 0))
	}
	return errors.Join(problems...)
}

func (p phase) end(w *sandbox.World) {
	for _, target := range sandbox.Targets() {
		w.Fault(target).Clear()
	}
}

// figures are what was measured in a phase.
type figures struct {
	phase    phase
	webhook  load.Times // until an update was acknowledged
	reply    load.Times // from the press to the answer and the screen, in the chat
	failed   int        // presses refused, answered with an error or never
	retold   int        // deliveries that were not acknowledged, and came again
	bought   int
	health   load.Times
	unwell   int             // looks at /healthz that had no answer, or a bad one
	wait     map[string]span // the longest one acquire in a hundred waited, by pool
	hold     map[string]span // the longest a connection was held, by pool
	catchUp  map[string]span // the same after the fault, while all that had waited was done
	waiting  int             // updates and jobs, at most
	done     time.Duration   // from the end of the fault until nothing was owed
	owed     error           // what still was, when we gave up
	deafness bool            // no answer could come
}

const (
	lookEvery = 100 * time.Millisecond
	owedEvery = 20 * time.Millisecond
	// owedLimit is when what is still owed is given up.
	owedLimit = 45 * time.Second
)

// phase runs one: the load under the fault, then until nothing is owed any more.
func (s *subject) phase(ctx context.Context, c *crowd, p phase, o options) (figures, error) {
	f := figures{phase: p, deafness: p.deaf()}
	before, err := s.scrape(ctx)
	if err != nil {
		return f, err
	}
	length := o.fault
	if p.calm() {
		length = o.calm
	}
	s.door.begin()
	c.begin()
	watch := s.look(ctx)
	if err := p.begin(s.world); err != nil {
		return f, err
	}
	err = c.press(ctx, length)
	p.end(s.world)
	ended := time.Now()
	f.health, f.unwell, f.waiting = watch.end()
	if err != nil {
		return f, err
	}
	during, err := s.scrape(ctx)
	if err != nil {
		return f, err
	}
	f.wait, f.hold = waits(before, during), holds(before, during)
	f.owed = s.settle(ctx, c)
	f.done = time.Since(ended)
	after, err := s.scrape(ctx)
	if err != nil {
		return f, err
	}
	f.catchUp = holds(during, after)
	f.webhook, f.retold = s.door.end()
	f.reply, f.failed, f.bought = c.end()
	return f, ctx.Err()
}

// settle waits until nothing is owed.
func (s *subject) settle(ctx context.Context, c *crowd) error {
	ctx, cancel := context.WithTimeout(ctx, owedLimit)
	defer cancel()
	tick := time.NewTicker(owedEvery)
	defer tick.Stop()
	for {
		owed := c.owed()
		if owed == nil {
			owed = s.owed(ctx)
		}
		if owed == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still owed: %w", owed)
		}
	}
}
