package bot

import (
	"context"
	"errors"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/shop"
)

const (
	// floodLimit is how many updates of one customer may wait behind another before
	// they are too many to be answered one by one: more than a minute's worth is not
	// what anybody reads.
	floodLimit = 30
	// floodPause is how long a customer who was told must be quiet to be answered again.
	floodPause = 2 * time.Second
)

// errFlood says that an update was one of too many: it is not handled.
var errFlood = errors.New("one of too many at once")

// flood judges an update by how many of the same customer wait behind it. It returns
// nil if the update is to be handled, errFlood if it is left out, or an error to try it
// again. That a customer has been told is known by their live screen, so that they are
// told once, whichever process does it; until they pause, only their last word counts.
// What Telegram tells by itself, such as a payment, is never left out.
func (b *Bot) flood(ctx context.Context, u shop.Update, update tgbotapi.Update) error {
	from, at := author(update)
	told, quiet := u.Screen == quickScreen, time.Since(u.ReceivedAt)
	switch {
	case from == nil, !told && u.Behind < floodLimit, u.Behind == 0 && (quiet >= floodPause || quiet < -floodPause):
		return nil // also what was received while the database's clock was ahead
	case u.Behind == 0: // more may be on its way
		return shop.Limited(floodPause-quiet, errors.New("the customer was asked to pause"))
	}
	if q := update.CallbackQuery; q != nil { // a button must not spin
		if err := b.display.sender.Answer(ctx, q.ID, ""); err != nil {
			return err
		}
	}
	if told {
		return errFlood
	}
	if err := b.hush(ctx, from, at); err != nil {
		return err
	}
	return errFlood
}

// hush asks the customer to be patient.
func (b *Bot) hush(ctx context.Context, from *tgbotapi.User, at int64) error {
	user, err := b.shop.Enter(ctx, shop.UserID(from.ID), from.LanguageCode)
	if err != nil {
		return err
	}
	return b.display.show(ctx, user.ID, at, b.display.texts.painter(user.Language).quick())
}

// author returns the customer who wrote or pressed in their own chat, and the message
// that a screen could take the place of; nil if it is nobody who would be answered.
func author(update tgbotapi.Update) (from *tgbotapi.User, at int64) {
	switch q, m := update.CallbackQuery, update.Message; {
	case q != nil:
		return q.From, messageOf(q)
	case m != nil && m.Chat != nil && m.Chat.IsPrivate():
		return m.From, 0
	default:
		return nil, 0
	}
}
