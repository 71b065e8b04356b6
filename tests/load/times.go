package load

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Times are measured ones.
type Times []time.Duration

// At returns the time that the given part of all do not exceed, 0 of none.
func (t Times) At(part float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)]
}

// P50 is the time that half of all do not exceed.
func (t Times) P50() time.Duration { return t.At(0.5) }

// P99 is the time that 99 of 100 do not exceed.
func (t Times) P99() time.Duration { return t.At(0.99) }

// Max is the longest, 0 of none.
func (t Times) Max() time.Duration { return t.At(1) }

// Over counts those above a limit.
func (t Times) Over(limit time.Duration) (n int) {
	for _, one := range t {
		if one > limit {
			n++
		}
	}
	return n
}

// Beyond stands for a time that is longer than can be told.
const Beyond = time.Duration(math.MaxInt64)

// Brief writes a time to two or three digits.
func Brief(d time.Duration) string {
	switch {
	case d == Beyond:
		return "more"
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
}
