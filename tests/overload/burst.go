package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/tests/load"
)

// bursts says how many come in one instant, and how often.
type bursts struct{ people, tries int }

// burstBar is the promise: all of a thousand have their answer.
const burstBar = 5 * time.Second

// burst has people press /start in one instant, again and again.
func burst(ctx context.Context, o options, b bursts) (r result, err error) {
	s, err := open(ctx, o, stage{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	var took load.Times
	for try := range b.tries {
		one, err := s.instant(ctx, firstNewcomer+int64(try*b.people), b.people)
		if err != nil {
			return r, err
		}
		took = append(took, one)
	}
	r.say("%d at once, %d times: all answered within %s (p50), %s (the slowest)", b.people, b.tries, load.Brief(took.P50()), load.Brief(took.Max()))
	r.judgeTime(fmt.Sprintf("%d newcomers in one instant are all answered within %s, each time", b.people, burstBar),
		load.Brief(took.Max()), took.Over(burstBar) == 0)
	return r, nil
}

// instant returns how long it took until the last had their answer.
func (s *scene) instant(ctx context.Context, first int64, people int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var g errgroup.Group
	began := time.Now()
	for n := range int64(people) {
		p := load.Person(s.world, first+n)
		g.Go(func() error {
			if err := p.Write("/start"); err != nil {
				return err
			}
			_, err := p.See(ctx, "Choose your language")
			return err
		})
	}
	err := g.Wait()
	return time.Since(began), err
}
