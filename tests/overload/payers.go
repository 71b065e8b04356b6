package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/tests/load"
)

const (
	firstPayer    = 10_000
	firstNewcomer = 1_000_000
	// greetings is how many people are brought to the pay page at once.
	greetings = 16
	// keyLimit is when a key that does not come is given up.
	keyLimit = time.Minute
)

// payers are customers who have an invoice and have not paid it yet.
type payers struct {
	all  []*load.Purchase
	next int
}

// invite brings so many customers to their invoice.
func (s *scene) invite(ctx context.Context, n int) (*payers, error) {
	p := &payers{}
	var g errgroup.Group
	g.SetLimit(greetings)
	for i := range int64(n) {
		person := load.Person(s.world, firstPayer+i)
		b := load.NewPurchase(s.world, person, firstPayer+i)
		p.all = append(p.all, b)
		g.Go(func() error {
			if err := load.Choose(ctx, person); err != nil {
				return err
			}
			return b.Order(ctx)
		})
	}
	return p, g.Wait()
}

// paid is what some payers saw.
type paid struct {
	settled, key load.Times
	late         []string // who has no key
}

// pay has so many of them pay, one after another at a pace that waits for nobody, and
// waits for their keys. It ends early when ctx does, with those that began.
func (p *payers) pay(ctx context.Context, n int, perSecond float64) (r paid) {
	var mu sync.Mutex
	var under sync.WaitGroup
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for ; n > 0 && p.next < len(p.all); n-- {
		select {
		case <-tick.C:
		case <-ctx.Done():
			n = 0
			continue
		}
		b := p.all[p.next]
		p.next++
		under.Go(func() {
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyLimit)
			defer cancel()
			err := b.Pay(limit)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.late = append(r.late, fmt.Sprintf("customer %d has no key after %s", b.Buyer(), keyLimit))
				return
			}
			settled, key := b.Took()
			r.settled, r.key = append(r.settled, settled), append(r.key, key)
		})
	}
	under.Wait()
	return r
}
