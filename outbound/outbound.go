// Package outbound bounds every call to the outside: one Host per outside host,
// each with its own time limit, number of calls at once, circuit breaker and
// connections, so that a host which hangs slows nobody but those who need it.
//
// It retries nothing: whether a call may be repeated is its caller's knowledge.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"sallyport/shop"
)

// Config says how much of us one host may take.
type Config struct {
	Name     string        // as it appears in health reports and metrics
	Timeout  time.Duration // of one call; default 5 s
	AtOnce   uint          // calls under way at once; default 16
	Wait     time.Duration // for a free place among them; default Timeout
	Failures uint          // in a row that open the breaker; default 5
	Pause    time.Duration // that the open breaker lasts before it tries again; default 1 s
	Proxy    Proxy         // by which HTTP goes there; default none
	Observe  func(host, op string, took time.Duration, err error)
}

// Host bounds the calls to one outside host, and has the connections to it.
type Host struct {
	cfg       Config
	breaker   circuitbreaker.CircuitBreaker[any]
	places    bulkhead.Bulkhead[any]
	transport *http.Transport
	recovered chan struct{}
}

// New returns a Host with cfg's limits; zero values take the defaults.
func New(cfg Config) *Host {
	cfg.Timeout = orDefault(cfg.Timeout, 5*time.Second)
	cfg.AtOnce = orDefault(cfg.AtOnce, 16)
	cfg.Wait = orDefault(cfg.Wait, cfg.Timeout)
	cfg.Failures = orDefault(cfg.Failures, 5)
	cfg.Pause = orDefault(cfg.Pause, time.Second)
	h := &Host{
		cfg: cfg, places: bulkhead.New[any](cfg.AtOnce), transport: newTransport(cfg),
		recovered: make(chan struct{}, 1),
	}
	h.breaker = circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(cfg.Failures).
		WithSuccessThreshold(1).
		WithDelay(cfg.Pause).
		OnClose(func(circuitbreaker.StateChangedEvent) {
			select {
			case h.recovered <- struct{}{}:
			default: // nobody has taken note of the last time
			}
		}).
		Build()
	return h
}

// Do runs call under the host's limits. An error that call does not classify
// itself, a time-out and a refusal by the limits are all KindUnavailable. A ctx
// that holds a database connection is refused with ErrHoldsResource.
func (h *Host) Do(ctx context.Context, op string, call func(context.Context) error) error {
	return h.DoWithin(ctx, op, h.cfg.Timeout, call)
}

// DoWithin is Do for a call that may take longer than others.
func (h *Host) DoWithin(ctx context.Context, op string, timeout time.Duration, call func(context.Context) error) error {
	if err := shop.Free(ctx); err != nil {
		return fmt.Errorf("%s %s: %w", h.cfg.Name, op, err)
	}
	start := time.Now()
	err := h.limited(ctx, op, timeout, call)
	if err != nil && !classified(err) {
		err = shop.Unavailable(fmt.Errorf("%s %s: %w", h.cfg.Name, op, err))
	}
	if h.cfg.Observe != nil {
		h.cfg.Observe(h.cfg.Name, op, time.Since(start), err)
	}
	return err
}

// limited makes the call unless the limits forbid it. What they forbid says nothing
// about the host, so the breaker learns of calls alone.
func (h *Host) limited(ctx context.Context, op string, timeout time.Duration, call func(context.Context) error) error {
	if h.breaker.RemainingDelay() > 0 {
		return circuitbreaker.ErrOpen // nobody waits for a place to hear that
	}
	if err := h.places.AcquirePermitWithMaxWait(ctx, h.cfg.Wait); err != nil {
		return fmt.Errorf("no place among the calls at once: %w", err)
	}
	defer h.places.ReleasePermit()
	if !h.breaker.TryAcquirePermit() {
		return circuitbreaker.ErrOpen
	}
	trial := h.breaker.IsHalfOpen()
	said := nothing // should call panic
	defer func() { h.learn(said, trial) }()
	err := h.attempt(ctx, op, timeout, call)
	said = verdict(ctx, err)
	return err
}

// word is what a call says about the host.
type word int

const (
	nothing word = iota // its caller gave up
	answers             // whatever the answer is
	silent              // or not to be reached, or unwell
)

func verdict(ctx context.Context, err error) word {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return nothing
	case err != nil && shop.KindOf(err) == shop.KindUnavailable:
		return silent
	default:
		return answers
	}
}

// learn tells the breaker. A trial of a host that was away must end: without an answer
// the host is taken to be away still.
func (h *Host) learn(said word, trial bool) {
	switch {
	case said == answers:
		h.breaker.RecordSuccess()
	case said == silent:
		h.breaker.RecordFailure()
	case trial && h.breaker.IsHalfOpen():
		h.breaker.Open()
	}
}

func (h *Host) attempt(ctx context.Context, op string, timeout time.Duration, call func(context.Context) error) error {
	limit := fmt.Errorf("%s %s: no answer in %s", h.cfg.Name, op, timeout)
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, limit)
	defer cancel()
	err := call(bounded)
	if err != nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		h.transport.CloseIdleConnections() // they may lead nowhere either: the next call makes a new one
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err() // a caller who gives up says nothing about the host
	case classified(err):
		return err
	}
	if bounded.Err() != nil {
		err = context.Cause(bounded)
	}
	return shop.Unavailable(err)
}

// Open says whether calls are refused because the host has failed too often: all of
// them, or all but the one that tries whether it is back.
func (h *Host) Open() bool { return !h.breaker.IsClosed() }

// Recovered tells one listener that calls are let through again after they were refused.
func (h *Host) Recovered() <-chan struct{} { return h.recovered }

func classified(err error) bool {
	_, ok := errors.AsType[*shop.Error](err)
	return ok
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
