package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// atOnce bounds how many are acting.
const atOnce = 40

// late is an act that was not done in the end.
type late struct {
	act
	why error
}

// crowd are the people of the load, and those who forge.
type crowd struct {
	world  *sandbox.World
	client *http.Client
	places chan struct{}

	mu      sync.Mutex
	people  map[int64]*person
	done    map[deed]int
	under   int // way
	late    []late
	flagged map[string]bool // payments that may be flagged, because somebody played with them
	doubted map[int64]bool  // people who were told that money for their order is looked at
	posted  map[string]int  // forged callbacks, by what was answered
}

func newCrowd(w *sandbox.World) *crowd {
	return &crowd{
		world: w, client: &http.Client{Timeout: doorPatience}, places: make(chan struct{}, atOnce),
		people: make(map[int64]*person), done: make(map[deed]int), flagged: make(map[string]bool), doubted: make(map[int64]bool), posted: make(map[string]int),
	}
}

// run begins every act at its moment, and returns when all have ended: when they are
// done, or with ctx. An act that had to wait for a place until the load was over is not
// begun.
func (c *crowd) run(ctx context.Context, began time.Time, length time.Duration, acts []act) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, a := range acts {
		if !sleepUntil(ctx, began.Add(a.at)) {
			return
		}
		c.places <- struct{}{}
		if time.Since(began) > length {
			return
		}
		c.count(1)
		all.Go(func() {
			defer func() { c.count(-1); <-c.places }()
			err := c.do(ctx, a)
			c.mu.Lock()
			defer c.mu.Unlock()
			if errors.Is(err, sandbox.ErrDoubtful) {
				c.doubted[a.person] = true // and they wait: it is checked that they should
				err = nil
			}
			if err != nil {
				c.late = append(c.late, late{a, err})
				return
			}
			c.done[a.deed]++
		})
	}
}

func (c *crowd) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.under += n
}

// state says how many acts are done and under way.
func (c *crowd) state() (done, under int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.done {
		done += n
	}
	return done, c.under
}

func (c *crowd) person(id int64) *person {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, known := c.people[id]
	if !known {
		p = &person{world: c.world, id: id, Person: c.world.Person(telegram.User{
			ID: id, FirstName: fmt.Sprint("Person", id), Username: fmt.Sprint("user", id), LanguageCode: "en",
		})}
		c.people[id] = p
	}
	return p
}

// do does one act.
func (c *crowd) do(ctx context.Context, a act) error {
	random := rand.New(rand.NewPCG(a.choice, 0))
	if a.deed == duplicate {
		return c.tellAgain(random)
	}
	if a.deed == forge {
		return c.forge(ctx, random)
	}
	p := c.person(a.person)
	p.busy.Lock()
	defer p.busy.Unlock()
	switch a.deed {
	case look:
		return p.looks(ctx, random)
	case greet:
		return p.greets(ctx)
	case fickle:
		return p.buysTwo(ctx, random)
	case leave:
		return p.buysAndLeaves(ctx, random)
	case taste:
		return p.buys(ctx, sandbox.Wish{Plan: "Taster", Period: "seconds", Way: sandbox.Crypto})
	default:
		return p.buys(ctx, draw(random, a.deed))
	}
}
