package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

const (
	// patience is how long a buyer waits for an answer before they press again.
	patience = 4 * time.Second
	// walkLimit is how long they try to get to the pay page before they begin anew.
	walkLimit = 30 * time.Second
	// walks are how often they do.
	walks = 5
	// keyLimit is how long they wait for what they have paid.
	keyLimit = 3 * time.Minute
)

// buyer is one who comes to buy, and presses again when nothing happens.
type buyer struct {
	id      int64
	person  *sandbox.Person
	world   *sandbox.World
	known   bool // has chosen a language
	stars   bool // pays in Telegram Stars
	presses int
}

// visit orders and, unless the buyer leaves without, pays and waits for the key.
func (b *buyer) visit(ctx context.Context, leaves bool) error {
	var problems []error
	for range walks {
		page, err := b.order(ctx)
		if err == nil && leaves {
			return nil
		}
		if err == nil {
			err = b.pay(page)
		}
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, keyLimit)
			defer cancel()
			_, err = b.person.See(ctx, "vless://")
			return err
		}
		problems = append(problems, err) // the order may have run out meanwhile
	}
	return errors.Join(problems...)
}

// pay pays what the page asks for.
func (b *buyer) pay(page string) error {
	if !b.stars {
		_, err := b.person.Pay(page)
		return err
	}
	return b.person.PayStars(page)
}

// order walks to the pay page and returns its address.
func (b *buyer) order(ctx context.Context) (page string, err error) {
	ctx, cancel := context.WithTimeout(ctx, walkLimit)
	defer cancel()
	if err := b.greet(ctx); err != nil {
		return "", err
	}
	for _, step := range []struct {
		see string
		act func() error
	}{
		{"Choose a plan", b.writes("/buy")},
		{"For how long?", b.taps("Taster")},
		{"How would you like to pay?", b.taps(" · ")},
		{"Press the button and pay", b.asksToPay},
	} {
		if err := b.until(ctx, step.see, step.act); err != nil {
			return "", err
		}
	}
	pressed, err := b.person.Press("Pay")
	if err == nil && pressed.URL == "" {
		err = errors.New("the button to pay leads nowhere")
	}
	return pressed.URL, err
}

// greet brings a new customer to the menu.
func (b *buyer) greet(ctx context.Context) error {
	if b.known {
		return nil
	}
	if err := b.until(ctx, "Choose your language", b.writes("/start")); err != nil {
		return err
	}
	if err := b.until(ctx, "Fast and private", b.taps("English")); err != nil {
		return err
	}
	b.known = true
	return nil
}

func (b *buyer) taps(label string) func() error {
	return func() error {
		_, err := b.person.Press(label)
		return err
	}
}

func (b *buyer) writes(text string) func() error {
	return func() error { return b.person.Write(text) }
}

// asksToPay presses the button for it, or refreshes an order whose invoice is late.
func (b *buyer) asksToPay() error {
	way := "Crypto ("
	if b.stars {
		way = "Telegram Stars"
	}
	if _, err := b.person.Press(way); err == nil {
		return nil
	}
	_, err := b.person.Press("Refresh")
	return err
}

// until acts, again and again, until the newest message has the text.
func (b *buyer) until(ctx context.Context, text string, act func() error) error {
	for {
		b.presses++
		refused := act() // what is not there yet is there next time
		try, cancel := context.WithTimeout(ctx, patience)
		unseen := b.await(try, text)
		cancel()
		if unseen == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(refused, unseen)
		}
	}
}

// await waits until the newest message has the text.
func (b *buyer) await(ctx context.Context, text string) error {
	for seen := int64(-1); ; {
		chat, err := b.world.Telegram.Wait(ctx, b.id, seen)
		newest := shown(chat)
		if strings.Contains(newest, text) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("want %q, see %q: %w", text, newest, err)
		}
		seen = chat.Version
	}
}

// shown is the text of the bot's newest message.
func shown(chat telegram.Chat) string {
	for _, m := range slices.Backward(chat.Messages) {
		if m.FromBot && !m.Deleted {
			return m.Text
		}
	}
	return ""
}
