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
	// orderPatience is how long they try to get to the pay page before they begin anew.
	orderPatience = time.Minute
)

// The ways to pay.
const (
	crypto = "CryptoBot"
	stars  = "Telegram Stars"
)

// wish is what somebody buys.
type wish struct{ plan, period, way string }

func draw(random *rand.Rand, d deed) wish {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	w := wish{plan: pick("Basic", "Plus"), period: pick("30 days", "90 days", "180 days", "1 year"), way: crypto}
	if w.period == "1 year" {
		w.period = "365 days"
	}
	if d == buyStars || d == renew && random.IntN(2) == 0 {
		w.way = stars
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

// shown is the text of the newest message that the bot shows.
func shown(chat telegram.Chat) string {
	for _, m := range slices.Backward(chat.Messages) {
		if m.FromBot && !m.Deleted {
			return m.Text
		}
	}
	return ""
}

// await waits until the chat is as wanted.
func (p *person) await(ctx context.Context, wanted func(telegram.Chat) bool) error {
	for seen := int64(-1); ; {
		chat, err := p.world.Telegram.Wait(ctx, p.id, seen)
		if err != nil {
			return fmt.Errorf("the newest message is %q: %w", shown(chat), err)
		}
		if wanted(chat) {
			return nil
		}
		seen = chat.Version
	}
}

// until acts, again and again, until the newest message shows the text.
func (p *person) until(ctx context.Context, text string, act func() error) error {
	shows := func(chat telegram.Chat) bool { return strings.Contains(shown(chat), text) }
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
func (p *person) orders(ctx context.Context, w wish) (address string, err error) {
	if err := p.greets(ctx); err != nil {
		return "", err
	}
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, orderPatience)
		address, err = p.walks(try, w)
		cancel()
		if err == nil {
			return address, nil
		}
	}
	return "", err
}

func (p *person) walks(ctx context.Context, w wish) (string, error) {
	for _, step := range []struct {
		see string
		act func() error
	}{
		{"Choose a plan", p.writes("/buy")},
		{"For how long?", p.presses(w.plan)},
		{"How would you like to pay?", p.presses(w.period)},
		{"Press the button and pay", func() error {
			if _, err := p.Press(w.way); err == nil {
				return nil
			}
			return p.presses("Refresh")()
		}},
	} {
		if err := p.until(ctx, step.see, step.act); err != nil {
			return "", err
		}
	}
	pressed, err := p.Press("Pay")
	if err == nil && strings.HasPrefix(pressed.URL, telegram.LinkPrefix) != (w.way == stars) {
		err = fmt.Errorf("the button leads to %q", pressed.URL)
	}
	return pressed.URL, err
}

// buys orders and pays, anew if the order cannot be paid any more, and waits for the key.
func (p *person) buys(ctx context.Context, w wish) error {
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
func (p *person) settles(w wish, address string) error {
	if w.way == stars {
		return p.PayStars(address)
	}
	_, err := p.Pay(address)
	return err
}

// buysTwo orders one thing, then another, which cancels the first, and pays both all the same.
func (p *person) buysTwo(ctx context.Context, random *rand.Rand) error {
	first, err := p.orders(ctx, wish{"Basic", "30 days", crypto})
	if err != nil {
		return err
	}
	second, err := p.orders(ctx, wish{"Plus", "90 days", crypto})
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

// receives waits for a message after the first few that has the key, or says that its
// time has run out meanwhile.
func (p *person) receives(ctx context.Context, before int) error {
	return p.await(ctx, func(chat telegram.Chat) bool {
		return slices.ContainsFunc(chat.Messages[min(before, len(chat.Messages)):], func(m telegram.Message) bool {
			return m.FromBot && (strings.Contains(m.Text, "vless://") || strings.Contains(m.Text, books.Over))
		})
	})
}
