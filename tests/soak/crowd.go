package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// The load: browsers look around, and buyers come one after the other.
const (
	browsers    = 50
	browseEvery = 7 * time.Second // each of them
	buyerEvery  = 2 * time.Second
	// Of so many buyers one is new, buys twice at once, leaves without paying, pays in Stars.
	oneIsNew    = 2
	oneRenews   = 4
	oneLeaves   = 8
	onePaysStar = 5
	// answerLimit is when a browser gives up on an answer.
	answerLimit = time.Minute
	// Ids of people.
	firstBrowser = 1_000
	firstBuyer   = 100_000
	// enoughWrong bounds how many complaints are kept.
	enoughWrong = 20
)

// reply is how long a browser waited for one answer.
type reply struct {
	at   time.Duration // of the run
	took time.Duration
}

// crowd are the people of the load.
type crowd struct {
	world *sandbox.World
	began time.Time

	mu      sync.Mutex
	replies []reply
	came    int64
	gone    []*buyer // who have bought, the longest ago first
	presses int
	wrong   []string
}

func (c *crowd) person(id int64) *sandbox.Person {
	return c.world.Person(telegram.User{ID: id, FirstName: fmt.Sprint("Person", id), LanguageCode: "en"})
}

// run loads the shop until ctx ends; who is about to buy then, finishes, unless life ends.
func (c *crowd) run(ctx, life context.Context) {
	var people sync.WaitGroup
	defer people.Wait()
	for n := range int64(browsers) {
		people.Go(func() { c.browse(ctx, n) })
	}
	tick := time.NewTicker(buyerEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		people.Go(func() { c.come(life, n) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// complain keeps what went wrong.
func (c *crowd) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) < enoughWrong {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// browse has one person press a button at their pace until ctx ends.
func (c *crowd) browse(ctx context.Context, n int64) {
	select { // so that not all press at once
	case <-time.After(browseEvery * time.Duration(n) / browsers):
	case <-ctx.Done():
		return
	}
	b := &browser{id: firstBrowser + n, person: c.person(firstBrowser + n)}
	tick := time.NewTicker(browseEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		if err := b.look(ctx); err == nil {
			c.mu.Lock()
			c.replies = append(c.replies, reply{at: began.Sub(c.began), took: time.Since(began)})
			c.presses++
			c.mu.Unlock()
		} else if ctx.Err() == nil {
			c.complain("browser %d: %v", b.id, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// browser is one who looks around.
type browser struct {
	id     int64
	person *sandbox.Person
	step   int
}

// look presses the next button and waits for what it shows.
func (b *browser) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	b.step++
	round := [][2]string{{"Profile", "Profile"}, {"Menu", "Fast and private"}, {"How to connect", "How to connect"}, {"Menu", "Fast and private"}}
	next := round[b.step%len(round)]
	_, err := b.person.Press(next[0])
	switch {
	case b.step == 1:
		next[1], err = "Choose your language", b.person.Write("/start")
	case b.step == 2: //nolint:mnd // the second
		next[1] = "Fast and private"
		_, err = b.person.Press("English")
	case errors.Is(err, telegram.ErrNoButton):
		b.step, next[1], err = 3, "Fast and private", b.person.Write("/start")
	}
	if err != nil {
		return err
	}
	_, err = b.person.See(ctx, next[1])
	return err
}

// come is the nth visit of somebody who buys.
func (c *crowd) come(ctx context.Context, n int) {
	b := c.next(n)
	b.stars = n%onePaysStar == 0
	leaves := n%oneLeaves == oneLeaves/2-1
	times := 1
	if n%oneRenews == 1 {
		times++
	}
	for range times {
		if err := b.visit(ctx, leaves); err != nil {
			c.complain("customer %d buys: %v", b.id, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.presses += b.presses
	b.presses = 0
	if !leaves { // who leaves without paying does not come back: their order runs out
		c.gone = append(c.gone, b)
	}
}

// next returns a new buyer, or the one who has been away the longest.
func (c *crowd) next(n int) *buyer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n%oneIsNew == 0 || len(c.gone) == 0 {
		c.came++
		id := firstBuyer + c.came
		return &buyer{id: id, person: c.person(id), world: c.world}
	}
	b := c.gone[0]
	c.gone = c.gone[1:]
	return b
}
