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
			o, err := b.replies(ctx, addr)
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

// replies has each press come from another person, and waits for every answer.
func (b *bench) replies(ctx context.Context, addr string) (outcome, error) {
	due := make(chan time.Time, 1<<16)
	lasts := b.warm + 2*b.round
	l := &load{addr: addr, conns: steadyConns, requests: presses}
	first := time.Now().Add(10 * time.Millisecond)
	go metronome(first, replyRate, lasts, due)
	posted := make([]time.Time, int(lasts.Seconds()*replyRate)+1)
	err := l.drive(ctx, func(_ context.Context, w *wire) error {
		for at := range due {
			n := l.next.Add(1) - 1
			posted[n] = at
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
	for n := range l.next.Load() {
		err := until(ctx, func() error {
			if b.telegram.seen(firstPerson + n%people).IsZero() {
				return fmt.Errorf("press %d is not answered", n)
			}
			return nil
		})
		if err != nil {
			return outcome{}, err
		}
		if posted[n].Sub(first) >= b.warm {
			times = append(times, b.telegram.seen(firstPerson+n%people).Sub(posted[n]))
		}
	}
	slices.Sort(times)
	return outcome{rate: float64(len(times)) / (2 * b.round).Seconds(), times: times}, nil
}
