// Package botapi knows which methods, parameters and objects the Telegram Bot API has, and checks calls against
// that knowledge. It holds names, types and required flags; it knows nothing of behaviour or of HTTP.
package botapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// go run ./gen -in FILE -out table.json makes the table from a machine-readable
// copy of the Bot API's documentation.

//go:embed table.json
var source string

// Field is one parameter of a method or one field of an object.
type Field struct {
	Types    []string
	Required bool
}

// UnmarshalJSON reads the compact form "Type|Type", with a trailing "!" when the field is required.
func (f *Field) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("decode a field: %w", err)
	}
	text, f.Required = strings.CutSuffix(text, "!")
	f.Types = strings.Split(text, "|")
	return nil
}

// Takes reports whether one of the field's types has the given name.
func (f Field) Takes(kind string) bool {
	for _, t := range f.Types {
		if t == kind {
			return true
		}
	}
	return false
}

// Fields maps names to fields.
type Fields map[string]Field

// Table is the Bot API as data. It is safe for concurrent use, because nothing changes it after Load.
type Table struct {
	Version string              `json:"version"`
	Methods map[string]Fields   `json:"methods"`
	Types   map[string]Fields   `json:"types"`
	Unions  map[string][]string `json:"unions"`

	canonical map[string]string
}

// Load decodes the embedded table.
func Load() (*Table, error) {
	t := new(Table)
	if err := json.Unmarshal([]byte(source), t); err != nil {
		return nil, fmt.Errorf("decode the Bot API table: %w", err)
	}
	t.canonical = make(map[string]string, len(t.Methods))
	for name := range t.Methods {
		t.canonical[strings.ToLower(name)] = name
	}
	return t, nil
}

// Method finds a method by its name, whatever its letter case, and returns the name as documented.
func (t *Table) Method(name string) (canonical string, fields Fields, ok bool) {
	canonical, ok = t.canonical[strings.ToLower(name)]
	return canonical, t.Methods[canonical], ok
}
