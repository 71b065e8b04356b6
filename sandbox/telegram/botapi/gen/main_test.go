package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sourceText = `{"version":"Bot API 1.0","methods":{
 "sendThing":{"params":{"thing":{"types":["InputThing"],"required":true},"reply_parameters":{"types":["String"]}}}},
 "types":{
 "InputThing":{"fields":{},"subtypes":["InputThingA"]},
 "InputThingA":{"fields":{"b":{"types":["String","Integer"]},"list":{"types":["Array of InputThing"]}}},
 "InlineKeyboardButton":{"fields":{}},"BotCommand":{"fields":{}},
 "Unreachable":{"fields":{"x":{"types":["String"]}}}}}`

const tableText = `{
 "version": "Bot API 1.0",
 "methods": {
  "sendThing": {
   "allow_sending_without_reply": "Boolean",
   "reply_parameters": "String",
   "reply_to_message_id": "Integer",
   "thing": "InputThing!"
  }
 },
 "types": {
  "InputThing": {},
  "InputThingA": {
   "b": "Integer|String",
   "list": "Array of InputThing"
  }
 },
 "unions": {
  "InputThing": [
   "InputThingA"
  ]
 }
}
`

func TestRunKeepsWhatParametersReach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.json")
	if err := os.WriteFile(in, []byte(sourceText), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(in, out); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tableText, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestRunNamesWhatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken, good := filepath.Join(dir, "broken.json"), filepath.Join(dir, "good.json")
	for name, text := range map[string]string{broken: "{", good: sourceText} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string][2]string{
		"no source":        {filepath.Join(dir, "absent.json"), filepath.Join(dir, "out.json")},
		"a broken source":  {broken, filepath.Join(dir, "out.json")},
		"nowhere to write": {good, filepath.Join(dir, "no", "such", "dir.json")},
	}
	for name, paths := range cases {
		if err := run(paths[0], paths[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
