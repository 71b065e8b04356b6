package outbound_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/outbound"
	"sallyport/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestACallThatHangsEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "slowpoke", Timeout: 20 * time.Millisecond})
	if err := h.Do(t.Context(), "ask", hang); shop.KindOf(err) != shop.KindUnavailable { // without a limit it would hang for ever
		t.Error(err)
	}
}

func TestNoCallWhileHoldingAConnection(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host"})
	called := false
	err := h.Do(shop.Hold(t.Context(), "a connection"), "ask", func(context.Context) error { called = true; return nil })
	if !errors.Is(err, shop.ErrHoldsResource) || called {
		t.Errorf("called: %v, %v", called, err)
	}
}

func TestBreakerOpensOnAFailingHostAndClosesAgain(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host", Failures: 3, Pause: 30 * time.Millisecond})
	calls := 0
	fail := func(context.Context) error { calls++; return errors.New("connection refused") }
	for range 10 {
		if err := h.Do(t.Context(), "ask", fail); shop.KindOf(err) != shop.KindUnavailable {
			t.Fatal(err)
		}
	}
	if calls != 3 || !h.Open() || len(h.Recovered()) != 0 {
		t.Errorf("%d calls, open: %v, told %d times that it is back", calls, h.Open(), len(h.Recovered()))
	}
	deadline := time.Now().Add(time.Minute)
	for h.Do(t.Context(), "ask", func(context.Context) error { return nil }) != nil {
		if time.Now().After(deadline) {
			t.Fatal("never tried again")
		}
		if sleep(t.Context(), 5*time.Millisecond) != nil {
			return
		}
	}
	if h.Open() || len(h.Recovered()) != 1 {
		t.Errorf("after a success, open: %v, told %d times that it is back", h.Open(), len(h.Recovered()))
	}
}

func TestBreakerIsOpenWhileItTriesTheHost(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host", Failures: 1, Pause: time.Millisecond})
	_ = h.Do(t.Context(), "ask", func(context.Context) error { return errors.New("connection refused") })
	tried := false
	for !tried && t.Context().Err() == nil {
		_ = h.Do(t.Context(), "ask", func(context.Context) error {
			tried = true
			if !h.Open() {
				t.Error("not open during the first call after the pause")
			}
			return nil
		})
	}
	if h.Open() {
		t.Error("still open after a success")
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host", Failures: 2})
	refusal := &shop.Error{Kind: shop.KindInternal, Key: "refused"}
	for range 10 {
		if err := h.Do(t.Context(), "ask", func(context.Context) error { return refusal }); !errors.Is(err, refusal) {
			t.Fatal(err)
		}
	}
	if h.Open() {
		t.Error("a host that answers is not down")
	}
}

func TestAtMostSoManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host", AtOnce: 2, Wait: 10 * time.Millisecond, Timeout: time.Minute, Failures: 100})
	release := make(chan struct{})
	var entered, done sync.WaitGroup
	entered.Add(2)
	for range 2 {
		done.Go(func() {
			err := h.Do(t.Context(), "ask", func(context.Context) error { entered.Done(); <-release; return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	entered.Wait()
	if err := h.Do(t.Context(), "ask", func(context.Context) error { return nil }); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("a third call was let in: %v", err)
	}
	close(release)
	done.Wait()
}

func TestEveryCallIsObserved(t *testing.T) {
	t.Parallel()
	var seen []string
	h := outbound.New(outbound.Config{Name: "host", Observe: func(host, op string, _ time.Duration, err error) {
		seen = append(seen, host+" "+op+" "+shop.KindOf(err).String())
	}})
	_ = h.Do(t.Context(), "good", func(context.Context) error { return nil })
	_ = h.Do(t.Context(), "bad", func(context.Context) error { return errors.New("reset") })
	if len(seen) != 2 || seen[1] != "host bad unavailable" {
		t.Error(seen)
	}
}

// A caller who gives up says nothing about the host.
func TestACancelledCallerIsNotTheHostsFault(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host", Failures: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Do(ctx, "ask", hang); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if h.Open() {
		t.Error("the breaker opened")
	}
}

// away returns a host that has failed, and whose next call tries whether it is back.
func away(t *testing.T, atOnce uint) *outbound.Host {
	t.Helper()
	h := outbound.New(outbound.Config{
		Name: "host", Failures: 1, Pause: time.Millisecond, AtOnce: atOnce, Wait: time.Millisecond, Timeout: 5 * time.Second,
	})
	_ = h.Do(t.Context(), "ask", func(context.Context) error { return errors.New("connection refused") })
	return h
}

// tryOnce has one call made, once the breaker lets it.
func tryOnce(ctx context.Context, t *testing.T, h *outbound.Host, call func(context.Context) error) {
	t.Helper()
	for made := false; !made && t.Context().Err() == nil; {
		_ = h.Do(ctx, "ask", func(ctx context.Context) error { made = true; return call(ctx) })
	}
}

// stillAway checks that nothing has closed the breaker, and that a success does.
func stillAway(t *testing.T, h *outbound.Host) {
	t.Helper()
	if !h.Open() || len(h.Recovered()) != 0 {
		t.Errorf("open: %t, told %d times that it is back", h.Open(), len(h.Recovered()))
	}
	tryOnce(t.Context(), t, h, func(context.Context) error { return nil })
	if h.Open() || len(h.Recovered()) != 1 {
		t.Errorf("after a success, open: %t, told %d times that it is back", h.Open(), len(h.Recovered()))
	}
}

func TestACallerWhoGivesUpSaysNothingOfAHostThatWasAway(t *testing.T) {
	t.Parallel()
	h := away(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	tryOnce(ctx, t, h, func(ctx context.Context) error { cancel(); return hang(ctx) })
	stillAway(t, h)
}

func TestACallThatPanicsSaysNothingOfAHostThatWasAway(t *testing.T) {
	t.Parallel()
	h := away(t, 2)
	func() {
		defer func() { _ = recover() }()
		tryOnce(t.Context(), t, h, func(context.Context) error { panic("odd") })
	}()
	stillAway(t, h)
}

func TestAFullHouseSaysNothingOfAHostThatWasAway(t *testing.T) {
	t.Parallel()
	h := away(t, 1)
	var calls sync.WaitGroup
	begun, end := make(chan struct{}), make(chan struct{})
	calls.Go(func() {
		tryOnce(t.Context(), t, h, func(context.Context) error { close(begun); <-end; return errors.New("still refused") })
	})
	<-begun
	for range 3 {
		if err := h.Do(t.Context(), "ask", func(context.Context) error { return nil }); shop.KindOf(err) != shop.KindUnavailable {
			t.Errorf("let in: %v", err)
		}
	}
	close(end)
	calls.Wait()
	stillAway(t, h)
}

// A full house is no success that would make up for failures before it.
func TestAFullHouseDoesNotMakeUpForFailures(t *testing.T) {
	t.Parallel()
	h := outbound.New(outbound.Config{Name: "host", Failures: 3, AtOnce: 1, Wait: time.Millisecond, Pause: time.Hour, Timeout: 5 * time.Second})
	fail := func(context.Context) error { return errors.New("connection refused") }
	for range 3 {
		_ = h.Do(t.Context(), "ask", func(ctx context.Context) error {
			_ = h.Do(ctx, "ask", fail) // there is no place
			return errors.New("connection refused")
		})
	}
	if !h.Open() {
		t.Error("three failures in a row did not open it")
	}
}

func BenchmarkDo(b *testing.B) {
	h := outbound.New(outbound.Config{Name: "host"})
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Do(b.Context(), "ask", func(context.Context) error { return nil })
	}
}
