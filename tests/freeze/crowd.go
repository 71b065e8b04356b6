package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/tests/load"

	"golang.org/x/sync/errgroup"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// The load: so many customers press so many buttons a second, and of so many presses
// one orders and pays.
const (
	customers = 50
	perSecond = 25
	oneBuys   = 20
	// newcomers press /start in one instant.
	newcomers = 100
	// greetings are how many customers arrive at once before the load.
	greetings = 16
	// burstLimit is when a newcomer's answer is given up.
	burstLimit = 30 * time.Second
	// Ids of people.
	firstCustomer = 1_000
	firstBuyer    = 10_000
	firstNewcomer = 100_000
	// bystander is a person whom the model writes to.
	bystander = 900
)

// crowd are the people of the load.
type crowd struct {
	world    *sandbox.World
	life     context.Context //nolint:containedctx // ends with leave
	leave    func()
	people   []*customer
	buyers   []*sandbox.Person // who stand before "how would you like to pay?"
	buyerIDs []int64

	mu     sync.Mutex
	turn   int
	buys   []*load.Purchase
	bought int // in this phase
}

// newCrowd has everybody meet the bot.
func newCrowd(ctx context.Context, s *subject, o options) (*crowd, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	c := &crowd{world: s.world, life: life, leave: func() { cancel(); watchers.Wait() }}
	buyers := 0
	for _, p := range o.phases {
		length := o.fault
		if p.calm() {
			length = o.calm
		}
		buyers += int(length.Seconds()*perSecond)/oneBuys + 1
	}
	var g errgroup.Group
	g.SetLimit(greetings)
	g.Go(func() error { return load.Greet(ctx, load.Person(s.world, bystander)) })
	for n := range int64(customers) {
		p := &customer{id: firstCustomer + n, person: load.Person(s.world, firstCustomer+n)}
		c.people = append(c.people, p)
		g.Go(func() error { return load.Greet(ctx, p.person) })
	}
	for n := range int64(buyers) {
		p := load.Person(s.world, firstBuyer+n)
		c.buyers, c.buyerIDs = append(c.buyers, p), append(c.buyerIDs, firstBuyer+n)
		g.Go(func() error { return load.Choose(ctx, p) })
	}
	if err := g.Wait(); err != nil {
		cancel()
		return nil, err
	}
	for _, p := range c.people {
		watchers.Go(func() { p.watch(life, s.world) })
	}
	return c, nil
}

// begin forgets the presses so far.
func (c *crowd) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bought = 0
	for _, p := range c.people {
		p.begin()
	}
}

// press loads the shop for a time, at a pace that does not wait for answers.
func (c *crowd) press(ctx context.Context, length time.Duration) error {
	began := time.Now()
	for n := range int(length.Seconds() * perSecond) {
		due := time.NewTimer(time.Until(began.Add(time.Duration(n) * time.Second / perSecond)))
		select {
		case <-due.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.one(n); err != nil {
			return err
		}
	}
	return nil
}

// one is the nth press of a phase.
func (c *crowd) one(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n%oneBuys == oneBuys/2 && len(c.buys) < len(c.buyers) {
		b := load.NewPurchase(c.world, c.buyers[len(c.buys)], c.buyerIDs[len(c.buys)])
		c.buys = append(c.buys, b)
		c.bought++
		go func() { _ = b.Run(c.life) }() // what is owed says so
		return nil
	}
	c.turn++
	return c.people[c.turn%len(c.people)].press()
}

// owed says what the customers still wait for, nil if for nothing.
func (c *crowd) owed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.buys {
		if err := b.Owed(); err != nil {
			return err
		}
	}
	for _, p := range c.people {
		if n := p.unanswered(); n > 0 {
			return fmt.Errorf("customer %d waits for %d answers", p.id, n)
		}
	}
	return nil
}

// end returns the answers since begin.
func (c *crowd) end() (took load.Times, failed, bought int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.people {
		t, f := p.end()
		took, failed = append(took, t...), failed+f
	}
	return took, failed, c.bought
}

// purchases counts who has paid.
func (c *crowd) purchases() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.buys {
		if b.Stage() >= load.Paid {
			n++
		}
	}
	return n
}

// keyless lists who has paid and has no key.
func (c *crowd) keyless() (lost []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.buys {
		if b.Stage() == load.Paid {
			lost = append(lost, fmt.Sprintf("customer %d has paid and has no key", b.Buyer()))
		}
	}
	return lost
}

// burst has newcomers press /start in one instant, and returns when the last of them
// had an answer.
func (c *crowd) burst(ctx context.Context, try int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, burstLimit)
	defer cancel()
	var g errgroup.Group
	began := time.Now()
	for n := range int64(newcomers) {
		p := load.Person(c.world, firstNewcomer+int64(try)*newcomers+n)
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

// customer is one who looks around.
type customer struct {
	id     int64
	person *sandbox.Person

	mu     sync.Mutex
	open   []press
	took   load.Times
	failed int
}

// press is one that has no answer yet.
type press struct {
	query string
	want  string // what the screen shows then
	at    time.Time
}

// press presses the button of the profile, or where there is none that of the menu.
func (p *customer) press() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now()
	pressed, err := p.person.Press("Profile")
	want := "Profile"
	if errors.Is(err, telegram.ErrNoButton) {
		want = "Fast and private"
		pressed, err = p.person.Press("Menu")
	}
	if err != nil {
		return err
	}
	p.open = append(p.open, press{query: pressed.QueryID, want: want, at: at})
	return nil
}

func (p *customer) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took, p.failed = nil, 0
}

// end gives up what has no answer yet: it is a press that failed.
func (p *customer) end() (took load.Times, failed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed = p.failed + len(p.open)
	p.open = nil
	return p.took, failed
}

func (p *customer) unanswered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// watch sees the answers come.
func (p *customer) watch(ctx context.Context, w *sandbox.World) {
	for seen := int64(-1); ; {
		chat, err := w.Telegram.Wait(ctx, p.id, seen)
		if err != nil {
			return
		}
		seen = chat.Version
		p.see(chat)
	}
}

// see takes the answers of a chat: a press is answered when it no longer spins and
// its screen is there.
func (p *customer) see(chat telegram.Chat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, changed := screen(chat)
	p.open = slices.DeleteFunc(p.open, func(one press) bool {
		i := slices.IndexFunc(chat.Answers, func(a telegram.Answer) bool { return a.QueryID == one.query })
		if i < 0 {
			return false
		}
		answer, at := chat.Answers[i], chat.Answers[i].At
		if answer.Text != "" {
			p.failed++
		} else if !strings.Contains(text, one.want) && changed.Before(one.at) {
			return false
		}
		if changed.After(at) {
			at = changed
		}
		p.took = append(p.took, at.Sub(one.at))
		return true
	})
}

// screen is the newest text of the bot, and when it became that.
func screen(chat telegram.Chat) (text string, changed time.Time) {
	for _, m := range slices.Backward(chat.Messages) {
		if !m.FromBot || m.Deleted {
			continue
		}
		if m.EditDate != nil {
			return m.Text, *m.EditDate
		}
		return m.Text, m.Date
	}
	return "", time.Time{}
}
