package bot

import (
	"testing"
	"time"
)

// However many take their parts, together they get what one alone would: no part of it is
// lost by rounding, and more is lent than there is only so far as each can send one.
func TestPartsAddUpToTheWhole(t *testing.T) {
	t.Parallel()
	const seconds = 60
	for _, processes := range []int{1, 2, 3, 7, 9, 20, 26, 27, 100} {
		now := time.Now()
		parts := make([]bucket, processes)
		for i := range parts {
			parts[i] = full(DefaultRate, now)
			parts[i].share(DefaultRate/float64(processes), now)
		}
		taken := 0
		for range seconds * 1000 {
			now = now.Add(time.Millisecond)
			for i := range parts {
				for parts[i].take(now) {
					taken++
				}
			}
		}
		atOnce := max(DefaultRate, processes)
		if least, most := DefaultRate*seconds, DefaultRate*seconds+atOnce; taken < least || taken > most {
			t.Errorf("%d processes: %d in a minute, want %d to %d", processes, taken, least, most)
		}
	}
}

func TestWhatIsOwedComesFirst(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := full(2, now)
	b.left = -1
	for after, want := range map[time.Duration]bool{900 * time.Millisecond: false, 1100 * time.Millisecond: true} {
		at := b
		if at.take(now.Add(after)) != want {
			t.Errorf("after %s: not %t", after, want)
		}
	}
}
