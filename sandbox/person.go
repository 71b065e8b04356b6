package sandbox

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/telegram"
)

// Person is someone with a phone who chats with the shop and pays. It is for use
// by one goroutine.
type Person struct {
	world *World
	user  telegram.User
	acted time.Time
}

// Person returns the person; the chat begins with the first Write.
func (w *World) Person(u telegram.User) *Person { return &Person{world: w, user: u} }

// Pressed says what pressing a button did: a query for the bot, or an address
// that the phone opens, or a text that it copies.
type Pressed struct {
	MessageID int    `json:"message_id"`
	QueryID   string `json:"query_id,omitempty"`
	URL       string `json:"url,omitempty"`
	CopyText  string `json:"copy_text,omitempty"`
}

// Write sends the bot a message.
func (p *Person) Write(text string) error {
	p.acted = time.Now()
	_, err := p.world.Telegram.SendText(p.user, text)
	return err
}

// Press presses the newest button that has the label, or the label as a part of its own.
func (p *Person) Press(label string) (Pressed, error) {
	p.acted = time.Now()
	return p.world.press(p.user.ID, 0, func(b telegram.Button) bool { return strings.Contains(b.Text, label) })
}

// Pay pays, in the first asset that is accepted, the invoice whose pay page has
// the address.
func (p *Person) Pay(address string) (cryptopay.Invoice, error) {
	u, err := url.Parse(address)
	if err != nil {
		return cryptopay.Invoice{}, fmt.Errorf("address of the pay page: %w", err)
	}
	invoice, ok := p.world.CryptoPay.ByHash(path.Base(u.Path))
	if !ok {
		return cryptopay.Invoice{}, fmt.Errorf("%s: %w", u.Path, cryptopay.ErrNotFound)
	}
	p.acted = time.Now()
	return p.world.CryptoPay.Pay(invoice.ID, "")
}

// PayStars pays, in Telegram Stars, the invoice that the link leads to. What the shop
// refuses is a *telegram.RefusedError.
func (p *Person) PayStars(link string) error {
	p.acted = time.Now()
	return p.world.Telegram.PayLink(p.user.ID, link)
}

// See waits until the bot shows the text in a message that is new, or edited,
// since the person last did something. The error says what is shown instead.
func (p *Person) See(ctx context.Context, text string) (telegram.Message, error) {
	for seen := int64(-1); ; {
		chat, err := p.world.Telegram.Wait(ctx, p.user.ID, seen)
		if err != nil {
			return telegram.Message{}, fmt.Errorf("wait for %q, while the newest message is %q: %w", text, newest(chat), err)
		}
		seen = chat.Version
		for i := len(chat.Messages) - 1; i >= 0; i-- {
			if m := chat.Messages[i]; p.sees(m) && strings.Contains(m.Text, text) {
				return m, nil
			}
		}
	}
}

// sees says whether the bot's message is new since the last action.
func (p *Person) sees(m telegram.Message) bool {
	shown := m.Date
	if m.EditDate != nil {
		shown = *m.EditDate
	}
	return m.FromBot && !m.Deleted && !shown.Before(p.acted)
}

func newest(chat telegram.Chat) string {
	if len(chat.Messages) == 0 {
		return ""
	}
	return chat.Messages[len(chat.Messages)-1].Text
}

// press presses the button that is wanted, under the message or, if that is 0,
// under the newest one that has it.
func (w *World) press(user int64, message int, wanted func(telegram.Button) bool) (Pressed, error) {
	chat := w.Telegram.Chat(user)
	for i := len(chat.Messages) - 1; i >= 0; i-- {
		m := chat.Messages[i]
		if m.Deleted || message != 0 && m.ID != message {
			continue
		}
		b, ok := button(m, wanted)
		switch {
		case !ok:
		case b.Data != "":
			query, err := w.Telegram.Press(user, m.ID, b.Data)
			return Pressed{MessageID: m.ID, QueryID: query}, err
		default:
			return Pressed{MessageID: m.ID, URL: either(b.URL, b.WebAppURL), CopyText: b.CopyText}, nil
		}
	}
	return Pressed{}, fmt.Errorf("%w; the newest are %s", telegram.ErrNoButton, strings.Join(labels(chat), ", "))
}

// button finds a button under a message.
func button(m telegram.Message, wanted func(telegram.Button) bool) (telegram.Button, bool) {
	for _, row := range m.Keyboard {
		for _, b := range row {
			if wanted(b) {
				return b, true
			}
		}
	}
	return telegram.Button{}, false
}

// labels lists the buttons of the newest message that has any.
func labels(chat telegram.Chat) []string {
	for i := len(chat.Messages) - 1; i >= 0; i-- {
		var found []string
		if m := chat.Messages[i]; !m.Deleted {
			_, _ = button(m, func(b telegram.Button) bool {
				found = append(found, strconv.Quote(b.Text))
				return false
			})
		}
		if found != nil {
			return found
		}
	}
	return []string{"none"}
}

// either returns the first text that is not empty.
func either(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
