package botapi

import (
	"encoding/json"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// UnknownField says that an object has a field that the Bot API does not know.
type UnknownField struct {
	Type, Field string
}

// Error names the field and the type.
func (e *UnknownField) Error() string {
	return fmt.Sprintf("unknown field %q of %s", e.Field, e.Type)
}

// Check reports whether a decoded JSON value (numbers as json.Number) fits at least one of the types.
// Numbers and booleans may be written as strings, as the real server allows.
func (t *Table) Check(types []string, value any) error {
	return checker{Table: t}.fits(types, value)
}

// CheckLoosely is Check, but hands unknown fields to note instead of failing on them.
func (t *Table) CheckLoosely(types []string, value any, note func(*UnknownField)) error {
	return checker{Table: t, note: note}.fits(types, value)
}

// checker is one walk through a value.
type checker struct {
	*Table
	note func(*UnknownField) // nil means that an unknown field is an error
}

func (t checker) fits(types []string, value any) error {
	var first error
	for _, kind := range t.candidates(types, value) {
		err := t.check(kind, value)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		return fmt.Errorf("must be of type %s", strings.Join(types, " or "))
	}
	return first
}

// candidates orders the types so that the error of the most likely one is reported.
func (t *Table) candidates(types []string, value any) []string {
	object, ok := value.(map[string]any)
	if !ok {
		return types
	}
	var all []string
	for _, kind := range types {
		if union := t.Unions[kind]; len(union) > 0 {
			all = append(all, union...)
			continue
		}
		all = append(all, kind)
	}
	if len(all) < 2 {
		return all
	}
	if name, ok := object["type"].(string); ok {
		return bySuffix(all, name)
	}
	sort.SliceStable(all, func(i, j int) bool { return t.present(all[i], object) > t.present(all[j], object) })
	return all
}

// bySuffix picks the type that a discriminator names: "web_app" means MenuButtonWebApp among the menu buttons.
func bySuffix(types []string, discriminator string) []string {
	suffix := strings.ToLower(strings.ReplaceAll(discriminator, "_", ""))
	best := ""
	for _, kind := range types {
		matches := suffix != "" && strings.HasSuffix(strings.ToLower(kind), suffix)
		if matches && (best == "" || len(kind) < len(best)) {
			best = kind // the shortest: "photo" is InputMediaPhoto rather than InputMediaLivePhoto
		}
	}
	if best == "" {
		return nil
	}
	return []string{best}
}

// present counts the fields of the object that the type knows.
func (t *Table) present(kind string, object map[string]any) int {
	n := 0
	for name := range object {
		if _, ok := t.Types[kind][name]; ok {
			n++
		}
	}
	return n
}

func (t checker) check(kind string, value any) error {
	if inner, ok := strings.CutPrefix(kind, "Array of "); ok {
		return t.checkArray(kind, inner, value)
	}
	switch kind {
	case "String", "Integer", "Float", "Float number", "Boolean", "True":
		return checkScalar(kind, value)
	}
	if _, text := value.(string); text && kind == "KeyboardButton" {
		return nil // a button of a reply keyboard may be its text alone
	}
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("must be of type %s", kind)
	}
	return t.checkObject(kind, object)
}

func (t checker) checkArray(kind, inner string, value any) error {
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("must be of type %s", kind)
	}
	for _, item := range list {
		if err := t.fits([]string{inner}, item); err != nil {
			return err
		}
	}
	return nil
}

func (t checker) checkObject(kind string, object map[string]any) error {
	fields := t.Types[kind]
	for _, name := range sorted(object) {
		field, ok := fields[name]
		if !ok && t.note == nil {
			return &UnknownField{Type: kind, Field: name}
		}
		if !ok {
			t.note(&UnknownField{Type: kind, Field: name})
			continue
		}
		if object[name] == nil && !field.Required {
			continue
		}
		if err := t.fits(field.Types, object[name]); err != nil {
			return inField(name, err)
		}
	}
	for _, name := range sorted(fields) {
		if _, ok := object[name]; fields[name].Required && !ok {
			return fmt.Errorf("can't find field %q", name)
		}
	}
	return nil
}

// inField puts the field's name before a bare type complaint and leaves errors of deeper fields as they are.
func inField(name string, err error) error {
	if strings.HasPrefix(err.Error(), "must be") {
		return fmt.Errorf("field %q %w", name, err)
	}
	return err
}

func checkScalar(kind string, value any) error {
	ok := false
	switch kind {
	case "String":
		_, ok = value.(string)
	case "Boolean", "True":
		_, ok = ParseBool(fmt.Sprint(value))
	case "Integer":
		_, ok = integer(value)
	default:
		_, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		ok = err == nil
	}
	if !ok {
		return fmt.Errorf("must be of type %s", kind)
	}
	return nil
}

func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case json.Number:
		return ParseInt(v.String())
	case string:
		return ParseInt(v)
	}
	return 0, false
}

// ParseInt reads an integer of at most 64 bits; "1.0" and "1e3" count, because JSON writers may produce them.
func ParseInt(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if len(text) == 0 || len(text) > 40 || strings.ContainsAny(text, "xXpPiInN/_") {
		return 0, false
	}
	f, _, err := big.ParseFloat(text, 10, 128, big.ToNearestEven)
	if err != nil || !f.IsInt() {
		return 0, false
	}
	n, accuracy := f.Int64()
	return n, accuracy == big.Exact
}

// ParseBool reads a boolean as the server does: true, yes and 1 in any letter case; false, no, 0 and nothing.
func ParseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "yes", "1":
		return true, true
	case "false", "no", "0", "":
		return false, true
	}
	return false, false
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
