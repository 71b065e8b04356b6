package telegram_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func command(name, description string) params {
	return params{"command": name, "description": description}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	w := setup(t)
	set := func(name string, more params) {
		t.Helper()
		p := params{"commands": []params{command(name, "d")}}
		for key, value := range more {
			p[key] = value
		}
		w.must("setMyCommands", p, nil)
	}
	shown := func() string {
		commands := w.tg.Chat(1001).Commands
		if len(commands) != 1 {
			return ""
		}
		return commands[0].Command
	}
	w.refused(400, "chat not found", "setMyCommands", params{"commands": []params{}, "scope": params{"type": "chat", "chat_id": 1001}})
	w.start()
	steps := []struct {
		name string
		more params
	}{
		{"everyone", nil},
		{"russian", params{"language_code": "ru"}},
		{"private", params{"scope": params{"type": "all_private_chats"}}},
		{"admin", params{"scope": params{"type": "chat", "chat_id": 1001}}},
	}
	for _, step := range steps {
		set(step.name, step.more)
		if got := shown(); got != step.name {
			t.Errorf("shown %q, want %q", got, step.name)
		}
	}
	var list []telegram.Command
	w.must("getMyCommands", params{"scope": params{"type": "chat", "chat_id": 1001}}, &list)
	if diff := cmp.Diff([]telegram.Command{{Command: "admin", Description: "d"}}, list); diff != "" {
		t.Error(diff)
	}
	w.must("deleteMyCommands", params{"scope": params{"type": "chat", "chat_id": 1001}}, nil)
	w.must("getMyCommands", params{"scope": params{"type": "chat", "chat_id": 1001}}, &list)
	if len(list) != 0 || shown() != "private" {
		t.Errorf("after the removal: %v, shown %q", list, shown())
	}
}

func TestCommandsAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	many := make([]params, 101)
	for i := range many {
		many[i] = command("a", "d")
	}
	cases := map[string]struct {
		params params
		text   string
	}{
		"capital letters":    {params{"commands": []params{command("Start", "d")}}, "BOT_COMMAND_INVALID"},
		"a long name":        {params{"commands": []params{command(strings.Repeat("a", 33), "d")}}, "BOT_COMMAND_INVALID"},
		"no description":     {params{"commands": []params{command("a", "")}}, "BOT_COMMAND_DESCRIPTION_INVALID"},
		"a long description": {params{"commands": []params{command("a", strings.Repeat("я", 257))}}, "BOT_COMMAND_DESCRIPTION_INVALID"},
		"too many":           {params{"commands": many}, "BOT_COMMANDS_TOO_MUCH"},
		"a wrong language":   {params{"commands": []params{}, "language_code": "rus"}, "invalid language code specified"},
		"an unknown scope":   {params{"commands": []params{}, "scope": params{"type": "galaxy"}}, "must be of type BotCommandScope"},
		"an incomplete one":  {params{"commands": []params{}, "scope": params{"type": "chat"}}, `Can't find field "chat_id"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, tc.text, "setMyCommands", tc.params)
		})
	}
}

func TestTextsOfTheProfile(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cases := []struct {
		suffix, field string
		limit         int
		initial       string
	}{
		{"Name", "name", 64, "Sallyport"},
		{"Description", "description", 512, ""},
		{"ShortDescription", "short_description", 120, ""},
	}
	for _, tc := range cases {
		t.Run(tc.field, func(t *testing.T) {
			w := w.on(t)
			read := func(language string) string {
				var out map[string]string
				w.must("getMy"+tc.suffix, params{"language_code": language}, &out)
				return out[tc.field]
			}
			if got := read(""); got != tc.initial {
				t.Errorf("at first %q", got)
			}
			w.must("setMy"+tc.suffix, params{tc.field: "Gate"}, nil)
			w.must("setMy"+tc.suffix, params{tc.field: "Врата", "language_code": "ru"}, nil)
			if diff := cmp.Diff([]string{"Gate", "Врата", "Gate"}, []string{read(""), read("ru"), read("de")}); diff != "" {
				t.Error(diff)
			}
			w.must("setMy"+tc.suffix, params{tc.field: strings.Repeat("я", tc.limit)}, nil)
			w.refused(400, "must have at most", "setMy"+tc.suffix, params{tc.field: strings.Repeat("я", tc.limit+1)})
			w.refused(400, "invalid language code", "setMy"+tc.suffix, params{tc.field: "x", "language_code": "english"})
			w.refused(400, "invalid language code", "getMy"+tc.suffix, params{"language_code": "english"})
		})
	}
	w.refused(400, "BOT_TITLE_INVALID", "setMyName", params{"name": ""})
}

func TestMenuButton(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	read := func(p params) string {
		var out struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}
		w.must("getChatMenuButton", p, &out)
		return strings.TrimSpace(out.Type + " " + out.Text)
	}
	app := params{"type": "web_app", "text": "Shop", "web_app": params{"url": "https://a.b/"}}
	if a, b := read(nil), read(params{"chat_id": 1001}); a != "commands" || b != "default" {
		t.Errorf("at first %q, %q", a, b)
	}
	w.must("setChatMenuButton", params{"menu_button": app}, nil)
	if got := w.tg.Chat(1001).Menu; got != (telegram.Menu{Type: "web_app", Text: "Shop", URL: "https://a.b/"}) {
		t.Errorf("shown %+v", got)
	}
	w.must("setChatMenuButton", params{"chat_id": 1001, "menu_button": params{"type": "commands"}}, nil)
	if got := w.tg.Chat(1001).Menu; got.Type != "commands" {
		t.Errorf("shown %+v", got)
	}
	if a, b := read(nil), read(params{"chat_id": 1001}); a != "web_app Shop" || b != "commands" {
		t.Errorf("then %q, %q", a, b)
	}
	w.must("setChatMenuButton", nil, nil)
	w.refused(400, "chat not found", "setChatMenuButton", params{"chat_id": 5, "menu_button": app})
	w.refused(400, "chat not found", "getChatMenuButton", params{"chat_id": 5})
	app["text"] = ""
	w.refused(400, "BUTTON_TEXT_INVALID", "setChatMenuButton", params{"menu_button": app})
	app["text"], app["web_app"] = "Shop", params{"url": "http://a.b/"}
	w.refused(400, "Only HTTPS links are allowed", "setChatMenuButton", params{"menu_button": app})
}
