package fault_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sallyport/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func set(t *testing.T, s *fault.Switch, mode fault.Mode, latency, length time.Duration) {
	t.Helper()
	if err := s.Set(mode, latency, length); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition, not for a time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

func TestFaultEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s fault.Switch
		if _, on := s.Current(); on {
			t.Fatal("a fresh switch has a fault")
		}
		set(t, &s, fault.Slow, time.Second, time.Minute)
		<-time.After(time.Minute - 1)
		got, on := s.Current()
		if !on || got.Mode != fault.Slow || got.Latency != time.Second || time.Until(got.Until) != 1 {
			t.Errorf("got %+v %v", got, on)
		}
		<-time.After(1)
		if got, on := s.Current(); on || got != (fault.Fault{}) {
			t.Errorf("got %+v %v", got, on)
		}
	})
}

func TestFaultWithoutEndIsCleared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s fault.Switch
		set(t, &s, fault.Down, 0, 0)
		<-time.After(1000 * time.Hour)
		if _, on := s.Current(); !on {
			t.Error("it ended by itself")
		}
		s.Clear()
		if _, on := s.Current(); on {
			t.Error("it is still there")
		}
		s.Clear()
	})
}

func TestUnknownModeChangesNothing(t *testing.T) {
	t.Parallel()
	var s fault.Switch
	set(t, &s, fault.Hung, 0, time.Hour)
	if err := s.Set("sad", 0, time.Hour); !errors.Is(err, fault.ErrMode) {
		t.Errorf("got %v", err)
	}
	if got, on := s.Current(); !on || got.Mode != fault.Hung {
		t.Errorf("got %+v %v", got, on)
	}
}
