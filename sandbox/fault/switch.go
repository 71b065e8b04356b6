// Package fault breaks things on purpose: a Switch says how a target
// misbehaves at the moment, and stands before it as a Middleware of its HTTP
// handler or as a Proxy on the way to it.
//
// It is for tests and demonstrations and must never be reachable from
// production code.
package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Mode is a way to misbehave.
type Mode string

// The ways to misbehave; Middleware and Proxy say what each does there.
const (
	Down  Mode = "down"  // nobody is there
	Hung  Mode = "hung"  // somebody is there and says nothing
	Slow  Mode = "slow"  // everything takes longer
	Error Mode = "error" // something in between answers in place of the target
	Lost  Mode = "lost"  // connections that stand when it begins lead nowhere any more; new ones are well
)

// ErrMode says that there is no such mode.
var ErrMode = errors.New("fault: unknown mode")

// Fault is how a target misbehaves and for how long.
type Fault struct {
	Mode    Mode
	Latency time.Duration // of Slow
	Until   time.Time     // zero means until Clear
}

// Switch holds the fault of one target. The zero Switch is ready and has none.
// It is safe for use by several goroutines.
type Switch struct {
	mu      sync.Mutex
	fault   Fault
	changed chan struct{}
	losses  int // how often Lost began
}

// Set makes the target misbehave from now on, in place of what it did before.
// The fault ends by itself after length, or only by Clear if length is not
// positive. An unknown mode is ErrMode and changes nothing.
func (s *Switch) Set(mode Mode, latency, length time.Duration) error {
	fresh := Fault{Mode: mode, Latency: latency}
	switch mode {
	case Down, Hung, Slow, Error, Lost:
	default:
		return fmt.Errorf("%w: %q", ErrMode, mode)
	}
	if length > 0 {
		fresh.Until = time.Now().Add(length)
	}
	s.change(fresh)
	return nil
}

// Clear ends the fault, and lets go what it held. Without a fault it does nothing.
func (s *Switch) Clear() { s.change(Fault{}) }

// Current returns the fault and whether there is one.
func (s *Switch) Current() (Fault, bool) {
	fault, on, _ := s.state()
	return fault, on
}

func (s *Switch) change(fresh Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fresh
	if fresh.Mode == Lost {
		s.losses++
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// state returns the fault and a channel that is closed by the next Set or Clear.
func (s *Switch) state() (Fault, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fault.Until.IsZero() && !time.Now().Before(s.fault.Until) {
		s.fault = Fault{}
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.fault, s.fault.Mode != "", s.changed
}

// lost returns how often Lost has begun: a connection that is older than the last time
// is lost for good.
func (s *Switch) lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.losses
}

// pass waits as long as a hung or slow target would make one wait. It returns
// no mode if the way is free, Down or Error if the fault cuts it, and an error
// if ctx ended meanwhile.
func (s *Switch) pass(ctx context.Context) (Mode, error) {
	for {
		fault, on, changed := s.state()
		if !on || fault.Mode == Lost {
			return "", ctx.Err()
		}
		if fault.Mode == Down || fault.Mode == Error {
			return fault.Mode, ctx.Err()
		}
		whole, err := wait(ctx, changed, fault.pause())
		if err != nil {
			return "", err
		}
		if whole && fault.Mode == Slow {
			return "", nil
		}
	}
}

// pause is how long to wait before the fault can be over, negative for ever.
func (f Fault) pause() time.Duration {
	switch {
	case f.Mode == Slow:
		return max(f.Latency, 0)
	case f.Until.IsZero():
		return -1
	}
	return max(time.Until(f.Until), 0)
}

// wait returns after length, with true, or as soon as changed is closed.
func wait(ctx context.Context, changed <-chan struct{}, length time.Duration) (bool, error) {
	var over <-chan time.Time
	if length >= 0 {
		timer := time.NewTimer(length)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true, nil
	case <-changed:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// awaitDown returns true when the target goes down, false when ctx ends.
func (s *Switch) awaitDown(ctx context.Context) bool {
	for {
		fault, _, changed := s.state()
		if fault.Mode == Down {
			return true
		}
		if _, err := wait(ctx, changed, -1); err != nil {
			return false
		}
	}
}
