package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/books"
	"sallyport/sandbox/telegram"
)

const (
	// patience is how long a customer waits for an answer before they press again, at
	// first; each time they wait twice as long, up to mostPatience.
	patience, mostPatience = 3 * time.Second, 24 * time.Second
)

func draw(random *rand.Rand, d deed) sandbox.Wish {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	w := sandbox.Wish{Plan: pick("Basic", "Plus"), Period: pick("30 days", "90 days", "180 days", "365 days"), Way: sandbox.Crypto}
	if d == buyStars || d == renew && random.IntN(2) == 0 {
		w.Way = sandbox.Stars
	}
	return w
}

// person is someone who presses again when nothing happens, as people do.
type person struct {
	*sandbox.Person

	world *sandbox.World
	id    int64
	busy  sync.Mutex
	known bool // has chosen a language
}

// shown is the newest message that the bot shows.
func shown(chat telegram.Chat) telegram.Message {
	for _, m := range slices.Backward(chat.Messages) {
		if m.FromBot && !m.Deleted {
			return m
		}
	}
	return telegram.Message{}
}

// await waits until the chat is as wanted.
func (p *person) await(ctx context.Context, wanted func(telegram.Chat) bool) error {
	for seen := int64(-1); ; {
		chat, err := p.world.Telegram.Wait(ctx, p.id, seen)
		if err != nil {
			return fmt.Errorf("the newest message is %q: %w", shown(chat).Text, err)
		}
		if wanted(chat) {
			return nil
		}
		seen = chat.Version
	}
}

// until acts, again and again, until the newest message shows the text: another message
// than before, or another text in it.
func (p *person) until(ctx context.Context, text string, act func() error) error {
	before := shown(p.world.Telegram.Chat(p.id))
	shows := func(chat telegram.Chat) bool {
		now := shown(chat)
		return strings.Contains(now.Text, text) && (now.ID != before.ID || now.Text != before.Text)
	}
	for wait := patience; ; wait = min(2*wait, mostPatience) {
		refused := act() // what is not there yet is there next time
		try, cancel := context.WithTimeout(ctx, wait)
		unseen := p.await(try, shows)
		cancel()
		if unseen == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("want %q: %w", text, errors.Join(refused, unseen))
		}
	}
}

func (p *person) presses(label string) func() error {
	return func() error {
		_, err := p.Press(label)
		return err
	}
}

func (p *person) writes(text string) func() error {
	return func() error { return p.Write(text) }
}

// greets brings a new customer to the menu.
func (p *person) greets(ctx context.Context) error {
	if p.known {
		return nil
	}
	if err := p.until(ctx, "Choose your language", p.writes("/start")); err != nil {
		return err
	}
	p.known = true
	return p.until(ctx, "Fast and private", p.presses("English"))
}

// looks writes and presses without waiting, then waits for an answer.
func (p *person) looks(ctx context.Context, random *rand.Rand) error {
	if err := p.greets(ctx); err != nil {
		return err
	}
	for range 1 + random.IntN(4) {
		switch random.IntN(5) {
		case 0:
			_, _ = p.Press("Menu") // a button that is not there is no fault
		case 1:
			_ = p.Write("hello")
		case 2:
			_ = p.Write("/profile")
		case 3:
			_ = p.Write("/start")
		case 4:
			_, _ = p.Press("Profile")
		}
	}
	return p.until(ctx, "Profile", p.writes("/profile"))
}

// orders walks to the pay page and returns its address.
func (p *person) orders(ctx context.Context, w sandbox.Wish) (address string, err error) {
	if err := p.greets(ctx); err != nil {
		return "", err
	}
	return p.Order(ctx, w)
}

// buys orders and pays, anew if the order cannot be paid any more, and waits for the key.
func (p *person) buys(ctx context.Context, w sandbox.Wish) error {
	for {
		address, err := p.orders(ctx, w)
		if err != nil {
			return err
		}
		before := len(p.world.Telegram.Chat(p.id).Messages)
		if err = p.settles(w, address); err == nil {
			return p.receives(ctx, before)
		}
		_, _ = p.Press("Cancel") // and anew; the button may be gone
		if !sleepUntil(ctx, time.Now().Add(patience)) {
			return fmt.Errorf("pay: %w", err)
		}
	}
}

// settles pays.
func (p *person) settles(w sandbox.Wish, address string) error {
	if w.Way == sandbox.Stars {
		return p.PayStars(address)
	}
	_, err := p.Pay(address)
	return err
}

// buysTwo orders one thing, then another, which cancels the first, and pays both all the same.
func (p *person) buysTwo(ctx context.Context, random *rand.Rand) error {
	first, err := p.orders(ctx, sandbox.Wish{Plan: "Basic", Period: "30 days", Way: sandbox.Crypto})
	if err != nil {
		return err
	}
	second, err := p.orders(ctx, sandbox.Wish{Plan: "Plus", Period: "90 days", Way: sandbox.Crypto})
	if err != nil {
		return err
	}
	if random.IntN(2) == 0 {
		first, second = second, first
	}
	before := len(p.world.Telegram.Chat(p.id).Messages)
	_, err = p.Pay(first)
	_, err2 := p.Pay(second)
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("pay both: %w", err)
	}
	return p.receives(ctx, before)
}

// longestAway is how long somebody has the bot blocked.
const longestAway = 8 * time.Second

// buysAndLeaves orders, and blocks the bot before or after they pay, comes back and waits
// for the key without a word.
func (p *person) buysAndLeaves(ctx context.Context, random *rand.Rand) error {
	for {
		address, err := p.orders(ctx, draw(random, buy))
		if err != nil {
			return err
		}
		before := len(p.world.Telegram.Chat(p.id).Messages)
		var paid error
		steps := []func() error{
			func() error { return p.world.Telegram.SetBlocked(p.id, true) },
			func() error { _, paid = p.Pay(address); return nil },
		}
		if random.IntN(2) == 0 {
			slices.Reverse(steps)
		}
		err = steps[0]()
		sleepUntil(ctx, time.Now().Add(between(random, 0, time.Second)))
		err = errors.Join(err, steps[1]())
		sleepUntil(ctx, time.Now().Add(between(random, 0, longestAway)))
		if err = errors.Join(err, p.world.Telegram.SetBlocked(p.id, false)); err != nil {
			return fmt.Errorf("leave and return: %w", err)
		}
		if paid == nil {
			return p.receives(ctx, before)
		}
		if !sleepUntil(ctx, time.Now().Add(patience)) { // the order may have run out, and they order anew
			return fmt.Errorf("pay: %w", paid)
		}
	}
}

// receives waits for a message after the first few that has the key, or says that its
// time has run out meanwhile.
func (p *person) receives(ctx context.Context, before int) error {
	return p.await(ctx, func(chat telegram.Chat) bool {
		return slices.ContainsFunc(chat.Messages[min(before, len(chat.Messages)):], func(m telegram.Message) bool {
			return m.FromBot && (strings.Contains(m.Text, "vless://") || strings.Contains(m.Text, books.Over))
		})
	})
}
