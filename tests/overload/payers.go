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
	// greetings is how many people are brought to where they wait at once.
	greetings = 16
	// visitLimit is when a visit that does not come to its end is given up.
	visitLimit = time.Minute
)

// others are customers who were there before: some have an invoice and have not paid it
// yet, in CryptoBot or in Stars, and some have chosen and not ordered yet.
type others struct {
	payers, stars, choosers []*load.Purchase
}

// invite brings so many customers of each kind to where they wait.
func (s *scene) invite(ctx context.Context, payers, stars, choosers int) (*others, error) {
	o := &others{}
	var g errgroup.Group
	g.SetLimit(greetings)
	for i := range payers + stars + choosers {
		id := int64(firstPayer + i)
		person := load.Person(s.world, id)
		b := load.NewPurchase(s.world, person, id)
		switch {
		case i < payers:
			o.payers = append(o.payers, b)
		case i < payers+stars:
			o.stars = append(o.stars, b.InStars())
		default:
			o.choosers = append(o.choosers, b)
		}
		g.Go(func() error {
			if err := load.Choose(ctx, person); err != nil || i >= payers+stars {
				return err
			}
			return b.Order(ctx)
		})
	}
	return o, g.Wait()
}

// some takes the first so many of each kind out.
func (o *others) some(payers, stars, choosers int) *others {
	taken := &others{payers: o.payers[:payers], stars: o.stars[:stars], choosers: o.choosers[:choosers]}
	o.payers, o.stars, o.choosers = o.payers[payers:], o.stars[stars:], o.choosers[choosers:]
	return taken
}

// visits are what others saw.
type visits struct {
	mu       sync.Mutex
	settled  load.Times // from the payment to the callback that was taken
	key      load.Times // from the payment to the key
	stars    load.Times // the same in Stars
	checkout load.Times // from the press on how to pay to the pay page
	late     []string   // who gave up
}

// visit has them all act, each kind one after another at its pace, that waits for nobody,
// all within the time, and waits until the last of them has what they want.
func (o *others) visit(ctx context.Context, within time.Duration) *visits {
	v := &visits{}
	var kinds sync.WaitGroup
	kinds.Go(func() {
		v.each(ctx, o.payers, within, (*load.Purchase).Pay, func(b *load.Purchase, _ time.Duration) {
			settled, key := b.Took()
			v.settled, v.key = append(v.settled, settled), append(v.key, key)
		})
	})
	kinds.Go(func() {
		v.each(ctx, o.stars, within, (*load.Purchase).Pay, func(b *load.Purchase, _ time.Duration) {
			_, key := b.Took()
			v.stars = append(v.stars, key)
		})
	})
	kinds.Go(func() {
		v.each(ctx, o.choosers, within, (*load.Purchase).Order, func(_ *load.Purchase, took time.Duration) {
			v.checkout = append(v.checkout, took)
		})
	})
	kinds.Wait()
	return v
}

// each has those of one kind act.
func (v *visits) each(ctx context.Context, who []*load.Purchase, within time.Duration, act func(*load.Purchase, context.Context) error, then func(*load.Purchase, time.Duration)) {
	if len(who) == 0 {
		return
	}
	tick := time.NewTicker(within / time.Duration(len(who)))
	defer tick.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	for _, b := range who {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		under.Go(func() {
			limit, cancel := context.WithTimeout(ctx, visitLimit)
			defer cancel()
			began := time.Now()
			err := act(b, limit)
			v.mu.Lock()
			defer v.mu.Unlock()
			if err != nil {
				v.late = append(v.late, fmt.Sprintf("customer %d waited in vain: %v", b.Buyer(), err))
				return
			}
			then(b, time.Since(began))
		})
	}
}

// row describes what was seen.
func (v *visits) row(when string) string {
	line := fmt.Sprintf("%-10s", when)
	for _, one := range []struct {
		what string
		took load.Times
	}{{"callback", v.settled}, {"key", v.key}, {"key for Stars", v.stars}, {"pay page", v.checkout}} {
		line += fmt.Sprintf(" %s %s/%s of %d;", one.what, load.Brief(one.took.P50()), load.Brief(one.took.P99()), len(one.took))
	}
	return line
}
