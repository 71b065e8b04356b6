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
	// mostUnanswered is how often in a row that makes a difference.
	mostUnanswered = 4
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
		return strings.Contains(now.Text, text) && !same(now, before)
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

// orders walks to the pay page and returns its address. It goes by what the bot shows,
// however that came about: a message and a press reach the bot by ways of their own, and
// what was asked for twice comes twice.
func (p *person) orders(ctx context.Context, w wish) (address string, err error) {
	if err := p.greets(ctx); err != nil {
		return "", err
	}
	before := last(p.world.Telegram.Chat(p.id)) // what was shown before is another walk's
	act, acted, unanswered := p.writes("/buy"), telegram.Message{}, 0
	for {
		refused := act()
		wait := min(patience<<unanswered, mostPatience)
		try, cancel := context.WithTimeout(ctx, wait)
		unseen := p.await(try, func(chat telegram.Chat) bool { return !same(step(chat, before), acted) })
		cancel()
		if unseen != nil && ctx.Err() != nil {
			return "", fmt.Errorf("on the way to an order, after %q: %w", acted.Text, errors.Join(refused, unseen))
		}
		unanswered = min(unanswered+1, mostUnanswered)
		if unseen == nil {
			acted, unanswered = step(p.world.Telegram.Chat(p.id), before), 0
		}
		address, found := w.payPage(acted)
		label, leads := w.next(acted.Text)
		switch {
		case found:
			return address, nil
		case !leads, unseen != nil && (refused != nil || unanswered%2 == 0):
			act = p.writes("/buy") // anew: this leads nowhere
		case label == refresh && unanswered == 0:
			act = func() error { return nil } // it comes by itself
		default:
			act = func() error { return p.pressesIn(acted, label) }
		}
	}
}

// The texts of the walk's screens.
const (
	plans     = "Choose a plan"
	periods   = "For how long?"
	ways      = "How would you like to pay?"
	preparing = "Preparing your invoice"
	paying    = "Press the button and pay"
	refresh   = "Refresh" // the button of the one before
)

// next is the button to press in a screen of the walk; false if it leads nowhere.
func (w wish) next(text string) (label string, leads bool) {
	for shown, label := range map[string]string{plans: w.plan, periods: w.period, ways: w.way, preparing: refresh} {
		if strings.Contains(text, shown) {
			return label, true
		}
	}
	return "", false
}

// step is the newest screen of the walk that began after so many messages.
func step(chat telegram.Chat, before int) telegram.Message {
	for _, m := range slices.Backward(chat.Messages) {
		if m.ID <= before || !m.FromBot || m.Deleted {
			continue
		}
		for _, text := range []string{plans, periods, ways, preparing, paying} {
			if strings.Contains(m.Text, text) {
				return m
			}
		}
	}
	return telegram.Message{}
}

func same(a, b telegram.Message) bool { return a.ID == b.ID && a.Text == b.Text }

// last is the number of the newest message.
func last(chat telegram.Chat) int {
	if len(chat.Messages) == 0 {
		return 0
	}
	return chat.Messages[len(chat.Messages)-1].ID
}

// pressesIn presses a button of the message.
func (p *person) pressesIn(m telegram.Message, label string) error {
	for _, row := range m.Keyboard {
		for _, b := range row {
			if strings.Contains(b.Text, label) {
				_, err := p.world.Telegram.Press(p.id, m.ID, b.Data)
				return err
			}
		}
	}
	return fmt.Errorf("%w: %s", telegram.ErrNoButton, label)
}

// payPage is where a screen of the walk leads to, if it is that of the wish's order.
func (w wish) payPage(m telegram.Message) (address string, found bool) {
	if !strings.Contains(m.Text, paying) || !strings.Contains(m.Text, w.plan) || !strings.Contains(m.Text, w.period) {
		return "", false
	}
	for _, row := range m.Keyboard {
		for _, b := range row {
			if b.URL != "" && strings.HasPrefix(b.URL, telegram.LinkPrefix) == (w.way == stars) {
				return b.URL, true
			}
		}
	}
	return "", false
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
