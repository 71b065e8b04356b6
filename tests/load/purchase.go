package load

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// patience is how long a buyer waits for the pay page before they press again.
const patience = 3 * time.Second

// Stage is how far a purchase is.
type Stage int32

// The stages.
const (
	Ordered Stage = iota
	Paid
	Delivered
)

// Purchase is one order of a person who stands before the choice of how to pay, from
// that press to the key in the chat.
type Purchase struct {
	world  *sandbox.World
	person *sandbox.Person
	id     int64
	stars  bool
	page   string // or link
	stage  atomic.Int32

	began, keyed time.Time // these two are there once it is Delivered
	invoice      int64
}

// NewPurchase returns the purchase of a person.
func NewPurchase(w *sandbox.World, p *sandbox.Person, id int64) *Purchase {
	return &Purchase{world: w, person: p, id: id}
}

// InStars has it paid in Telegram Stars.
func (b *Purchase) InStars() *Purchase {
	b.stars = true
	return b
}

// Stage says how far it is.
func (b *Purchase) Stage() Stage { return Stage(b.stage.Load()) }

// Buyer is the id of who buys.
func (b *Purchase) Buyer() int64 { return b.id }

// Owed says what the buyer waits for, nil if for nothing.
func (b *Purchase) Owed() error {
	if b.Stage() == Delivered {
		return nil
	}
	return fmt.Errorf("customer %d has ordered, stage %d", b.id, b.Stage())
}

// Run orders, pays and waits for the key, however long that takes.
func (b *Purchase) Run(ctx context.Context) error {
	if err := b.Order(ctx); err != nil {
		return err
	}
	return b.Pay(ctx)
}

// Order presses until the pay page is there.
func (b *Purchase) Order(ctx context.Context) error {
	for ctx.Err() == nil {
		if _, err := b.person.Press(map[bool]string{false: "CryptoBot", true: "Telegram Stars"}[b.stars]); err != nil {
			_, _ = b.person.Press("Refresh") // what is not there yet is there next time
		}
		try, cancel := context.WithTimeout(ctx, patience)
		_, err := b.Await(try, func(m telegram.Message) bool {
			for _, row := range m.Keyboard {
				for _, button := range row {
					if button.URL != "" && strings.Contains(button.Text, "Pay") {
						b.page = button.URL
					}
				}
			}
			return b.page != ""
		})
		cancel()
		if err == nil {
			return nil
		}
	}
	return ctx.Err()
}

// Pay pays what was ordered and waits for the key.
func (b *Purchase) Pay(ctx context.Context) error {
	b.began = time.Now()
	if err := b.hand(); err != nil {
		return err
	}
	b.stage.Store(int32(Paid))
	key, err := b.Await(ctx, func(m telegram.Message) bool { return strings.Contains(m.Text, "vless://") })
	if err != nil {
		return err
	}
	b.keyed = key.Date
	b.stage.Store(int32(Delivered))
	return nil
}

// hand gives the money.
func (b *Purchase) hand() error {
	if b.stars {
		return b.person.PayStars(b.page)
	}
	invoice, err := b.person.Pay(b.page)
	b.invoice = invoice.ID
	return err
}

// Took returns how long after the payment its callback was taken and the key was in the
// chat. It is for a purchase that is Delivered; of Stars there is no callback.
func (b *Purchase) Took() (settled, key time.Duration) {
	return b.world.CryptoPay.TakenAt(b.invoice).Sub(b.began), b.keyed.Sub(b.began)
}

// Await waits until a message of the bot is as wanted, and returns it.
func (b *Purchase) Await(ctx context.Context, wanted func(telegram.Message) bool) (telegram.Message, error) {
	for seen := int64(-1); ; {
		chat, err := b.world.Telegram.Wait(ctx, b.id, seen)
		if err != nil {
			return telegram.Message{}, err
		}
		for _, m := range chat.Messages {
			if m.FromBot && !m.Deleted && wanted(m) {
				return m, nil
			}
		}
		seen = chat.Version
	}
}
