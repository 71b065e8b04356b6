package botapi_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram/botapi"
)

func load(t *testing.T) *botapi.Table {
	t.Helper()
	table, err := botapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTableHoldsTheWholeAPI(t *testing.T) {
	t.Parallel()
	table := load(t)
	if len(table.Methods) != 180 || !strings.Contains(table.Version, "10.1") {
		t.Errorf("%d methods of %s", len(table.Methods), table.Version)
	}
	name, fields, ok := table.Method("SENDMESSAGE")
	if !ok || name != "sendMessage" {
		t.Fatalf("got %q, %v", name, ok)
	}
	want := botapi.Field{Types: []string{"Integer", "String"}, Required: true}
	if diff := cmp.Diff(want, fields["chat_id"]); diff != "" {
		t.Error(diff)
	}
	if fields["parse_mode"].Required || !fields["text"].Takes("String") || fields["text"].Takes("Integer") {
		t.Errorf("got %+v", fields["text"])
	}
	if _, _, ok := table.Method("sendPizza"); ok {
		t.Error("an unknown method was found")
	}
}

func TestEveryTypeIsKnown(t *testing.T) {
	t.Parallel()
	table := load(t)
	known := func(kind string) bool {
		kind = strings.ReplaceAll(kind, "Array of ", "")
		switch kind {
		case "String", "Integer", "Float", "Boolean":
			return true
		}
		_, ok := table.Types[kind]
		return ok
	}
	check := func(owner string, fields botapi.Fields) {
		for name, field := range fields {
			for _, kind := range field.Types {
				if !known(kind) {
					t.Errorf("%s.%s has the unknown type %q", owner, name, kind)
				}
			}
		}
	}
	for name, fields := range table.Methods {
		check(name, fields)
	}
	for name, fields := range table.Types {
		check(name, fields)
	}
	for name, kinds := range table.Unions {
		for _, kind := range kinds {
			if !known(kind) {
				t.Errorf("%s holds the unknown type %q", name, kind)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	table := load(t)
	cases := map[string]struct{ kind, json, text string }{
		"a number":                      {"Integer", `5`, ""},
		"a number in a string":          {"Integer", `"-5"`, ""},
		"a whole number with a point":   {"Integer", `5.0`, ""},
		"a power of ten":                {"Integer", `1e3`, ""},
		"a fraction":                    {"Integer", `5.5`, "must be of type Integer"},
		"more than 64 bits":             {"Integer", `99999999999999999999`, "must be of type Integer"},
		"hexadecimal":                   {"Integer", `"0x10"`, "must be of type Integer"},
		"a boolean for a number":        {"Integer", `true`, "must be of type Integer"},
		"a float":                       {"Float", `5.5`, ""},
		"a word for a float":            {"Float", `"x"`, "must be of type Float"},
		"a boolean":                     {"Boolean", `false`, ""},
		"a boolean as a word":           {"Boolean", `"Yes"`, ""},
		"another word":                  {"Boolean", `"perhaps"`, "must be of type Boolean"},
		"a list":                        {"Array of Integer", `[1,"2"]`, ""},
		"a list with a wrong item":      {"Array of Integer", `[1,"x"]`, "must be of type Integer"},
		"an object for a list":          {"Array of Integer", `{}`, "must be of type Array of Integer"},
		"a list of lists":               {"InlineKeyboardMarkup", `{"inline_keyboard":[[{"text":"a","pay":true}]]}`, ""},
		"a field of a wrong type":       {"InlineKeyboardMarkup", `{"inline_keyboard":[[{"text":1}]]}`, `field "text" must be of type String`},
		"a missing field":               {"ReplyParameters", `{}`, `can't find field "message_id"`},
		"null in an optional field":     {"ReplyParameters", `{"message_id":1,"quote":null}`, ""},
		"null in a required field":      {"ReplyParameters", `{"message_id":null}`, `field "message_id" must be of type Integer`},
		"an unknown field":              {"ReplyParameters", `{"message_id":1,"x":1}`, `unknown field "x" of ReplyParameters`},
		"text for an object":            {"ReplyParameters", `"x"`, "must be of type ReplyParameters"},
		"a kind by its name":            {"InputMedia", `{"type":"photo","media":"x"}`, ""},
		"the longer of two kinds":       {"InputMedia", `{"type":"live_photo","media":"x","photo":"y"}`, ""},
		"a kind that does not exist":    {"InputMedia", `{"type":"smell","media":"x"}`, "must be of type InputMedia"},
		"a kind without a name":         {"MenuButton", `{}`, `can't find field "type"`},
		"a menu button":                 {"MenuButton", `{"type":"web_app","text":"a","web_app":{"url":"https://a.b"}}`, ""},
		"a scope":                       {"BotCommandScope", `{"type":"all_chat_administrators"}`, ""},
		"a button that is text":         {"KeyboardButton", `"A"`, ""},
		"names newer than the source":   {"InlineKeyboardButton", `{"text":"a","disabled":{}}`, ""},
		"an unknown field of no object": {"CallbackGame", `{"x":1}`, `unknown field "x" of CallbackGame`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decoder := json.NewDecoder(strings.NewReader(tc.json))
			decoder.UseNumber()
			var value any
			if err := decoder.Decode(&value); err != nil {
				t.Fatal(err)
			}
			err := table.Check([]string{tc.kind}, value)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.text {
				t.Errorf("got %q, want %q", got, tc.text)
			}
			var unknown *botapi.UnknownField
			if errors.As(err, &unknown) != strings.HasPrefix(tc.text, "unknown field") {
				t.Errorf("kind of %v", err)
			}
		})
	}
}

func TestMarkupIsCheckedAgainstItsLikeliestType(t *testing.T) {
	t.Parallel()
	table := load(t)
	kinds := []string{"InlineKeyboardMarkup", "ReplyKeyboardMarkup", "ReplyKeyboardRemove", "ForceReply"}
	value := map[string]any{"keyboard": []any{}, "resize": true}
	if err := table.Check(kinds, value); err == nil || err.Error() != `unknown field "resize" of ReplyKeyboardMarkup` {
		t.Errorf("got %v", err)
	}
	if err := table.Check(kinds, map[string]any{"remove_keyboard": true}); err != nil {
		t.Error(err)
	}
}

func TestFieldRefusesOtherJSON(t *testing.T) {
	t.Parallel()
	var f botapi.Field
	if err := json.Unmarshal([]byte(`5`), &f); err == nil {
		t.Error("a number was taken for a field")
	}
}
