package bot

import (
	"context"
	"fmt"
	"time"

	"sallyport/shop"
)

// Messenger tells customers what happened without their asking. It implements
// shop.Messenger.
type Messenger struct {
	display *Display // of what somebody waits for
	notices *Display // of what nobody asked for
}

// NewMessenger returns a Messenger that shows what customers paid for and wait for
// through display, and all else through notices.
func NewMessenger(display, notices *Display) *Messenger {
	return &Messenger{display: display, notices: notices}
}

// Tell sends the message, or brings the customer's screen up to date where that
// says it all.
func (m *Messenger) Tell(ctx context.Context, msg shop.Message) error {
	user := msg.Profile.User
	paint := m.display.texts.painter(user.Language)
	switch msg.Notice {
	case shop.NoticeInvoice:
		return m.refresh(ctx, m.display, paint, msg)
	case shop.NoticeClosed:
		return m.refresh(ctx, m.notices, paint, msg)
	case shop.NoticeReady:
		if len(msg.Profile.Links) == 0 { // it has run out before this message could be sent
			return nil
		}
		card := paint.card(msg.Profile)
		if err := m.display.photo(ctx, user.ID, picture{content: msg.Profile.Links[0].URL, caption: card}, card); err != nil {
			return err
		}
		_ = m.refresh(ctx, m.display, paint, msg) // the key is there; an old screen says so when its button is pressed
		return nil
	case shop.NoticeDelayed:
		return m.send(ctx, user.ID, paint.delayed(msg.Profile.Subscription))
	case shop.NoticeExpired:
		return m.send(ctx, user.ID, paint.expired(msg.Profile))
	default:
		return fmt.Errorf("notice %q is not known", msg.Notice)
	}
}

// refresh brings the order's screen up to date, if the customer still looks at it.
func (m *Messenger) refresh(ctx context.Context, display *Display, paint painter, msg shop.Message) error {
	if msg.Order.ID == (shop.OrderID{}) {
		return nil
	}
	screen := paint.order(orderView{
		order: msg.Order, plan: msg.OrderPlan, invoice: msg.Invoice, trouble: msg.Trouble, sub: msg.Profile.Subscription,
	})
	return display.refresh(ctx, msg.Profile.User.ID, screen)
}

// Describe says what an order buys.
func (m *Messenger) Describe(l shop.Language, p shop.Plan, period time.Duration) string {
	return m.display.texts.plan(l, p) + ", " + m.display.texts.period(l, period)
}

func (m *Messenger) send(ctx context.Context, user shop.UserID, screen Screen) error {
	_, err := m.notices.sender.Send(ctx, m.notices.priority, int64(user), screen)
	return m.notices.noted(ctx, user, err)
}
