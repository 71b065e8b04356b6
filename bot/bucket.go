package bot

import "time"

// bucket holds what may be spent, whole or in parts: it fills at a steady rate up to a
// brim, and can owe. A limiter of x/time has whole tokens only, of which several
// processes could not have their parts.
type bucket struct {
	rate, brim float64 // a second; at once
	left       float64
	at         time.Time // when that was so
}

// share sets how much comes in a second, and how much can be spent at once: as much,
// but always one whole.
func (b *bucket) share(rate float64, now time.Time) {
	b.fill(now)
	b.rate, b.brim = rate, max(rate, 1)
	b.left = min(b.left, b.brim)
}

// fill adds what has come since the last time.
func (b *bucket) fill(now time.Time) {
	b.left = min(b.brim, b.left+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// take takes one if it is there.
func (b *bucket) take(now time.Time) bool {
	b.fill(now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// full returns a bucket of that rate filled to the brim.
func full(rate float64, now time.Time) bucket {
	return bucket{rate: rate, brim: max(rate, 1), left: max(rate, 1), at: now}
}
