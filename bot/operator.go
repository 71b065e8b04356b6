package bot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
	"go.uber.org/zap"

	"sallyport/shop"
)

// Alert is something wrong that the operator must know of. Its code names the texts
// that say what it is and what to do.
type Alert struct {
	Component string
	Code      string
	Reason    string // as found; may be empty
	Since     time.Time
	Again     bool      // they were told of it before
	Over      time.Time // zero while it lasts
}

// OperatorMemory remembers what became of the chat that OPERATOR_CHAT names.
type OperatorMemory interface {
	// OperatorChat returns where it is now, and whether it was greeted.
	OperatorChat(ctx context.Context, named int64) (chat int64, greeted bool, err error)
	// MoveOperatorChat notes where it has moved to. Safe to repeat.
	MoveOperatorChat(ctx context.Context, named, chat int64) error
	// GreetOperatorChat notes that it was greeted. Safe to repeat.
	GreetOperatorChat(ctx context.Context, named int64) error
}

// OperatorConfig is what an Operator is made of.
type OperatorConfig struct {
	Sender   *Sender
	Client   *Client
	Texts    *Texts
	Memory   OperatorMemory
	Chat     int64         // as the setting names it
	Language shop.Language // that is spoken there
	Logger   *zap.Logger
}

// Operator is the chat of those who run the shop. It is followed where it moves: a group
// that becomes a supergroup gets another number.
type Operator struct {
	cfg OperatorConfig

	mu    sync.Mutex
	moved int64     // where it has moved to, as far as this process knows; 0 means nowhere
	heard time.Time // when it was last shown that we may write there
}

// provesFor is how long one sign that we may write to the operator is good for: Telegram
// shows it to them.
const provesFor = time.Hour

// NewOperator returns the operator's chat.
func NewOperator(cfg OperatorConfig) *Operator {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Operator{cfg: cfg}
}

// Tell tells of an alert: what, since when, what to do; or that it is over.
func (o *Operator) Tell(ctx context.Context, a Alert) error {
	return o.write(ctx, Screen{Name: "alert", Text: o.text(a)})
}

// Greet says, once for each chat that is set, what it will be told.
func (o *Operator) Greet(ctx context.Context) error {
	_, greeted, err := o.cfg.Memory.OperatorChat(ctx, o.cfg.Chat)
	if err != nil || greeted {
		return err
	}
	if err := o.write(ctx, Screen{Name: "hello", Text: o.cfg.Texts.in(o.cfg.Language, "operator.hello", nil)}); err != nil {
		return fmt.Errorf("greet operator: %w", err)
	}
	return o.cfg.Memory.GreetOperatorChat(ctx, o.cfg.Chat)
}

// Check returns nil if the chat is there and we may write to it. An error that
// Unwritable accepts says why not; any other, that nobody knows.
func (o *Operator) Check(ctx context.Context) error {
	o.mu.Lock()
	proved := time.Since(o.heard) < provesFor
	o.mu.Unlock()
	return o.inChat(ctx, func(chat int64) error {
		if proved {
			return o.cfg.Client.Call(ctx, "getChat", tgbotapi.Params{"chat_id": strconv.FormatInt(chat, 10)}, nil)
		}
		return o.cfg.Client.Typing(ctx, chat)
	})
}

// Typing shows for a moment in a chat that the bot is writing: it is refused where the
// bot may not write.
func (c *Client) Typing(ctx context.Context, chat int64) error {
	return c.Call(ctx, "sendChatAction", tgbotapi.Params{"chat_id": strconv.FormatInt(chat, 10), "action": tgbotapi.ChatTyping}, nil)
}

// Unwritable says whether Telegram refuses the chat, not the bot, and answers at all.
func Unwritable(err error) bool { return shop.KindOf(err) == shop.KindForbidden || isRefusal(err) }

// MovedTo returns the number of the supergroup that a group has become, if a call was
// refused for that, or 0.
func MovedTo(err error) int64 {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.MovedTo
	}
	return 0
}

// write sends a screen to the chat.
func (o *Operator) write(ctx context.Context, screen Screen) error {
	return o.inChat(ctx, func(chat int64) error {
		_, err := o.cfg.Sender.Send(ctx, Reply, chat, screen)
		return err
	})
}

// inChat calls for the chat, and once more for where it has moved to.
func (o *Operator) inChat(ctx context.Context, call func(chat int64) error) error {
	err := call(o.chat(ctx))
	if moved := MovedTo(err); moved != 0 {
		o.follow(ctx, moved)
		err = call(moved)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil && time.Since(o.heard) >= provesFor:
		o.heard = time.Now()
	case Unwritable(err):
		o.heard = time.Time{}
	}
	return err
}

// chat returns where the chat is as far as anybody knows: it is told of a database that
// is away, too.
func (o *Operator) chat(ctx context.Context) int64 {
	o.mu.Lock()
	moved := o.moved
	o.mu.Unlock()
	if moved != 0 {
		return moved
	}
	chat, _, err := o.cfg.Memory.OperatorChat(ctx, o.cfg.Chat)
	if err != nil {
		return o.cfg.Chat // Telegram says where it has moved
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.moved == 0 {
		o.moved = chat
	}
	return o.moved
}

// follow notes where the chat has moved to.
func (o *Operator) follow(ctx context.Context, to int64) {
	o.mu.Lock()
	o.moved = to
	o.mu.Unlock()
	o.cfg.Logger.Warn("the operator's group has become a supergroup and is followed: set OPERATOR_CHAT to its new number", zap.Int64("chat", to))
	if err := o.cfg.Memory.MoveOperatorChat(ctx, o.cfg.Chat, to); err != nil {
		o.cfg.Logger.Warn("the operator's new chat is not remembered", zap.NamedError("err", err)) // Telegram says it again
	}
}

func (o *Operator) text(a Alert) string {
	say := func(key string, f fields) string { return o.cfg.Texts.in(o.cfg.Language, key, f) }
	title := say("alert."+a.Code, nil)
	if !a.Over.IsZero() {
		return say("alert.ends", fields{
			"Title": title, "Component": a.Component, "Took": a.Over.Sub(a.Since).Round(time.Second).String(),
		})
	}
	key := "alert.begins"
	if a.Again {
		key = "alert.lasts"
	}
	text := say(key, fields{
		"Title": title, "Component": a.Component, "Reason": a.Reason,
		"Since": o.cfg.Texts.date(o.cfg.Language, a.Since), "Todo": say("alert."+a.Code+".todo", nil),
	})
	return strings.Replace(text, a.Component+": \n", a.Component+"\n", 1) // there is no reason
}
