// Command gen derives the compact table of package botapi from a machine-readable copy of the Bot API.
//
// It keeps names, types and required flags only: the facts that a call can be checked against.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
)

// source is the input: one entry per method and per object type.
type source struct {
	Version string                `json:"version"`
	Methods map[string]sourceItem `json:"methods"`
	Types   map[string]sourceItem `json:"types"`
}

type sourceItem struct {
	Params   map[string]sourceField `json:"params"`
	Fields   map[string]sourceField `json:"fields"`
	Subtypes []string               `json:"subtypes"`
}

type sourceField struct {
	Types    []string `json:"types"`
	Required bool     `json:"required"`
}

// table is the output; a field is written as "Type|Type", with a trailing "!" when it is required.
type table struct {
	Version string                       `json:"version"`
	Methods map[string]map[string]string `json:"methods"`
	Types   map[string]map[string]string `json:"types"`
	Unions  map[string][]string          `json:"unions"`
}

func main() {
	in := flag.String("in", "", "machine-readable Bot API to read")
	out := flag.String("out", "", "compact table to write")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	raw, err := os.ReadFile(in)
	if err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	var src source
	if err := json.Unmarshal(raw, &src); err != nil {
		return fmt.Errorf("decode %s: %w", in, err)
	}
	supplement(&src)
	text, err := json.MarshalIndent(compact(src), "", " ")
	if err != nil {
		return fmt.Errorf("encode the table: %w", err)
	}
	if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// supplement adds what the source lacks: names newer than it, and older names that the server still reads.
func supplement(src *source) {
	add(src.Types["InlineKeyboardButton"].Fields, "disabled", "DisabledButton") // 10.3
	add(src.Types["BotCommand"].Fields, "is_ephemeral", "Boolean")              // 10.2
	for name, method := range src.Methods {
		if _, ok := method.Params["reply_parameters"]; ok {
			add(method.Params, "reply_to_message_id", "Integer")
			add(method.Params, "allow_sending_without_reply", "Boolean")
		}
		if name == "sendMessage" || name == "editMessageText" {
			add(method.Params, "disable_web_page_preview", "Boolean")
		}
	}
	src.Types["DisabledButton"] = sourceItem{}
}

func add(fields map[string]sourceField, name, kind string) {
	fields[name] = sourceField{Types: []string{kind}}
}

// compact keeps every method and only those object types that a parameter can reach.
func compact(src source) table {
	t := table{
		Version: src.Version,
		Methods: make(map[string]map[string]string, len(src.Methods)),
		Types:   make(map[string]map[string]string),
		Unions:  make(map[string][]string),
	}
	for name, method := range src.Methods {
		t.Methods[name] = fields(method.Params)
		for _, f := range method.Params {
			reach(src, t, f.Types)
		}
	}
	return t
}

// reach adds the named types, and all types of their fields, to the table.
func reach(src source, t table, names []string) {
	for _, name := range names {
		name = strings.ReplaceAll(name, "Array of ", "")
		item, known := src.Types[name]
		if _, done := t.Types[name]; done || !known {
			continue
		}
		t.Types[name] = fields(item.Fields)
		if len(item.Subtypes) > 0 {
			t.Unions[name] = item.Subtypes
			reach(src, t, item.Subtypes)
		}
		for _, f := range item.Fields {
			reach(src, t, f.Types)
		}
	}
}

func fields(in map[string]sourceField) map[string]string {
	out := make(map[string]string, len(in))
	for name, f := range in {
		types := append([]string(nil), f.Types...)
		sort.Strings(types)
		text := strings.Join(types, "|")
		if f.Required {
			text += "!"
		}
		out[name] = text
	}
	return out
}
