package bot_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

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
	if calls.Load() > 13 || limited < 7 {
		t.Errorf("%d messages in an instant to one chat, %d held back", calls.Load(), limited)
	}
	if _, err := s.Send(t.Context(), bot.Reply, 2, screen); err != nil {
		t.Errorf("another chat: %v", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("held the caller for %s", took)
	}
}

func TestKeysGoBeforeRepliesAndRepliesBeforeNotices(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := bot.NewSender(client(t, counting(&calls)), bot.DefaultRate)
	sent := make(map[bot.Priority]int)
	for chat := range int64(60) { // more of each than may be sent in an instant
		for _, p := range []bot.Priority{bot.Notice, bot.Notice, bot.Reply} {
			if _, err := s.Send(t.Context(), p, int64(p)*1000+chat, bot.Screen{}); err == nil {
				sent[p]++
			}
		}
	}
	if sent[bot.Notice] > 20 || sent[bot.Notice] < 3 || sent[bot.Reply] < 8 {
		t.Errorf("sent %v", sent)
	}
	for chat := range int64(3) {
		if _, err := s.Send(t.Context(), bot.Key, 9000+chat, bot.Screen{}); err != nil {
			t.Errorf("a key waits behind free messages: %v", err)
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
	for range 5 {
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
