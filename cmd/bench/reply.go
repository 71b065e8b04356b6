package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// replyRate is how many customers press a second.
const replyRate = 200

// reply measures from a press to the screen that answers it, at a Bot API that takes
// every call at once.
func (b *bench) reply(ctx context.Context) error {
	var f figures
	for range b.rounds {
		b.telegram.forget()
		err := b.on(ctx, live, func(addr string) error {
			o, err := b.replies(ctx, ctx, addr, pressing{rate: replyRate, warm: b.warm, lasts: 2 * b.round})
			f.add(o)
			return err
		})
		if err != nil {
			return err
		}
	}
	b.report.add(table{
		Title: fmt.Sprintf("press to answer, %d/s", replyRate), Columns: []string{"answers/s", "p50 ms", "p99 ms"},
		Rows: []row{{"live", []float64{median(f.rate), median(f.p50), median(f.p99)}}},
	})
	return nil
}

// pressing says how many customers press, a second and for how long.
type pressing struct {
	first       int64 // the number of the first press
	rate        int
	warm, lasts time.Duration // the times of the first do not count
}

// replies has each press come from another person, and waits for every answer. No more
// are sent once enough ends.
func (b *bench) replies(ctx, enough context.Context, addr string, p pressing) (outcome, error) {
	due := make(chan time.Time, 1<<16)
	l := &load{addr: addr, conns: max(4, p.rate/4), requests: presses}
	l.next.Store(p.first)
	first := time.Now().Add(10 * time.Millisecond)
	go metronome(enough, first, p.rate, p.warm+p.lasts, due)
	posted := make([]time.Time, int((p.warm+p.lasts).Seconds()*float64(p.rate))+1)
	err := l.drive(ctx, func(_ context.Context, w *wire) error {
		for at := range due {
			n := l.next.Add(1) - 1
			posted[n-p.first] = at
			if err := l.post(w, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return outcome{}, err
	}
	var times []time.Duration
	for i := range l.next.Load() - p.first {
		chat := firstPerson + (p.first+i)%people
		err := until(ctx, func() error {
			if b.telegram.seen(chat).IsZero() {
				return fmt.Errorf("press %d is not answered", i)
			}
			return nil
		})
		if err != nil {
			return outcome{}, err
		}
		if posted[i].Sub(first) >= p.warm {
			times = append(times, b.telegram.seen(chat).Sub(posted[i]))
		}
	}
	slices.Sort(times)
	return outcome{rate: float64(len(times)) / p.lasts.Seconds(), times: times}, nil
}
