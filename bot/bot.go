package bot

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/shop"
)

// Bot answers customers.
type Bot struct {
	shop    *shop.Shop
	client  *Client
	display *Display
	routed  table
}

// New returns a Bot that sells what s sells.
func New(s *shop.Shop, client *Client, display *Display) *Bot {
	b := &Bot{shop: s, client: client, display: display}
	b.routed = tabled(b.routes())
	return b
}

// Handle answers one update. It may be repeated: what it changes is keyed, and
// what it shows is shown again.
func (b *Bot) Handle(ctx context.Context, u shop.Update) error {
	if about, err := b.credit(ctx, u); about {
		return err // money comes first, whoever it is from and whatever stands beside it
	}
	var update tgbotapi.Update
	if err := json.Unmarshal(u.Body, &update); err != nil {
		return undecodable(err)
	}
	if err := b.flood(ctx, u, update); err != nil {
		return err
	}
	switch {
	case update.CallbackQuery != nil && update.CallbackQuery.From != nil:
		return b.pressed(ctx, update.CallbackQuery)
	case update.Message != nil && update.Message.Chat != nil:
		return b.written(ctx, update.Message)
	case update.MyChatMember != nil:
		return b.moved(ctx, update.MyChatMember)
	default:
		return nil // a kind that we did not ask for says nothing to us
	}
}

// moved notes whether the customer has blocked the bot.
func (b *Bot) moved(ctx context.Context, m *tgbotapi.ChatMemberUpdated) error {
	id := shop.UserID(m.From.ID)
	switch {
	case !m.Chat.IsPrivate():
		return nil
	case m.NewChatMember.Status == "kicked":
		return b.shop.Left(ctx, id)
	default:
		_, err := b.shop.Enter(ctx, id, m.From.LanguageCode)
		return err
	}
}

// written answers a message: a command, or text that we do not understand.
func (b *Bot) written(ctx context.Context, message *tgbotapi.Message) error {
	if message.From == nil || message.From.IsBot || !message.Chat.IsPrivate() {
		return nil
	}
	user, err := b.shop.Enter(ctx, shop.UserID(message.From.ID), message.From.LanguageCode)
	if err != nil {
		return err
	}
	m := move{user: user, firstName: message.From.FirstName, paint: b.display.texts.painter(user.Language)}
	answer, err := b.command(ctx, m, message.Text)
	if err != nil {
		return err
	}
	return b.display.show(ctx, user.ID, 0, answer.screen)
}

// command makes the move that a typed command asks for.
func (b *Bot) command(ctx context.Context, m move, text string) (answer, error) {
	word, _, _ := strings.Cut(text, " ")
	word, _, _ = strings.Cut(word, "@")
	r, known := b.routed.byCommand[word]
	switch {
	case !m.user.Chosen && !r.early:
		return answer{screen: m.paint.language(r.verb)}, nil
	case known:
		return r.step(ctx, m, nil)
	default:
		return answer{screen: m.paint.menu(m.paint.text("menu.unknown", nil))}, nil
	}
}

// pressed answers a button: first the press itself, so that it never spins, then
// the screen.
func (b *Bot) pressed(ctx context.Context, q *tgbotapi.CallbackQuery) error {
	user, err := b.shop.Enter(ctx, shop.UserID(q.From.ID), q.From.LanguageCode)
	if err != nil {
		return err
	}
	m := move{user: user, firstName: q.From.FirstName, paint: b.display.texts.painter(user.Language)}
	a, err := b.press(ctx, m, q.Data)
	if err != nil {
		_ = b.display.sender.Answer(ctx, q.ID, m.paint.text("error.unavailable", nil)) // the press is tried again; the customer should know
		return err
	}
	if err := b.display.sender.Answer(ctx, q.ID, a.toast); err != nil {
		return err
	}
	if a.picture.content != "" {
		return b.display.photo(ctx, user.ID, a.picture, a.screen)
	}
	if a.order.ID == (shop.OrderID{}) {
		return b.display.show(ctx, user.ID, messageOf(q), a.screen)
	}
	return b.checkout(ctx, m, messageOf(q), a)
}

// checkout shows an order, before all that is no money.
func (b *Bot) checkout(ctx context.Context, m move, at int64, a answer) error {
	display := b.display.before()
	if err := display.show(ctx, m.user.ID, at, a.screen); err != nil {
		return err
	}
	return b.follow(ctx, display, m, a)
}

// follow looks once more at an order that has just been shown: what became of it
// before its screen stood could not be shown by whoever did it.
func (b *Bot) follow(ctx context.Context, display *Display, m move, shown answer) error {
	order, err := b.shop.OrderOf(ctx, m.user.ID, shown.order.ID)
	if err != nil {
		return err
	}
	view, err := b.view(ctx, order)
	if err != nil {
		return err
	}
	now := m.paint.order(view)
	if now.Text == shown.screen.Text {
		return nil
	}
	return display.refresh(ctx, m.user.ID, now)
}

// messageOf returns the text message of the private chat that the button stands
// under, or 0.
func messageOf(q *tgbotapi.CallbackQuery) int64 {
	if q.Message == nil || q.Message.Text == "" || q.Message.Chat == nil || q.Message.Chat.ID != q.From.ID {
		return 0
	}
	return int64(q.Message.MessageID)
}

// press runs the handler of a button. What a rule forbids is answered with where
// the customer stands now.
func (b *Bot) press(ctx context.Context, m move, data string) (answer, error) {
	words := strings.Split(data, ":")
	r, known := b.routed.byVerb[words[0]]
	if !known {
		return m.stale(), nil
	}
	a, err := r.step(ctx, m, words[1:])
	for rule, text := range map[error]string{shop.ErrPrepaid: "limit.prepaid", shop.ErrManyOrders: "limit.orders"} {
		if errors.Is(err, rule) {
			return answer{screen: m.paint.menu(m.paint.text(text, nil))}, nil
		}
	}
	switch shop.KindOf(err) {
	case shop.KindInvalid, shop.KindNotFound, shop.KindConflict, shop.KindForbidden:
		return m.stale(), nil
	default:
		return a, err
	}
}
