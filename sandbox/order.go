package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/sandbox/telegram"
)

// Way is a way to pay, as its button says.
type Way string

// The ways to pay.
const (
	Crypto Way = "CryptoBot"
	Stars  Way = "Telegram Stars"
)

// Wish is what a person who speaks English buys: a plan and a period as their buttons say.
type Wish struct {
	Plan, Period string
	Way          Way
}

// The texts of the screens on the way to an order, and a button.
const (
	plansText     = "Choose a plan"
	periodsText   = "For how long?"
	waysText      = "How would you like to pay?"
	preparingText = "Preparing your invoice"
	openText      = "Press the button and pay"
	doubtfulText  = "Money has come for this order"
	refreshLabel  = "Refresh"
)

// ErrDoubtful is what an order comes to for which money has come that was not asked for:
// a person looks at it, and the customer is not to pay again.
var ErrDoubtful = errors.New("sandbox: money that has come for the order is looked at")

const (
	// patience is how long a person waits for an answer before they press again, at first;
	// each time they wait twice as long, up to mostPatience.
	patience, mostPatience = 3 * time.Second, 24 * time.Second
	mostUnanswered         = 3 // in a row that make them wait longer still
)

// Order walks from /buy to the pay page of an order, and returns its address. The person
// goes by what the bot shows since, however that came about: messages and presses reach
// the bot by ways of their own, and what was asked for twice comes twice. Who gets no
// answer presses again, and every other time begins anew, until ctx ends. An order of
// which the shop doubts what was paid is ErrDoubtful.
func (p *Person) Order(ctx context.Context, w Wish) (address string, err error) {
	before := 0 // what was shown until now belongs to something else
	if old := p.world.Telegram.Chat(p.user.ID).Messages; len(old) > 0 {
		before = old[len(old)-1].ID
	}
	begin := func() error { return p.Write("/buy") }
	act, at, unanswered := begin, telegram.Message{}, 0
	for {
		refused := act()
		next, unseen := p.step(ctx, before, at, min(patience<<unanswered, mostPatience))
		if unseen != nil && ctx.Err() != nil {
			return "", fmt.Errorf("on the way to an order, after %q: %w", at.Text, errors.Join(refused, unseen))
		}
		unanswered = min(unanswered+1, mostUnanswered)
		if unseen == nil {
			at, unanswered = next, 0
		}
		if address, found := w.page(at); found {
			return address, nil
		}
		if strings.Contains(at.Text, doubtfulText) {
			return "", ErrDoubtful
		}
		label, leads := w.next(at.Text)
		switch {
		case !leads, unseen != nil && (refused != nil || unanswered%2 == 0):
			act = begin
		case label == refreshLabel && unseen == nil:
			act = func() error { return nil } // it comes by itself
		default:
			act = func() error { return p.pressIn(at, label) }
		}
	}
}

// step waits a while for a screen of the walk that is another than the one that was acted on.
func (p *Person) step(ctx context.Context, before int, at telegram.Message, wait time.Duration) (telegram.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for seen := int64(-1); ; {
		chat, err := p.world.Telegram.Wait(ctx, p.user.ID, seen)
		if err != nil {
			return telegram.Message{}, fmt.Errorf("the newest message is %q: %w", newest(chat), err)
		}
		if now := walked(chat, before); now.ID != at.ID || now.Text != at.Text {
			return now, nil
		}
		seen = chat.Version
	}
}

// walked is the newest screen of the walk that began after the message.
func walked(chat telegram.Chat, before int) telegram.Message {
	for _, m := range slices.Backward(chat.Messages) {
		if m.ID <= before || !m.FromBot || m.Deleted {
			continue
		}
		for _, text := range []string{plansText, periodsText, waysText, preparingText, openText, doubtfulText} {
			if strings.Contains(m.Text, text) {
				return m
			}
		}
	}
	return telegram.Message{}
}

// next is the button to press in a screen of the walk; false if it leads nowhere.
func (w Wish) next(text string) (label string, leads bool) {
	for _, step := range [][2]string{{plansText, w.Plan}, {periodsText, w.Period}, {waysText, string(w.Way)}, {preparingText, refreshLabel}} {
		if strings.Contains(text, step[0]) {
			return step[1], true
		}
	}
	return "", false
}

// page is where the screen of the wish's order leads to.
func (w Wish) page(m telegram.Message) (address string, found bool) {
	if !strings.Contains(m.Text, openText) || !strings.Contains(m.Text, w.Plan) || !strings.Contains(m.Text, w.Period) {
		return "", false
	}
	b, found := button(m, func(b telegram.Button) bool {
		return b.URL != "" && strings.HasPrefix(b.URL, telegram.LinkPrefix) == (w.Way == Stars)
	})
	return b.URL, found
}

// pressIn presses a button of the message.
func (p *Person) pressIn(m telegram.Message, label string) error {
	p.acted = time.Now()
	b, found := button(m, func(b telegram.Button) bool { return b.Data != "" && strings.Contains(b.Text, label) })
	if !found {
		return fmt.Errorf("%w: %s", telegram.ErrNoButton, label)
	}
	_, err := p.world.Telegram.Press(p.user.ID, m.ID, b.Data)
	return err
}
