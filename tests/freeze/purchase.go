package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// The states of a purchase.
const (
	ordered int32 = iota
	paid
	delivered
)

// purchase is one order, from the press on how to pay to the key in the chat.
type purchase struct {
	person *sandbox.Person
	id     int64
	now    atomic.Int32
}

func (b *purchase) state() int32 { return b.now.Load() }

// owed says what the buyer waits for, nil if for nothing.
func (b *purchase) owed() error {
	if b.state() == delivered {
		return nil
	}
	return fmt.Errorf("customer %d has ordered, state %d", b.id, b.state())
}

// run orders, pays and waits for the key, however long that takes.
func (b *purchase) run(ctx context.Context, w *sandbox.World) {
	page, err := b.order(ctx, w)
	if err != nil {
		return
	}
	if _, err := b.person.Pay(page); err != nil {
		return
	}
	b.now.Store(paid)
	if b.await(ctx, w, func(m telegram.Message) bool { return strings.Contains(m.Text, "vless://") }) == nil {
		b.now.Store(delivered)
	}
}

// order presses until the pay page is there, and returns its address.
func (b *purchase) order(ctx context.Context, w *sandbox.World) (page string, err error) {
	for ctx.Err() == nil {
		if _, err := b.person.Press("CryptoBot"); err != nil {
			_, _ = b.person.Press("Refresh") // what is not there yet is there next time
		}
		try, cancel := context.WithTimeout(ctx, patience)
		err := b.await(try, w, func(m telegram.Message) bool {
			for _, row := range m.Keyboard {
				for _, button := range row {
					if button.URL != "" && strings.Contains(button.Text, "Pay") {
						page = button.URL
					}
				}
			}
			return page != ""
		})
		cancel()
		if err == nil {
			return page, nil
		}
	}
	return "", ctx.Err()
}

// await waits until a message of the bot is as wanted.
func (b *purchase) await(ctx context.Context, w *sandbox.World, wanted func(telegram.Message) bool) error {
	for seen := int64(-1); ; {
		chat, err := w.Telegram.Wait(ctx, b.id, seen)
		if err != nil {
			return err
		}
		for _, m := range chat.Messages {
			if m.FromBot && !m.Deleted && wanted(m) {
				return nil
			}
		}
		seen = chat.Version
	}
}
