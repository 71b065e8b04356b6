package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
	"golang.org/x/time/rate"

	"sallyport/shop"
)

// Telegram's limits, and how we stay under them: about 30 messages a second in
// all, about one a second to one chat with short bursts.
// https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
const (
	// DefaultRate is how many messages a second are safe with any bot.
	DefaultRate = 26
	chatRate    = 1
	chatBurst   = 12
	// reserveOfKeys is the share of what may be sent at once that replies leave to who
	// has paid, reserveOfReplies the share that notices leave to both.
	reserveOfKeys    = 2.0 / DefaultRate
	reserveOfReplies = 14.0 / DefaultRate
	// noticeRate is what notices may send even when replies take all else.
	noticeRate = 3
	// maxChats bounds the limiters kept; one that is full again is as good as new.
	maxChats = 10000
)

// Priority orders messages when there are more than may be sent.
type Priority int

// The priorities, the highest first.
const (
	Key    Priority = iota // what a person has paid for, or is about to
	Reply                  // the answer to a person who waits
	Notice                 // a message nobody asked for
)

// Sender sends everything that goes to customers, within Telegram's limits.
type Sender struct {
	client *Client
	rate   int                       // of all processes together
	lines  [Notice + 1]chan struct{} // held by the first who waits, by priority

	mu      sync.Mutex
	global  bucket          // of this process
	share   bucket          // of the notices, when the rest is taken
	waiting [Notice + 1]int // in each line
	chats   map[int64]*chatLimit
}

type chatLimit struct {
	limiter *rate.Limiter
	pause   time.Time // until which Telegram asked us to leave the chat alone
}

// NewSender returns a Sender over client that sends so many messages a second, and
// as many at once.
func NewSender(client *Client, perSecond int) *Sender {
	now := time.Now()
	s := &Sender{
		client: client, rate: perSecond, global: full(float64(perSecond), now), share: full(noticeRate, now),
		chats: make(map[int64]*chatLimit),
	}
	for p := range s.lines {
		s.lines[p] = make(chan struct{}, 1)
	}
	return s
}

// Share leaves the others of so many processes their part of the messages a second:
// Telegram counts those of all of them together.
func (s *Sender) Share(processes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	among, now := float64(max(processes, 1)), time.Now()
	s.global.share(float64(s.rate)/among, now)
	s.share.share(noticeRate/among, now)
}

// Sent is as much of a sent message as we need.
type Sent struct {
	MessageID int64 `json:"message_id"`
}

// Send sends a text with a keyboard.
func (s *Sender) Send(ctx context.Context, p Priority, chat int64, screen Screen) (Sent, error) {
	params := textParams(chat, screen)
	var sent Sent
	err := s.paced(ctx, p, chat, func() error { return s.client.Call(ctx, "sendMessage", params, &sent) })
	return sent, err
}

// Edit replaces the text and the keyboard of a message of ours.
func (s *Sender) Edit(ctx context.Context, p Priority, chat, messageID int64, screen Screen) error {
	params := textParams(chat, screen)
	params.AddNonZero64("message_id", messageID)
	return s.paced(ctx, p, chat, func() error { return s.client.Call(ctx, "editMessageText", params, nil) })
}

// Photo sends a picture with a caption and a keyboard.
func (s *Sender) Photo(ctx context.Context, p Priority, chat int64, png []byte, screen Screen) (Sent, error) {
	params := tgbotapi.Params{
		"chat_id": strconv.FormatInt(chat, 10), "caption": screen.Text, "parse_mode": tgbotapi.ModeHTML,
		"reply_markup": screen.markup(),
	}
	files := []tgbotapi.RequestFile{{Name: "photo", Data: tgbotapi.FileBytes{Name: "key.png", Bytes: png}}}
	var sent Sent
	err := s.paced(ctx, p, chat, func() error { return s.client.Upload(ctx, "sendPhoto", params, files, &sent) })
	return sent, err
}

// Answer ends the wait of a pressed button; text, if any, is shown for a moment.
// A press that Telegram has given up on is not an error.
func (s *Sender) Answer(ctx context.Context, queryID, text string) error {
	params := tgbotapi.Params{"callback_query_id": queryID}
	params.AddNonEmpty("text", text)
	err := s.client.Call(ctx, "answerCallbackQuery", params, nil)
	if isRefusal(err) {
		return nil
	}
	return err
}

// Delete removes a message of ours; one that is gone or too old is left alone, and so is
// any while somebody waits for a message: the limits count this call too.
func (s *Sender) Delete(ctx context.Context, chat, messageID int64) error {
	if time.Until(s.limitOf(chat).pause) > 0 || !s.standAside(ctx) {
		return nil
	}
	params := tgbotapi.Params{"chat_id": strconv.FormatInt(chat, 10), "message_id": strconv.FormatInt(messageID, 10)}
	err := s.heed(chat, s.client.Call(ctx, "deleteMessage", params, nil))
	if isRefusal(err) {
		return nil
	}
	return err
}

func textParams(chat int64, screen Screen) tgbotapi.Params {
	return tgbotapi.Params{
		"chat_id": strconv.FormatInt(chat, 10), "text": screen.Text, "parse_mode": tgbotapi.ModeHTML,
		"link_preview_options": `{"is_disabled":true}`, "reply_markup": screen.markup(),
	}
}

// paced calls when it may; a wait that is not short is KindLimited at once.
func (s *Sender) paced(ctx context.Context, p Priority, chat int64, call func() error) error {
	if err := s.turn(ctx, p, chat); err != nil {
		return err
	}
	return s.heed(chat, call())
}

// errAlone is why a message waits for its own chat's sake, and for nobody else's.
var errAlone = errors.New("the chat takes no more for now")

// alone returns for how long a message waits for its own chat's sake; nothing if it
// does not.
func alone(err error) time.Duration {
	known, ok := errors.AsType[*shop.Error](err)
	if !ok || known.Kind != shop.KindLimited || !errors.Is(err, errAlone) {
		return 0
	}
	return max(known.RetryAfter, 1)
}

// heed leaves a chat alone for as long as an answer of Telegram's asks for.
func (s *Sender) heed(chat int64, err error) error {
	known, ok := errors.AsType[*shop.Error](err)
	if !ok || known.Kind != shop.KindLimited {
		return err
	}
	s.hold(chat, known.RetryAfter)
	return shop.Limited(known.RetryAfter, fmt.Errorf("%w: %w", errAlone, err))
}

const (
	// shortWait is how long a message may be held back for its chat's sake; a longer
	// wait is the caller's, so that a customer who floods occupies nobody.
	shortWait = 100 * time.Millisecond
	// lineWait is how long it may wait behind others of its priority.
	lineWait = 3 * time.Second
	// lookAgain is the least time between two looks of the first in a line.
	lookAgain = time.Millisecond
)

// turn returns nil once a message may be sent, or how long it must wait.
func (s *Sender) turn(ctx context.Context, p Priority, chat int64) error {
	limit := s.limitOf(chat)
	if wait := time.Until(limit.pause); wait > 0 {
		return shop.Limited(wait, fmt.Errorf("%w: telegram asked for that", errAlone))
	}
	place := limit.limiter.Reserve()
	if wait := place.Delay(); wait > shortWait {
		place.Cancel()
		return shop.Limited(wait, fmt.Errorf("%w: message limit of the chat reached", errAlone))
	}
	if err := s.standInLine(ctx, p); err != nil {
		place.Cancel()
		return err
	}
	if err := sleep(ctx, place.Delay()); err != nil {
		return shop.Unavailable(err)
	}
	return nil
}

// standInLine returns once a message of the priority may be sent. Whoever works waits
// here, first come first served, so that no more is begun than can be sent.
func (s *Sender) standInLine(ctx context.Context, p Priority) error {
	s.wait(p, 1)
	defer s.wait(p, -1)
	if !s.first(ctx, p, func() time.Duration { return s.takeToken(p) }) {
		return shop.Limited(time.Second/4, errors.New("message limit reached"))
	}
	return nil
}

// standAside returns true once a call may be made that nobody waits for, and false as
// soon as somebody waits for a message.
func (s *Sender) standAside(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return s.first(ctx, Notice, func() time.Duration {
		wait, wanted := s.takeSpare()
		if wanted {
			cancel()
		}
		return wait
	})
}

// first returns true once whoever stands first in the line has taken what there is to
// take, looking as often as take says; false if that lasts too long.
func (s *Sender) first(ctx context.Context, p Priority, take func() time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, lineWait)
	defer cancel()
	select {
	case s.lines[p] <- struct{}{}:
		defer func() { <-s.lines[p] }()
	case <-ctx.Done():
		return false
	}
	for {
		wait := take()
		if wait <= 0 {
			return true
		}
		if sleep(ctx, max(wait, lookAgain)) != nil {
			return false
		}
	}
}

func (s *Sender) wait(p Priority, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[p] += more
}

// takeToken takes what one message needs, or says when to look again: a message may go
// while nobody of a higher priority waits, and more is left than these may need. Of
// notices a few always may.
func (s *Sender) takeToken(p Priority) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if wait = s.missing(p, now); wait <= 0 || p == Notice && s.share.take(now) {
		s.global.left-- // by its share a notice may take what is not there yet
		return 0
	}
	return wait
}

// takeSpare takes what a call needs that nobody waits for, or says when to look again;
// wanted says that somebody waits for a message.
func (s *Sender) takeSpare() (wait time.Duration, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait = s.missing(Notice, time.Now()); wait <= 0 {
		s.global.left--
	}
	return wait, s.waiting[Key]+s.waiting[Reply] > 0
}

// missing is how long it takes until what a message of the priority needs may be there;
// nothing if it is.
func (s *Sender) missing(p Priority, now time.Time) time.Duration {
	s.global.fill(now)
	short := 1 + p.reserve()*(s.global.brim-1) - s.global.left
	for above := range p {
		if s.waiting[above] > 0 {
			short = max(short, 1)
		}
	}
	return time.Duration(short / s.global.rate * float64(time.Second))
}

// reserve is the share of what may be sent at once that a message of the priority
// leaves to those above it.
func (p Priority) reserve() float64 {
	switch p {
	case Key:
		return 0
	case Reply:
		return reserveOfKeys
	default:
		return reserveOfReplies
	}
}

func (s *Sender) limitOf(chat int64) chatLimit {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit, ok := s.chats[chat]
	if !ok {
		if len(s.chats) >= maxChats {
			s.forgetRested()
		}
		limit = &chatLimit{limiter: rate.NewLimiter(chatRate, chatBurst)}
		s.chats[chat] = limit
	}
	return *limit
}

// forgetRested drops the limiters that hold nobody back, and if that is none, all.
func (s *Sender) forgetRested() {
	for chat, limit := range s.chats {
		if limit.limiter.Tokens() >= chatBurst && time.Now().After(limit.pause) {
			delete(s.chats, chat)
		}
	}
	if len(s.chats) >= maxChats {
		clear(s.chats)
	}
}

func (s *Sender) hold(chat int64, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit, ok := s.chats[chat]; ok {
		limit.pause = time.Now().Add(wait)
	}
}

// sleep waits, but not beyond ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// markup returns the keyboard as the Bot API takes it.
func (s Screen) markup() string {
	type button struct {
		Text string `json:"text"`
		Data string `json:"callback_data,omitempty"`
		URL  string `json:"url,omitempty"`
	}
	rows := make([][]button, len(s.Rows))
	for i, row := range s.Rows {
		for _, b := range row {
			rows[i] = append(rows[i], button(b))
		}
	}
	keyboard, _ := json.Marshal(map[string]any{"inline_keyboard": rows}) // strings always encode
	return string(keyboard)
}
