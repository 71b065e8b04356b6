package telegram

import (
	"testing"
	"time"
)

func TestBackoffDoublesAndThenStaysRandom(t *testing.T) {
	t.Parallel()
	u := &update{}
	for i, want := range []time.Duration{0, 2, 4, 8, 16, 32} {
		if got := u.backoff(0); got != want*time.Second {
			t.Errorf("retry %d waits %s, want %ds", i+1, got, want)
		}
	}
	for range 20 {
		if got := u.backoff(0); got < time.Minute || got >= 2*time.Minute {
			t.Errorf("a later retry waits %s, want one to two minutes", got)
		}
	}
	if got := u.backoff(5 * time.Second); got != 5*time.Second {
		t.Errorf("asked to wait 5s, it waits %s", got)
	}
}
