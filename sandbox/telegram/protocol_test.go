package telegram_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func TestRoutesAndTokens(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cases := map[string]struct {
		verb, path string
		status     int
		text       string
	}{
		"a correct call":                      {"GET", "/bot" + token + "/getMe", 200, ""},
		"any letter case of the method":       {"POST", "/bot" + token + "/GETME", 200, ""},
		"the test environment":                {"GET", "/bot" + token + "/test/getMe", 200, ""},
		"an escaped token":                    {"GET", "/bot" + url.PathEscape(token) + "/getMe", 200, ""},
		"a wrong token is unauthorised":       {"GET", "/bot123456:other/getMe", 401, "Unauthorized"},
		"a malformed token is not found":      {"GET", "/botnonsense/getMe", 404, "Not Found"},
		"a token without secret is not found": {"GET", "/bot123456:/getMe", 404, "Not Found"},
		"no method is not found":              {"GET", "/bot" + token + "/", 404, "Not Found"},
		"another path is not found":           {"GET", "/healthz", 404, "Not Found"},
		"an unknown method is not found":      {"GET", "/bot" + token + "/sendPizza", 404, "Not Found: method not found"},
		"another verb is refused":             {"PUT", "/bot" + token + "/getMe", 405, "Method Not Allowed"},
		"a method that is not emulated":       {"GET", "/bot" + token + "/sendDice", 501, "Not Implemented: sandbox does not emulate sendDice"},
		"a file with a wrong token":           {"GET", "/file/bot123456:other/photos/x.png", 401, "Unauthorized"},
		"an unknown file":                     {"GET", "/file/bot" + token + "/photos/x.png", 404, "Not Found"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := w.do(tc.verb, tc.path, "", nil)
			if r.Status != tc.status || r.Description != tc.text || r.OK != (tc.status == 200) {
				t.Errorf("got %d %q ok=%v, want %d %q", r.Status, r.Description, r.OK, tc.status, tc.text)
			}
			if kind := r.Header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("content type %q", kind)
			}
			if strings.Contains(r.Description, token) {
				t.Error("the token is in the answer")
			}
		})
	}
}

func TestParametersComeInFourForms(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	values := url.Values{"chat_id": {"1001"}, "text": {"<b>hi</b>"}, "parse_mode": {"HTML"}, "protect_content": {"True"}}
	replies := map[string]reply{
		"query of GET":  w.do(http.MethodGet, "/bot"+token+"/sendMessage?"+values.Encode(), "", nil),
		"query of POST": w.do(http.MethodPost, "/bot"+token+"/sendMessage?"+values.Encode(), "", nil),
		"form":          w.post("sendMessage", "application/x-www-form-urlencoded", strings.NewReader(values.Encode())),
		"json": w.post("sendMessage", "application/json; charset=utf-8",
			strings.NewReader(`{"chat_id":"1001","text":"<b>hi</b>","parse_mode":"HTML","protect_content":1,"reply_markup":null}`)),
		"multipart": w.multipart("sendMessage", part{"chat_id", "", []byte("1001")}, part{"text", "", []byte("<b>hi</b>")},
			part{"parse_mode", "", []byte("HTML")}, part{"protect_content", "", []byte("true")}),
	}
	for name, r := range replies {
		if !r.OK {
			t.Errorf("%s: %d %s", name, r.Status, r.Description)
		}
	}
	messages := w.tg.Chat(1001).Messages
	for _, m := range messages[1:] {
		if m.HTML != "<b>hi</b>" || !m.Protected {
			t.Errorf("got %q protected=%v", m.HTML, m.Protected)
		}
	}
	if len(messages) != 1+len(replies) {
		t.Errorf("%d messages", len(messages))
	}
}

func TestUnreadableBodies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cases := map[string]struct {
		kind, body string
		status     int
		text       string
	}{
		"JSON that is no object": {"application/json", `[1]`, 400, "expected a JSON object"},
		"broken JSON":            {"application/json", `{`, 400, "expected a JSON object"},
		"another content type":   {"text/plain", `hello`, 400, `unsupported content type "text/plain"`},
		"broken multipart":       {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhel", 400, "malformed request body"},
		"broken form":            {"application/x-www-form-urlencoded", `a=%zz`, 400, "malformed form"},
		"text that is not UTF-8": {"application/x-www-form-urlencoded", `chat_id=1&text=%ff`, 400, "strings must be encoded in UTF-8"},
		"a body without end":     {"application/json", `{"a":"` + strings.Repeat("x", 65<<20) + `"}`, 413, "Request Entity Too Large"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := w.post("sendMessage", tc.kind, strings.NewReader(tc.body))
			if r.Status != tc.status || !strings.Contains(r.Description, tc.text) {
				t.Errorf("got %d %q, want %d %q", r.Status, r.Description, tc.status, tc.text)
			}
		})
	}
}

func TestCallsAreHeldAgainstTheTable(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	cases := map[string]struct {
		method string
		params params
		text   string
	}{
		"an unknown parameter":           {"sendMessage", params{"chat_id": 1001, "text": "x", "reply_id": 5}, `sandbox: unknown parameter "reply_id" of sendMessage`},
		"a parameter of another method":  {"getMe", params{"chat_id": 1}, `sandbox: unknown parameter "chat_id" of getMe`},
		"no chat":                        {"sendMessage", params{"text": "x"}, "chat_id is empty"},
		"no text":                        {"sendMessage", params{"chat_id": 1001}, "message text is empty"},
		"another missing parameter":      {"deleteMessage", params{"chat_id": 1001}, `parameter "message_id" is required`},
		"null counts as missing":         {"deleteMessage", params{"chat_id": 1001, "message_id": nil}, `parameter "message_id" is required`},
		"text where a number belongs":    {"deleteMessage", params{"chat_id": 1001, "message_id": "abc"}, `"message_id" of deleteMessage must be of type Integer`},
		"a fraction":                     {"deleteMessage", params{"chat_id": 1001, "message_id": 1.5}, "must be of type Integer"},
		"a number where text belongs":    {"sendMessage", params{"chat_id": 1001, "text": 5}, `"text" of sendMessage must be of type String`},
		"an object where text belongs":   {"sendMessage", params{"chat_id": 1001, "text": params{}}, "must be of type String"},
		"text where a boolean belongs":   {"sendMessage", params{"chat_id": 1001, "text": "x", "protect_content": "maybe"}, "must be of type Boolean"},
		"text where an object belongs":   {"sendMessage", params{"chat_id": 1001, "text": "x", "link_preview_options": "off"}, "must be of type LinkPreviewOptions"},
		"an object where a list belongs": {"setMyCommands", params{"commands": params{}}, "must be of type Array of BotCommand"},
		"an unknown field of an object":  {"sendMessage", params{"chat_id": 1001, "text": "x", "link_preview_options": params{"disabled": true}}, `unknown field "disabled" of LinkPreviewOptions`},
		"an unknown field of a button": {
			"sendMessage",
			params{"chat_id": 1001, "text": "x", "reply_markup": keyboard([]params{{"text": "a", "data": "b"}})},
			`unknown field "data" of InlineKeyboardButton`,
		},
		"a button without text":      {"sendMessage", params{"chat_id": 1001, "text": "x", "reply_markup": keyboard([]params{{"callback_data": "b"}})}, `can't parse inline keyboard button: Can't find field "text"`},
		"a button with a number":     {"sendMessage", params{"chat_id": 1001, "text": "x", "reply_markup": keyboard([]params{{"text": 5, "callback_data": "b"}})}, `Field "text" must be of type String`},
		"a wrong kind of media":      {"editMessageMedia", params{"chat_id": 1001, "message_id": 1, "media": params{"type": "hologram", "media": "x"}}, "must be of type InputMedia"},
		"an unknown field of a kind": {"editMessageMedia", params{"chat_id": 1001, "message_id": 1, "media": params{"type": "photo", "media": "x", "width": 5}}, `unknown field "width" of InputMediaPhoto`},
		"a scope with a wrong field": {"setMyCommands", params{"commands": []params{}, "scope": params{"type": "chat", "chat": 5}}, `unknown field "chat" of BotCommandScopeChat`},
		"a certificate as a string":  {"setWebhook", params{"url": "https://127.0.0.1", "certificate": "PEM"}, `"certificate" of setWebhook must be of type InputFile`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, tc.text, tc.method, tc.params)
		})
	}
	if got := len(w.tg.Violations()); got != len(cases) {
		t.Errorf("%d violations of %d", got, len(cases))
	}
}

func TestAnUploadMustHaveAPlace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	r := w.multipart("sendMessage", part{"chat_id", "", []byte("1001")}, part{"text", "", []byte("x")}, part{"photo", "a.png", []byte("x")})
	if r.Status != 400 || !strings.Contains(r.Description, `unknown parameter "photo" of sendMessage`) {
		t.Errorf("got %d %s", r.Status, r.Description)
	}
	r = w.multipart("sendMessage", part{"chat_id", "", []byte("1001")}, part{"text", "x.txt", []byte("x")})
	if r.Status != 400 || !strings.Contains(r.Description, `"text" of sendMessage must not be a file`) {
		t.Errorf("got %d %s", r.Status, r.Description)
	}
}

func TestLenientServersOnlyRecordUnknownNames(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *telegram.Config) { c.Lenient = true })
	w.start()
	button := params{"text": "Buy", "callback_data": "buy", "hide": false}
	w.send("x", params{"reply_id": 5, "reply_markup": keyboard([]params{button})})
	want := []string{
		`Bad Request: sandbox: unknown parameter "reply_id" of sendMessage`,
		`Bad Request: sandbox: parameter "reply_markup" of sendMessage has an unknown field "hide" of InlineKeyboardButton`,
	}
	if diff := cmp.Diff(want, w.tg.Violations()); diff != "" {
		t.Error(diff)
	}
	if got := w.tg.Chat(1001).Messages[1].Keyboard[0][0].Data; got != "buy" {
		t.Errorf("data %q", got)
	}
	w.refused(400, `Field "text" must be of type String`, "sendMessage", params{
		"chat_id": 1001, "text": "x", "reply_markup": keyboard([]params{{"hide": false, "text": 5, "callback_data": "b"}}),
	})
}

func TestViolationsNameWhatIsNotEmulated(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.refused(501, "does not emulate sendVideo", "sendvideo", params{})
	want := []string{"Not Implemented: sandbox does not emulate sendVideo"}
	if diff := cmp.Diff(want, w.tg.Violations()); diff != "" {
		t.Error(diff)
	}
}

func TestNullListOfTips(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.refused(400, "xpected an Array of suggested tip amounts", "createInvoiceLink", params{
		"title": "t", "description": "d", "payload": "p", "currency": "XTR",
		"prices": []params{{"label": "l", "amount": 1}}, "suggested_tip_amounts": nil,
	})
}

func TestTheBotKnowsItself(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *telegram.Config) { c.BotUsername, c.BotName = "gate_bot", "Gate" })
	var me struct {
		ID        int64  `json:"id"`
		IsBot     bool   `json:"is_bot"`
		FirstName string `json:"first_name"`
		Username  string `json:"username"`
	}
	w.must("getMe", nil, &me)
	if me.ID != 123456 || !me.IsBot || me.FirstName != "Gate" || me.Username != "gate_bot" {
		t.Errorf("got %+v", me)
	}
}

func TestChatDetails(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.refused(400, "chat not found", "getChat", params{"chat_id": 1001})
	w.start()
	var chat struct {
		ID        int64  `json:"id"`
		Type      string `json:"type"`
		FirstName string `json:"first_name"`
		Username  string `json:"username"`
	}
	w.must("getChat", params{"chat_id": "1001"}, &chat)
	if chat.ID != 1001 || chat.Type != "private" || chat.FirstName != "Ann" || chat.Username != "ann" {
		t.Errorf("got %+v", chat)
	}
}
