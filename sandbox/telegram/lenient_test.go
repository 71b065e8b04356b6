package telegram_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func lenient(c *telegram.Config) { c.Lenient = true }

// A library may send every action with each button, all but one of them empty.
func TestOfAButtonsActionsALenientServerTakesTheFirstThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	w := setup(t, lenient)
	w.start()
	empty := params{"text": ""}
	w.send("x", params{"reply_markup": keyboard([]params{
		{"text": "a", "callback_data": "a", "copy_text": empty},
		{"text": "b", "url": "", "callback_data": "b", "pay": false},
		{"text": "c", "callback_data": "c", "url": "https://a.b"},
		{"text": "d", "callback_data": "", "copy_text": params{"text": "d"}},
	})})
	want := []telegram.Button{{Text: "a", Data: "a"}, {Text: "b", Data: "b"}, {Text: "c", URL: "https://a.b"}, {Text: "d", CopyText: "d"}}
	if diff := cmp.Diff(want, w.tg.Chat(1001).Messages[1].Keyboard[0]); diff != "" {
		t.Error(diff)
	}
	w.refused(400, "Text buttons are unallowed", "sendMessage", params{
		"chat_id": 1001, "text": "x", "reply_markup": keyboard([]params{{"text": "e", "url": "", "copy_text": empty}}),
	})
	strict := setup(t)
	strict.start()
	strict.refused(400, "exactly one action", "sendMessage", params{
		"chat_id": 1001, "text": "x", "reply_markup": keyboard([]params{{"text": "a", "callback_data": "a", "copy_text": empty}}),
	})
}

func TestALenientServerShowsUnknownNamesOfCharactersAsTheyStand(t *testing.T) {
	t.Parallel()
	w := setup(t, lenient)
	w.start()
	if m := w.send("a&nbsp;&copy;&amp;", params{"parse_mode": "HTML"}); m.Text != "a&nbsp;&copy;&" {
		t.Errorf("got %q", m.Text)
	}
	if m := w.send(`<tg-time unix="1647531900" format="wDT">soon</tg-time>`, params{"parse_mode": "HTML"}); m.Text != "soon" || brief(m) != "date_time 0+4" {
		t.Errorf("got %q, %s", m.Text, brief(m))
	}
	w.refused(400, "Invalid unix time", "sendMessage", params{"chat_id": 1001, "text": `<tg-time unix="x">a</tg-time>`, "parse_mode": "HTML"})
}

func TestMarkdownBecomesTextAndEntities(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	for _, c := range []struct{ mode, in, text, entities string }{
		{"MarkdownV2", `*bold _italic_* __under__ ~strike~ ||spoiler||`, "bold italic under strike spoiler", "bold 0+11, italic 5+6, underline 12+5, strikethrough 18+6, spoiler 25+7"},
		{"MarkdownV2", `1\.5 \* 2 \= 3\!`, "1.5 * 2 = 3!", ""},
		{"MarkdownV2", "`a*b_c` x", "a*b_c x", "code 0+5"},
		{"MarkdownV2", "```go\nx := 1\n```", "x := 1", "pre 0+6 go"},
		{"MarkdownV2", "```\nx```", "x", "pre 0+1"},
		{"MarkdownV2", `[go](https://a.b/\)x) 🔑*k*`, "go 🔑k", "text_link 0+2 https://a.b/)x, bold 5+1"},
		{"MarkdownV2", `![👍](tg://emoji?id=5368)`, "👍", "custom_emoji 0+2 5368"},
		{"MarkdownV2", ">a\n>b\nc", "a\nb\nc", "blockquote 0+4"},
		{"markdown", "*bold* _it_ `co*de` [go](https://a.b/x) 2.5! \\*", "bold it co*de go 2.5! *", "bold 0+4, italic 5+2, code 8+5, text_link 14+2 https://a.b/x"},
		{"Markdown", "```go\nx\n```", "x", "pre 0+1 go"},
	} {
		m := w.send(c.in, params{"parse_mode": c.mode})
		if m.Text != c.text || brief(m) != c.entities {
			t.Errorf("%s %q: %q with %q, want %q with %q", c.mode, c.in, m.Text, brief(m), c.text, c.entities)
		}
	}
	for _, c := range []struct{ mode, in, says string }{
		{"MarkdownV2", "a.b", "Character '.' is reserved and must be escaped with the preceding '\\'"},
		{"MarkdownV2", "*a", "Can't find end of Bold entity at byte offset 0"},
		{"MarkdownV2", "x [a](b", "Can't find end of a URL at byte offset 5"},
		{"Markdown", "ab*c", "Can't find end of the entity starting at byte offset 2"},
		{"MarkdownV3", "a", "unsupported parse_mode"},
	} {
		w.refused(400, c.says, "sendMessage", params{"chat_id": 1001, "text": c.in, "parse_mode": c.mode})
	}
}

// Whoever has blocked the bot is said to have, however much was sent before.
func TestWhatIsRefusedCostsNothingOfWhatMayBeSent(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *telegram.Config) { c.Limits = telegram.Limits{PerChat: 0.001, PerChatBurst: 3} })
	w.start()
	for range 10 {
		w.refused(400, "message text is empty", "sendMessage", params{"chat_id": 1001, "text": ""})
		w.refused(400, "chat not found", "sendMessage", params{"chat_id": 4040, "text": "x"})
	}
	for range 3 {
		w.send("x", nil)
	}
	w.refused(429, "Too Many Requests", "sendMessage", params{"chat_id": 1001, "text": "x"})
	if err := w.tg.SetBlocked(1001, true); err != nil {
		t.Fatal(err)
	}
	w.refused(403, "blocked", "sendMessage", params{"chat_id": 1001, "text": "x"})
}

func TestTheListOfTransactionsTakesAnyLimit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, limit := range []int{-5, 0, 1, 100, 101, 1_000_000} {
		w.must("getStarTransactions", params{"limit": limit}, nil)
	}
}

// There are libraries that send no parameters as null.
func TestNoParametersMayBeNull(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, body := range []string{"null", " null\n", "{}", ""} {
		if r := w.post("getMe", "application/json", strings.NewReader(body)); !r.OK {
			t.Errorf("%q: %d %s", body, r.Status, r.Description)
		}
	}
}
