package telegram_test

import (
	"testing"
	"time"

	"sallyport/sandbox/telegram"
)

func limited(now *clock, limits telegram.Limits) func(*telegram.Config) {
	return func(c *telegram.Config) { c.Now, c.Limits = now.Now, limits }
}

func TestOneChatHasALimit(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, limited(now, telegram.Limits{}))
	w.start()
	for range 20 {
		w.send("x", nil)
	}
	r := w.refused(429, "Too Many Requests: retry after 1", "sendMessage", params{"chat_id": 1001, "text": "x"})
	if r.Parameters.RetryAfter != 1 || r.Header.Get("Retry-After") != "1" {
		t.Errorf("retry after %d, header %q", r.Parameters.RetryAfter, r.Header.Get("Retry-After"))
	}
	w.refused(429, "retry after 1", "editMessageText", params{"chat_id": 1001, "message_id": 3, "text": "y"})
	w.refused(400, "query is too old", "answerCallbackQuery", params{"callback_query_id": "1"})
	w.must("getChat", params{"chat_id": 1001}, nil)
	now.Advance(time.Second)
	w.send("x", nil)
	w.refused(429, "retry after 1", "sendMessage", params{"chat_id": 1001, "text": "x"})
}

func TestAllChatsTogetherHaveALimit(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, limited(now, telegram.Limits{Global: 5, PerChat: 0.1, PerChatBurst: 3}))
	for id := range int64(10) {
		w.says(telegram.User{ID: 1 + id, FirstName: "P"}, "hi")
	}
	for id := range int64(5) {
		w.must("sendMessage", params{"chat_id": 1 + id, "text": "x"}, nil)
	}
	w.refused(429, "retry after 1", "sendMessage", params{"chat_id": 6, "text": "x"})
	w.must("getMe", nil, nil)
	now.Advance(time.Second)
	for range 3 {
		w.must("sendMessage", params{"chat_id": 6, "text": "x"}, nil)
	}
	w.refused(429, "retry after 10", "sendMessage", params{"chat_id": 6, "text": "x"})
}

func TestLimitsCanBeDisabled(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	for range 50 {
		w.send("x", nil)
	}
}
