package bot

import (
	"context"
	"errors"
	"time"

	"sallyport/shop"
)

// Dialogs remembers where each customer's screen lives.
type Dialogs interface {
	// Dialog returns the message in which the customer's screen lives and which
	// screen it shows; zero if there is none.
	Dialog(ctx context.Context, id shop.UserID) (messageID int64, screen string, err error)
	// SaveDialog remembers both.
	SaveDialog(ctx context.Context, id shop.UserID, messageID int64, screen string) error
	// LeaveAlone remembers that the customer's chat takes no more messages for so long:
	// what waits for that is not late.
	LeaveAlone(ctx context.Context, id shop.UserID, wait time.Duration) error
}

// Display keeps one live screen per customer: it edits in place where it can.
type Display struct {
	sender   *Sender
	dialogs  Dialogs
	texts    *Texts
	priority Priority
}

// NewDisplay returns a Display whose messages have this priority.
func NewDisplay(sender *Sender, dialogs Dialogs, texts *Texts, p Priority) *Display {
	return &Display{sender: sender, dialogs: dialogs, texts: texts, priority: p}
}

// before returns the same Display, whose messages go before those of all others.
func (d *Display) before() *Display { return NewDisplay(d.sender, d.dialogs, d.texts, Key) }

// show makes screen the customer's live screen: in the message at, if that can
// become it, else in a new one. The message it lived in before goes.
func (d *Display) show(ctx context.Context, user shop.UserID, at int64, screen Screen) error {
	old, shown, err := d.dialogs.Dialog(ctx, user)
	if err != nil {
		return err
	}
	live, err := d.place(ctx, user, at, screen)
	if err != nil || old == live && shown == screen.Name {
		return err
	}
	if err := d.dialogs.SaveDialog(ctx, user, live, screen.Name); err != nil {
		return err
	}
	if old != 0 && old != live {
		_ = d.sender.Delete(ctx, int64(user), old) // an old screen that stays does no harm: its buttons still answer
	}
	return nil
}

func (d *Display) place(ctx context.Context, user shop.UserID, at int64, screen Screen) (int64, error) {
	if at != 0 {
		err := d.noted(ctx, user, d.sender.Edit(ctx, d.priority, int64(user), at, screen))
		if !isRefusal(err) {
			return at, err
		}
	}
	sent, err := d.insist(ctx, user, screen)
	return sent.MessageID, err
}

// secondWait bounds how long a step waits for its second message to one chat.
const secondWait = 2 * time.Second

// insist sends a screen, and waits a little if the chat is held back: a step that
// needs two messages would else spend what it may send on the first, try after try.
func (d *Display) insist(ctx context.Context, user shop.UserID, screen Screen) (Sent, error) {
	sent, err := d.sender.Send(ctx, d.priority, int64(user), screen)
	known, ok := errors.AsType[*shop.Error](err)
	if !ok || known.Kind != shop.KindLimited || known.RetryAfter > secondWait || sleep(ctx, known.RetryAfter) != nil {
		return sent, d.noted(ctx, user, err)
	}
	sent, err = d.sender.Send(ctx, d.priority, int64(user), screen)
	return sent, d.noted(ctx, user, err)
}

// noted has it remembered when a message waits for its own chat's sake.
func (d *Display) noted(ctx context.Context, user shop.UserID, err error) error {
	wait := alone(err)
	if wait == 0 {
		return err
	}
	return errors.Join(err, d.dialogs.LeaveAlone(ctx, user, wait))
}

// refresh shows screen where the customer's live screen is, if that shows the
// same thing; a customer who has moved on is not called back.
func (d *Display) refresh(ctx context.Context, user shop.UserID, screen Screen) error {
	live, shown, err := d.dialogs.Dialog(ctx, user)
	if err != nil || live == 0 || shown != screen.Name {
		return err
	}
	err = d.noted(ctx, user, d.sender.Edit(ctx, d.priority, int64(user), live, screen))
	if isRefusal(err) {
		return nil // the customer deleted it
	}
	return err
}

// picture is a QR code and what stands below it.
type picture struct {
	content string
	caption Screen
}

// photo sends a picture; where it cannot be drawn, or Telegram takes none, the screen
// instead of it is sent alone, so that what it says always arrives.
func (d *Display) photo(ctx context.Context, user shop.UserID, p picture, instead Screen) error {
	err := d.draw(ctx, user, p)
	if err == nil || !isRefusal(err) && !errors.Is(err, errNoPicture) {
		return err
	}
	if _, textErr := d.insist(ctx, user, instead); textErr != nil {
		return errors.Join(err, textErr)
	}
	return nil
}

// errNoPicture says that there is too much to draw, or to say below it.
var errNoPicture = errors.New("does not fit into a picture")

func (d *Display) draw(ctx context.Context, user shop.UserID, p picture) error {
	png, err := qrPNG(p.content)
	if err != nil || length(shown(p.caption.Text)) > maxCaption {
		return errors.Join(errNoPicture, err)
	}
	_, err = d.sender.Photo(ctx, d.priority, int64(user), png, p.caption)
	return d.noted(ctx, user, err)
}
