package telegram_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func TestSendMessage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	question := w.says(ann(), "hello")
	m := w.send("hi", params{"reply_parameters": params{"message_id": question}, "message_effect_id": "5046509860389126442", "protect_content": true})
	if m.Text != "hi" || !m.From.IsBot || m.From.ID != 123456 || m.Date == 0 {
		t.Errorf("got %+v", m)
	}
	if m.ReplyTo == nil || m.ReplyTo.MessageID != question {
		t.Errorf("reply to %+v", m.ReplyTo)
	}
	chat := w.tg.Chat(1001)
	last := chat.Messages[1]
	want := telegram.Message{
		ID: m.MessageID, FromBot: true, Date: last.Date, Text: "hi", HTML: "hi", ReplyTo: question,
		EffectID: "5046509860389126442", Protected: true,
	}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
}

func TestSendMessageIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	cases := map[string]struct {
		change params
		text   string
	}{
		"to a person who never wrote":   {params{"chat_id": 5}, "Bad Request: chat not found"},
		"to a channel by name":          {params{"chat_id": "@news"}, "Bad Request: chat not found"},
		"to nobody":                     {params{"chat_id": ""}, "chat_id is empty"},
		"with white space only":         {params{"text": " \n "}, "message text is empty"},
		"with too many characters":      {params{"text": strings.Repeat("я", 4097)}, "message is too long"},
		"with too many UTF-16 units":    {params{"text": strings.Repeat("🔑", 2049)}, "message is too long"},
		"with too many bytes":           {params{"text": strings.Repeat("<b></b>", 5000), "parse_mode": "HTML"}, "text is too long"},
		"as a reply to nothing":         {params{"reply_parameters": params{"message_id": 999}}, "message to be replied not found"},
		"as an old reply to nothing":    {params{"reply_to_message_id": 999}, "message to be replied not found"},
		"with a wrong effect":           {params{"message_effect_id": "boom"}, "EFFECT_ID_INVALID"},
		"for a business":                {params{"business_connection_id": "x"}, "business connection not found"},
		"into a topic":                  {params{"message_thread_id": 7}, "message thread not found"},
		"as a paid broadcast":           {params{"allow_paid_broadcast": true}, "sandbox: paid broadcasts are not emulated"},
		"as a suggested post":           {params{"suggested_post_parameters": params{}}, "sandbox: direct messages topics"},
		"with an empty keyboard button": {params{"reply_markup": params{"keyboard": [][]params{{{"text": ""}}}}}, "Button text must be non-empty"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			p := params{"chat_id": 1001, "text": "x"}
			for key, value := range tc.change {
				p[key] = value
			}
			w.refused(400, tc.text, "sendMessage", p)
		})
	}
	if n := len(w.tg.Chat(1001).Messages); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestTextLimitsCountAfterParsing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	if m := w.send("<b>"+strings.Repeat("я", 4096)+"</b>", params{"parse_mode": "HTML"}); len([]rune(m.Text)) != 4096 {
		t.Errorf("%d characters", len([]rune(m.Text)))
	}
	w.send("x", params{"reply_to_message_id": 999, "allow_sending_without_reply": true, "disable_web_page_preview": true})
}

func TestEditMessageText(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("one", params{"reply_markup": keyboard([]params{data("a", "b")})})
	target := params{"chat_id": 1001, "message_id": m.MessageID, "text": "two"}
	var edited sent
	w.must("editMessageText", target, &edited)
	if edited.Text != "two" || edited.EditDate == 0 || edited.MessageID != m.MessageID || len(edited.ReplyMarkup) != 0 {
		t.Errorf("got %+v", edited)
	}
	shown := w.tg.Chat(1001).Messages[1]
	if shown.Text != "two" || shown.EditDate == nil || shown.Keyboard != nil {
		t.Errorf("shown %+v", shown)
	}
	w.refused(400, "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as "+
		"a current content and reply markup of the message", "editMessageText", target)
	target["parse_mode"], target["text"] = "HTML", "<b>two</b>"
	w.must("editMessageText", target, nil)
	target["reply_markup"] = keyboard([]params{data("a", "c")})
	w.must("editMessageText", target, nil)
	w.refused(400, "message is not modified", "editMessageText", target)
}

func TestEditMessageReplyMarkup(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("one", nil)
	target := params{"chat_id": 1001, "message_id": m.MessageID}
	w.refused(400, "message is not modified", "editMessageReplyMarkup", target)
	target["reply_markup"] = keyboard([]params{data("a", "b")})
	w.must("editMessageReplyMarkup", target, nil)
	if got := w.tg.Chat(1001).Messages[1].Keyboard; len(got) != 1 || got[0][0].Data != "b" {
		t.Errorf("keyboard %+v", got)
	}
	target["reply_markup"] = keyboard()
	w.must("editMessageReplyMarkup", target, nil)
	if got := w.tg.Chat(1001).Messages[1].Keyboard; got != nil {
		t.Errorf("keyboard %+v", got)
	}
}

func TestEditsAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	mine := w.says(ann(), "hello")
	m := w.send("one", nil)
	gone := w.send("two", nil)
	w.must("deleteMessage", params{"chat_id": 1001, "message_id": gone.MessageID}, nil)
	cases := map[string]struct {
		method string
		params params
		text   string
	}{
		"of an unknown message":   {"editMessageText", params{"chat_id": 1001, "message_id": 999, "text": "x"}, "message to edit not found"},
		"of a deleted message":    {"editMessageText", params{"chat_id": 1001, "message_id": gone.MessageID, "text": "x"}, "message to edit not found"},
		"of the person's message": {"editMessageText", params{"chat_id": 1001, "message_id": mine, "text": "x"}, "message can't be edited"},
		"in an unknown chat":      {"editMessageText", params{"chat_id": 5, "message_id": 1, "text": "x"}, "chat not found"},
		"without a message":       {"editMessageText", params{"chat_id": 1001, "text": "x"}, "message identifier is not specified"},
		"of an inline message":    {"editMessageText", params{"inline_message_id": "x", "text": "x"}, "MESSAGE_ID_INVALID"},
		"to nothing":              {"editMessageText", params{"chat_id": 1001, "message_id": m.MessageID, "text": ""}, "message text is empty"},
		"to too much":             {"editMessageText", params{"chat_id": 1001, "message_id": m.MessageID, "text": strings.Repeat("x", 4097)}, "MESSAGE_TOO_LONG"},
		"to a rich message":       {"editMessageText", params{"chat_id": 1001, "message_id": m.MessageID, "rich_message": params{}}, "sandbox"},
		"of a missing caption":    {"editMessageCaption", params{"chat_id": 1001, "message_id": m.MessageID, "caption": "x"}, "there is no caption in the message to edit"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, tc.text, tc.method, tc.params)
		})
	}
}

func TestDeleteMessages(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, func(c *telegram.Config) { c.Now = now.Now })
	old := w.says(ann(), "old")
	now.Advance(49 * time.Hour)
	mine := w.says(ann(), "new")
	m := w.send("reply", nil)
	w.refused(400, "message can't be deleted", "deleteMessage", params{"chat_id": 1001, "message_id": old})
	w.refused(400, "message to delete not found", "deleteMessage", params{"chat_id": 1001, "message_id": 999})
	w.must("deleteMessage", params{"chat_id": 1001, "message_id": mine}, nil)
	w.refused(400, "message to delete not found", "deleteMessage", params{"chat_id": 1001, "message_id": mine})
	w.must("deleteMessages", params{"chat_id": 1001, "message_ids": []int{old, m.MessageID, 999}}, nil)
	w.refused(400, "message identifiers are not specified", "deleteMessages", params{"chat_id": 1001, "message_ids": []int{}})
	w.refused(400, "too many message identifiers", "deleteMessages", params{"chat_id": 1001, "message_ids": make([]int, 101)})
	var deleted []bool
	for _, message := range w.tg.Chat(1001).Messages {
		deleted = append(deleted, message.Deleted)
	}
	if diff := cmp.Diff([]bool{false, true, true}, deleted); diff != "" {
		t.Error(diff)
	}
}

func TestChatActions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	w.must("sendChatAction", params{"chat_id": 1001, "action": "typing"}, nil)
	if got := w.tg.Chat(1001).Action; got != "typing" {
		t.Errorf("action %q", got)
	}
	w.send("done", nil)
	if got := w.tg.Chat(1001).Action; got != "" {
		t.Errorf("action %q after the message", got)
	}
	w.refused(400, "wrong parameter action in request", "sendChatAction", params{"chat_id": 1001, "action": "dancing"})
}

func TestReplyKeyboard(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("pick", params{"reply_markup": params{"keyboard": [][]any{{"A", params{"text": "B"}}}, "resize_keyboard": true}})
	if len(m.ReplyMarkup) != 0 {
		t.Errorf("a reply keyboard came back: %s", m.ReplyMarkup)
	}
	if diff := cmp.Diff([][]string{{"A", "B"}}, w.tg.Chat(1001).Messages[1].ReplyKeyboard); diff != "" {
		t.Error(diff)
	}
}

func TestWaitSeesChanges(t *testing.T) {
	t.Parallel()
	w := setup(t)
	arrived := make(chan telegram.Chat, 1)
	ctx := within(t)
	go func() {
		chat, _ := w.tg.Wait(ctx, 1001, 0)
		arrived <- chat
	}()
	w.start()
	chat := receive(t, arrived)
	if chat.Version != 1 || len(chat.Messages) != 1 || chat.User.FirstName != "Ann" {
		t.Errorf("got %+v", chat)
	}
	go func() {
		chat, _ := w.tg.Wait(ctx, 1001, chat.Version)
		arrived <- chat
	}()
	w.send("hi", nil)
	if chat := receive(t, arrived); chat.Version != 2 || chat.Messages[1].Text != "hi" {
		t.Errorf("got %+v", chat)
	}
}

func TestOldMessagesAreForgotten(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.says(ann(), "first")
	for range 1000 {
		w.says(ann(), "again")
	}
	messages := w.tg.Chat(1001).Messages
	if len(messages) != 1000 || messages[0].ID == first {
		t.Errorf("%d messages, the first is %d", len(messages), messages[0].ID)
	}
}
