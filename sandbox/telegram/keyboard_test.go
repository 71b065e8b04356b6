package telegram_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func TestInlineKeyboard(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	w.send("pick", params{"reply_markup": keyboard(
		[]params{{"text": "Buy", "callback_data": "buy", "style": "success"}, {"text": "Site", "url": "https://a.b/"}},
		[]params{{"text": "Copy", "copy_text": params{"text": "vless://x"}}, {"text": "App", "web_app": params{"url": "http://127.0.0.1:8080/app"}}},
		[]params{{"text": "Soon", "disabled": params{}}, {"text": "Share", "switch_inline_query": ""}},
	)})
	want := [][]telegram.Button{
		{{Text: "Buy", Data: "buy", Style: "success"}, {Text: "Site", URL: "https://a.b/"}},
		{{Text: "Copy", CopyText: "vless://x"}, {Text: "App", WebAppURL: "http://127.0.0.1:8080/app"}},
		{{Text: "Soon", Disabled: true}, {Text: "Share"}},
	}
	if diff := cmp.Diff(want, w.tg.Chat(1001).Messages[1].Keyboard); diff != "" {
		t.Error(diff)
	}
}

func TestInlineKeyboardIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	many := make([]params, 101)
	for i := range many {
		many[i] = data("a", "b")
	}
	cases := map[string]struct {
		row  []params
		text string
	}{
		"without an action":           {[]params{{"text": "a"}}, "Text buttons are unallowed in the inline keyboard"},
		"with two actions":            {[]params{{"text": "a", "callback_data": "b", "url": "https://a.b"}}, "sandbox: inline keyboard button must have exactly one action"},
		"with an empty text":          {[]params{data(" ", "b")}, "Button text must be non-empty"},
		"with empty data":             {[]params{data("a", "")}, "BUTTON_DATA_INVALID"},
		"with 65 bytes of data":       {[]params{data("a", strings.Repeat("я", 32)+"x")}, "BUTTON_DATA_INVALID"},
		"with a wrong address":        {[]params{{"text": "a", "url": "not an address"}}, "BUTTON_URL_INVALID"},
		"with a mail address":         {[]params{{"text": "a", "url": "mailto:a@b.c"}}, "BUTTON_URL_INVALID"},
		"with too much to copy":       {[]params{{"text": "a", "copy_text": params{"text": strings.Repeat("x", 257)}}}, "BUTTON_COPY_TEXT_INVALID"},
		"with an open Mini App":       {[]params{{"text": "a", "web_app": params{"url": "http://a.b/"}}}, "Only HTTPS links are allowed"},
		"with an unknown style":       {[]params{{"text": "a", "callback_data": "b", "style": "rainbow"}}, "Unsupported button style"},
		"with Pay outside an invoice": {[]params{{"text": "a", "pay": true}}, "BUTTON_TYPE_INVALID"},
		"with too many buttons":       {many, "reply markup is too long"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, tc.text, "sendMessage", params{"chat_id": 1001, "text": "x", "reply_markup": keyboard(tc.row)})
		})
	}
}

func TestDataOf64Bytes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	value := strings.Repeat("я", 32)
	m := w.send("x", params{"reply_markup": keyboard([]params{data("a", value)})})
	if _, err := w.tg.Press(1001, m.MessageID, value); err != nil {
		t.Error(err)
	}
}

func TestPressAndAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	id, err := w.tg.Press(1001, m.MessageID, "buy")
	if err != nil {
		t.Fatal(err)
	}
	answer := params{"callback_query_id": id, "text": "Wait", "show_alert": true, "url": "https://t.me/x?start=1"}
	w.must("answerCallbackQuery", answer, nil)
	w.must("answerCallbackQuery", answer, nil)
	got := w.tg.Chat(1001).Answers
	if len(got) != 1 {
		t.Fatalf("answers %+v", got)
	}
	want := telegram.Answer{QueryID: id, Text: "Wait", Alert: true, URL: "https://t.me/x?start=1", At: got[0].At}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
}

func TestAnswersAreRefused(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, func(c *telegram.Config) { c.Now = now.Now })
	w.start()
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	id, err := w.tg.Press(1001, m.MessageID, "buy")
	if err != nil {
		t.Fatal(err)
	}
	const late = "Bad Request: query is too old and response timeout expired or query ID is invalid"
	w.refused(400, late, "answerCallbackQuery", params{"callback_query_id": "1"})
	w.refused(400, "MESSAGE_TOO_LONG", "answerCallbackQuery", params{"callback_query_id": id, "text": strings.Repeat("я", 201)})
	w.refused(400, "cache_time", "answerCallbackQuery", params{"callback_query_id": id, "cache_time": -1})
	now.Advance(151 * time.Second)
	w.refused(400, late, "answerCallbackQuery", params{"callback_query_id": id})
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	last := ""
	for range 25 {
		id, err := w.tg.Press(1001, m.MessageID, "buy")
		if err != nil {
			t.Fatal(err)
		}
		w.must("answerCallbackQuery", params{"callback_query_id": id}, nil)
		last = id
	}
	got := w.tg.Chat(1001).Answers
	if len(got) != 20 || got[19].QueryID != last {
		t.Errorf("%d answers", len(got))
	}
}

func TestWhatPeopleCannotDo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cases := []struct {
		name string
		do   func() error
		want error
	}{
		{"press before writing", func() error { _, err := w.tg.Press(1001, 1, "x"); return err }, telegram.ErrNoChat},
		{"block before writing", func() error { return w.tg.SetBlocked(1001, true) }, telegram.ErrNoChat},
		{"pay before writing", func() error { return w.tg.PayStars(1001, 1) }, telegram.ErrNoChat},
		{"write nothing", func() error { _, err := w.tg.SendText(ann(), " "); return err }, telegram.ErrText},
		{"write too much", func() error { _, err := w.tg.SendText(ann(), strings.Repeat("x", 4097)); return err }, telegram.ErrText},
		{"write bytes", func() error { _, err := w.tg.SendText(ann(), "\xff"); return err }, telegram.ErrText},
		{"write", func() error { _, err := w.tg.SendText(ann(), "hi"); return err }, nil},
		{"press under nothing", func() error { _, err := w.tg.Press(1001, 999, "x"); return err }, telegram.ErrNoMessage},
		{"press nothing", func() error { _, err := w.tg.Press(1001, 2, "x"); return err }, telegram.ErrNoButton},
		{"pay a text", func() error { return w.tg.PayStars(1001, 2) }, telegram.ErrNoInvoice},
		{"block", func() error { return w.tg.SetBlocked(1001, true) }, nil},
		{"block again", func() error { return w.tg.SetBlocked(1001, true) }, nil},
		{"write while blocking", func() error { _, err := w.tg.SendText(ann(), "hi"); return err }, telegram.ErrBlocked},
		{"press while blocking", func() error { _, err := w.tg.Press(1001, 2, "x"); return err }, telegram.ErrBlocked},
	}
	for _, tc := range cases {
		if err := tc.do(); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestBlockedPeopleGetNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	if err := w.tg.SetBlocked(1001, true); err != nil {
		t.Fatal(err)
	}
	if !w.tg.Chat(1001).Blocked {
		t.Error("the snapshot does not say so")
	}
	const text = "Forbidden: bot was blocked by the user"
	w.refused(403, text, "sendMessage", params{"chat_id": 1001, "text": "x"})
	w.refused(403, text, "sendPhoto", params{"chat_id": 1001, "photo": "x"})
	w.refused(403, text, "sendChatAction", params{"chat_id": 1001, "action": "typing"})
	if err := w.tg.SetBlocked(1001, false); err != nil {
		t.Fatal(err)
	}
	w.send("welcome back", nil)
}
