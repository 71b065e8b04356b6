package bot_test

import (
	"context"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/bot"
	"sallyport/shop"
)

// counting answers every call with a message and counts the calls.
func counting(calls *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(w, `{"ok":true,"result":{"message_id":1}}`)
	}
}

func TestOneChatIsNotFloodedAndTheOthersDoNotWait(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := bot.NewSender(client(t, counting(&calls)), bot.DefaultRate)
	screen := bot.Screen{Text: "x"}
	start := time.Now()
	limited := 0
	for range 20 {
		if _, err := s.Send(t.Context(), bot.Reply, 1, screen); shop.KindOf(err) == shop.KindLimited {
			limited++
		}
	}
	most := 13 + int64(time.Since(start).Seconds()) // as many at once, and then one a second
	if n := calls.Load(); n > most || int64(limited) != 20-n || limited == 0 {
		t.Errorf("%d messages to one chat, at most %d may leave; %d held back, none may wait", n, most, limited)
	}
	if _, err := s.Send(t.Context(), bot.Reply, 2, screen); err != nil {
		t.Errorf("another chat: %v", err)
	}
}

// With far more of everything than may be sent, a key leaves at once, the replies in the
// order in which they came, and the notices as fast as their own share allows.
func TestKeysGoBeforeRepliesAndRepliesBeforeNotices(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var sent []string // by chat
	s := bot.NewSender(client(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, r.FormValue("chat_id"))
		mu.Unlock()
		_, _ = io.WriteString(w, `{"ok":true,"result":{"message_id":1}}`)
	}), bot.DefaultRate)
	send := func(p bot.Priority, chat int64) error {
		_, err := s.Send(t.Context(), p, chat, bot.Screen{})
		return err
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(sent)
	}
	var g errgroup.Group
	for n := range int64(60) {
		g.Go(func() error {
			for {
				if err := send(bot.Reply, 2000+n); shop.KindOf(err) != shop.KindLimited { // then it stood in line for too long
					return err
				}
			}
		})
		g.Go(func() error { _ = send(bot.Notice, 3000+n); return nil }) // most of them wait too long
	}
	eventually(t, "all that may be sent at once", func() bool { return count() >= bot.DefaultRate })
	before := count()
	for n := range int64(3) {
		if err := send(bot.Key, 1000+n); err != nil {
			t.Fatal(err)
		}
	}
	if overtook := count() - before - 3; overtook > 25 { // behind all replies it would be more than 30
		t.Errorf("%d others went before three keys", overtook)
	}
	if err := g.Wait(); err != nil {
		t.Errorf("a reply: %v", err)
	}
	replies, notices := 0, 0
	for _, chat := range sent {
		switch {
		case strings.HasPrefix(chat, "2"):
			replies++
		case strings.HasPrefix(chat, "3") && replies < 60:
			notices++
		}
	}
	if replies != 60 || notices < 3 || notices > 25 {
		t.Errorf("%d replies, and %d notices before the last of them", replies, notices)
	}
}

// Who waits in line is not overtaken by those who come later.
func TestRepliesLeaveInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var sent []string
	s := bot.NewSender(client(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, r.FormValue("chat_id"))
		mu.Unlock()
		_, _ = io.WriteString(w, `{"ok":true,"result":{"message_id":1}}`)
	}), bot.DefaultRate)
	for n := range int64(bot.DefaultRate) { // all that may be sent at once
		if _, err := s.Send(t.Context(), bot.Key, 1000+n, bot.Screen{}); err != nil {
			t.Fatal(err)
		}
	}
	var later errgroup.Group
	later.SetLimit(8) // as many wait at any time
	for n := range int64(60) {
		later.Go(func() error {
			_, err := s.Send(t.Context(), bot.Reply, 100+n, bot.Screen{})
			return err
		})
	}
	if err := later.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, chat := range sent[bot.DefaultRate:] {
		if n, err := strconv.Atoi(chat); err != nil || n < 100+i-16 || n > 100+i+16 {
			t.Errorf("chat %s was %d. to be sent to", chat, i+1)
		}
	}
}

func TestWhatIsHeldBackCostsTheChatNothing(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := bot.NewSender(client(t, counting(&calls)), bot.DefaultRate)
	for chat := range int64(100) { // use up what may be sent to all
		_, _ = s.Send(t.Context(), bot.Key, 100+chat, bot.Screen{})
	}
	for range 30 {
		_, _ = s.Send(t.Context(), bot.Key, 1, bot.Screen{})
	}
	eventually(t, "a message to the chat", func() bool {
		_, err := s.Send(t.Context(), bot.Key, 1, bot.Screen{})
		return err == nil
	})
}

func TestAChatThatTelegramHoldsBackIsLeftAlone(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := bot.NewSender(client(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 30","parameters":{"retry_after":30}}`)
	}), bot.DefaultRate)
	if err := s.Delete(t.Context(), 1, 5); shop.KindOf(err) != shop.KindLimited {
		t.Error(err)
	}
	for range 5 {
		if err := s.Delete(t.Context(), 1, 5); err != nil {
			t.Error(err)
		}
		if err := s.Edit(t.Context(), bot.Reply, 1, 5, bot.Screen{}); shop.KindOf(err) != shop.KindLimited {
			t.Error(err)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if _, err := s.Send(t.Context(), bot.Reply, 2, bot.Screen{}); shop.KindOf(err) != shop.KindLimited || calls.Load() != 2 {
		t.Errorf("another chat was not tried: %v", err)
	}
}

func TestABotThatMaySendMoreDoes(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := bot.NewSender(client(t, counting(&calls)), 10*bot.DefaultRate)
	for chat := range int64(5 * bot.DefaultRate) {
		if _, err := s.Send(t.Context(), bot.Reply, chat+1, bot.Screen{}); err != nil {
			t.Fatalf("message %d: %v", chat+1, err)
		}
	}
}

// Telegram counts the messages of all processes together.
func TestThreeProcessesSendNoMoreThanOne(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	telegram := client(t, counting(&calls))
	var g errgroup.Group
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for process := range int64(3) {
		s := bot.NewSender(telegram, bot.DefaultRate)
		s.Share(3)
		for n := range int64(3 * bot.DefaultRate) {
			g.Go(func() error {
				_, err := s.Send(ctx, bot.Reply, 1000*process+n+1, bot.Screen{})
				if kind := shop.KindOf(err); err != nil && kind != shop.KindLimited && kind != shop.KindUnavailable {
					return err
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	most := bot.DefaultRate * (1 + time.Since(began).Seconds()) // as many at once, and then as many a second
	if sent := float64(calls.Load()); sent > most || sent < bot.DefaultRate {
		t.Errorf("%.0f messages, at most %.0f may leave", sent, most)
	}
}

// methods counts calls by method.
type methods struct {
	mu    sync.Mutex
	calls map[string]int
}

func (m *methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[path.Base(r.URL.Path)]++
	_, _ = io.WriteString(w, `{"ok":true,"result":{"message_id":1}}`)
}

func (m *methods) count(method string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[method]
}

// With any number of processes, each has its part of everything: replies leave, notices
// do when nobody waits, and the old screens go.
func TestEachOfManyProcessesSendsItsPart(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{1, 2, 9, 20, 30} {
		t.Run(strconv.Itoa(processes), func(t *testing.T) {
			t.Parallel()
			telegram := &methods{calls: make(map[string]int)}
			s := bot.NewSender(client(t, telegram.ServeHTTP), bot.DefaultRate)
			s.Share(processes)
			for chat := range int64(2) {
				for _, p := range []bot.Priority{bot.Reply, bot.Notice} {
					eventually(t, "a message", func() bool {
						_, err := s.Send(t.Context(), p, 10*chat+int64(p), bot.Screen{})
						return err == nil
					})
				}
				if err := s.Delete(t.Context(), 10*chat, 1); err != nil {
					t.Error(err)
				}
			}
			if sent, gone := telegram.count("sendMessage"), telegram.count("deleteMessage"); sent != 4 || gone != 2 {
				t.Errorf("%d messages sent and %d old screens removed", sent, gone)
			}
		})
	}
}

// Notices may have all that nobody else wants.
func TestTwoProcessesSendNoticesAtTheirWholeRate(t *testing.T) {
	t.Parallel()
	s := bot.NewSender(client(t, counting(new(atomic.Int64))), bot.DefaultRate)
	s.Share(2)
	var g errgroup.Group
	for chat := range int64(20) {
		g.Go(func() error {
			_, err := s.Send(t.Context(), bot.Notice, chat+1, bot.Screen{})
			return err // it would have stood in line for too long
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// An old screen is not worth a wait of those who are still to be answered.
func TestNothingIsRemovedWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	telegram := &methods{calls: make(map[string]int)}
	s := bot.NewSender(client(t, telegram.ServeHTTP), 20)
	s.Share(20)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var replies errgroup.Group
	for chat := range int64(4) {
		replies.Go(func() error {
			for {
				_, err := s.Send(ctx, bot.Reply, chat+1, bot.Screen{})
				if err == nil || shop.KindOf(err) != shop.KindLimited || ctx.Err() != nil {
					return err
				}
			}
		})
	}
	for telegram.count("sendMessage") < 3 && ctx.Err() == nil {
		if err := s.Delete(t.Context(), 100, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := replies.Wait(); err != nil {
		t.Error(err)
	}
	if gone := telegram.count("deleteMessage"); gone > 1 {
		t.Errorf("%d old screens removed", gone)
	}
}

func TestWhatIsGoneNeedsNoDeletingAndNoAnswer(t *testing.T) {
	t.Parallel()
	s := bot.NewSender(client(t, answer(400, `{"ok":false,"error_code":400,"description":"Bad Request: message to delete not found"}`)), bot.DefaultRate)
	if err := s.Delete(t.Context(), 1, 5); err != nil {
		t.Error(err)
	}
	if err := s.Answer(t.Context(), "old", ""); err != nil {
		t.Error(err)
	}
	revoked := bot.NewSender(client(t, answer(401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`)), bot.DefaultRate)
	if err := revoked.Delete(t.Context(), 1, 5); err == nil {
		t.Error("a revoked token was taken for a message that is gone")
	}
}
