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
// every call at once: at a rate that is nobody's limit, and as fast as it goes.
func (b *bench) reply(ctx context.Context) error {
	t := table{Title: "press to answer", Columns: []string{"answers/s", "p50 ms", "p99 ms"}}
	for _, way := range []struct {
		name    string
		measure func(addr string) (outcome, error)
	}{
		{fmt.Sprintf("%d/s", replyRate), func(addr string) (outcome, error) {
			return b.replies(ctx, ctx, addr, pressing{rate: replyRate, warm: b.warm, lasts: 2 * b.round})
		}},
		{"saturation", func(addr string) (outcome, error) { return b.saturatedReplies(ctx, addr) }},
	} {
		var f figures
		for range b.rounds {
			b.telegram.forget()
			err := b.on(ctx, live, func(addr string) error {
				o, err := way.measure(addr)
				f.add(o)
				return err
			})
			if err != nil {
				return err
			}
		}
		t.Rows = append(t.Rows, row{way.name, []float64{median(f.rate), median(f.p50), median(f.p99)}})
	}
	b.report.add(t)
	return nil
}

// saturatedReplies has as many press as there are connections, each again when the last
// press is answered, and each time as another person.
func (b *bench) saturatedReplies(ctx context.Context, addr string) (outcome, error) {
	l := &load{addr: addr, conns: steadyConns, requests: presses}
	span := newSpan(b.warm, 2*b.round, b.least)
	all, err := l.collect(ctx, func(ctx context.Context, w *wire) (times []time.Duration, err error) {
		for sent := time.Now(); span.open(sent); sent = time.Now() {
			n := l.next.Add(1) - 1
			shown := b.telegram.next(firstPerson + n%people)
			if err := l.insist(ctx, w, n); err != nil {
				return nil, err
			}
			select {
			case at := <-shown:
				if span.counts(sent, at) {
					times = append(times, at.Sub(sent))
				}
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return times, nil
	})
	if err != nil {
		return outcome{}, err
	}
	return span.outcome(all, l.refused.Load())
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
	err := l.drive(ctx, func(ctx context.Context, w *wire) error {
		for at := range due {
			n := l.next.Add(1) - 1
			posted[n-p.first] = at
			if err := l.insist(ctx, w, n); err != nil {
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
