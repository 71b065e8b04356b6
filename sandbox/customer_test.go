package sandbox_test

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

// patience is how long a customer waits for an answer before they press again.
const patience = 3 * time.Second

// customer is someone who presses again when nothing happens, as people do.
type customer struct {
	*sandbox.Person
	world *sandbox.World
	id    int64
	known bool           // has chosen a language
	stars bool           // pays in Telegram Stars
	pays  func(id int64) // called right after each payment, if set
}

func newCustomer(w *sandbox.World, id int64) *customer {
	return &customer{
		Person: w.Person(telegram.User{
			ID: id, FirstName: fmt.Sprint("Customer", id), Username: fmt.Sprint("user", id), LanguageCode: "en",
		}),
		world: w, id: id,
	}
}

// shown is the newest message that the bot shows.
func (c *customer) shown(chat telegram.Chat) telegram.Message {
	for _, m := range slices.Backward(chat.Messages) {
		if m.FromBot && !m.Deleted {
			return m
		}
	}
	return telegram.Message{}
}

// await waits until the chat is as wanted.
func (c *customer) await(ctx context.Context, wanted func(telegram.Chat) bool) error {
	for seen := int64(-1); ; {
		chat, err := c.world.Telegram.Wait(ctx, c.id, seen)
		if err != nil {
			return fmt.Errorf("customer %d sees %q: %w", c.id, c.shown(chat).Text, err)
		}
		if wanted(chat) {
			return nil
		}
		seen = chat.Version
	}
}

// until acts, again and again, until the newest message shows the text: another message
// than before, or another text in it.
func (c *customer) until(ctx context.Context, text string, act func() error) error {
	before := c.shown(c.world.Telegram.Chat(c.id))
	shows := func(chat telegram.Chat) bool {
		now := c.shown(chat)
		return strings.Contains(now.Text, text) && (now.ID != before.ID || now.Text != before.Text)
	}
	for {
		refused := act() // what is not there yet is there next time
		try, cancel := context.WithTimeout(ctx, patience)
		unseen := c.await(try, shows)
		cancel()
		if unseen == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("want %q (the last press: %w): %w", text, refused, unseen)
		}
	}
}

func (c *customer) presses(label string) func() error {
	return func() error {
		_, err := c.Press(label)
		return err
	}
}

func (c *customer) writes(text string) func() error {
	return func() error { return c.Write(text) }
}

// greets brings a new customer to the menu.
func (c *customer) greets(ctx context.Context) error {
	if c.known {
		return nil
	}
	if err := c.until(ctx, "Choose your language", c.writes("/start")); err != nil {
		return err
	}
	c.known = true
	return c.until(ctx, "Fast and private", c.presses("English"))
}

// orders walks to the pay page and returns its address.
func (c *customer) orders(ctx context.Context) (string, error) { return c.ordersFor(ctx, "30 days") }

// ordersFor is orders, for a period.
func (c *customer) ordersFor(ctx context.Context, period string) (string, error) {
	if err := c.greets(ctx); err != nil {
		return "", err
	}
	way := sandbox.Crypto
	if c.stars {
		way = sandbox.Stars
	}
	return c.Order(ctx, sandbox.Wish{Plan: "Plus", Period: period, Way: way})
}

// settles pays the invoice of a pay page, or of a link, and returns how many messages
// the chat had before.
func (c *customer) settles(address string) (before int, err error) {
	before = len(c.world.Telegram.Chat(c.id).Messages)
	if c.stars {
		err = c.paysStars(address)
	} else {
		_, err = c.Pay(address)
	}
	if err != nil {
		return before, fmt.Errorf("customer %d pays %s: %w", c.id, address, err)
	}
	if c.pays != nil {
		c.pays(c.id)
	}
	return before, nil
}

// paysStars pays again when nobody says whether they may: nothing was charged then.
func (c *customer) paysStars(link string) error {
	for {
		if err := c.PayStars(link); !errors.Is(err, telegram.ErrPayTimeout) {
			return err
		}
	}
}

// receives waits for a message after the first few that has the text.
func (c *customer) receives(ctx context.Context, before int, text string) error {
	return c.await(ctx, func(chat telegram.Chat) bool {
		return slices.ContainsFunc(chat.Messages[before:], func(m telegram.Message) bool {
			return m.FromBot && strings.Contains(m.Text, text)
		})
	})
}

// buys walks from wherever the customer is to one more period of 30 days, and
// waits for the key.
func (c *customer) buys(ctx context.Context) error {
	address, err := c.orders(ctx)
	if err != nil {
		return err
	}
	before, err := c.settles(address)
	if err != nil {
		return err
	}
	return c.receives(ctx, before, "vless://")
}
