package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/tests/load"
)

// torrent says how much one customer writes, and what the others do meanwhile.
type torrent struct {
	messages int
	others   int
	rounds   int // in which each of the others writes once
}

const (
	flooder    = 7
	firstOther = 5_000
	// roundLasts is how long a round of the others takes.
	roundLasts = 2 * time.Second
	// pressBar is what a reply may take, whatever the calm was.
	pressBar = 50 * time.Millisecond
)

// flood has one customer write far too much.
func flood(ctx context.Context, o options, t torrent) (r result, err error) {
	s, err := open(ctx, o, stage{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	var g errgroup.Group
	g.SetLimit(greetings)
	g.Go(func() error { return load.Greet(ctx, load.Person(s.world, flooder)) })
	for n := range int64(t.others) {
		g.Go(func() error { return load.Greet(ctx, load.Person(s.world, firstOther+n)) })
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	calm, err := s.chatter(ctx, t)
	if err != nil {
		return r, err
	}
	var flooding errgroup.Group
	flooding.Go(func() error {
		p := load.Person(s.world, flooder)
		for range t.messages {
			if err := p.Write("/menu"); err != nil {
				return err
			}
		}
		return nil
	})
	busy, err := s.chatter(ctx, t)
	if err := errors.Join(err, flooding.Wait()); err != nil {
		return r, err
	}
	return r, s.tellFlood(ctx, &r, t, calm, busy)
}

// chatter has the others write, each once in a round, and returns how long their answers
// took.
func (s *scene) chatter(ctx context.Context, t torrent) (took load.Times, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var mu sync.Mutex
	var g errgroup.Group
	tick := time.NewTicker(roundLasts / time.Duration(t.others))
	defer tick.Stop()
	for n := range t.others * t.rounds {
		<-tick.C
		g.Go(func() error {
			p := load.Person(s.world, firstOther+int64(n%t.others))
			began := time.Now()
			if err := p.Write("/menu"); err != nil {
				return err
			}
			m, err := p.See(ctx, "Fast and private")
			mu.Lock()
			defer mu.Unlock()
			took = append(took, m.Date.Sub(began))
			return err
		})
	}
	return took, g.Wait()
}

func (s *scene) tellFlood(ctx context.Context, r *result, t torrent, calm, busy load.Times) error {
	err := until(ctx, "the end of the flood", answerLimit, func() (bool, error) {
		n, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE lane = $1 AND state = 'waiting'`, flooder)
		return n == 0 && s.world.Telegram.Pending() == 0, err
	})
	if err != nil {
		return err
	}
	taken, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE lane = $1 AND kind = 'message'`, flooder)
	if err != nil {
		return err
	}
	asked := 0
	for _, m := range s.world.Telegram.Chat(flooder).Messages {
		if m.FromBot && strings.Contains(m.Text, "You are very quick") {
			asked++
		}
	}
	if want := t.messages + 1; taken != want { // and /start
		r.lose("of the one who floods %d messages are in the inbox, want %d", taken, want)
	}
	r.say("one customer writes %d messages and is asked %d times to pause; %d others, reply p50/p99: calm %s/%s, meanwhile %s/%s",
		t.messages, asked, t.others, load.Brief(calm.P50()), load.Brief(calm.P99()), load.Brief(busy.P50()), load.Brief(busy.P99()))
	limit := max(pressBar, time.Duration(usualSpeed*float64(calm.P99())))
	r.judgeTime(fmt.Sprintf("%d messages of one customer: others' reply p99 at most 50 ms or 1.5 x calm", t.messages),
		fmt.Sprintf("%s, calm %s", load.Brief(busy.P99()), load.Brief(calm.P99())), busy.P99() <= limit)
	r.judge("who floods is asked to pause, once or twice", fmt.Sprint(asked), asked >= 1 && asked <= 2)
	return nil
}
