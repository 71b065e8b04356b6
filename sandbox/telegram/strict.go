package telegram

import (
	"bytes"
	"encoding/json"
	"errors"
	"sort"
	"strings"

	"sallyport/sandbox/telegram/botapi"
)

// checkCall holds a call against the Bot API's own table: names, required parameters, types, nested objects.
func (s *Server) checkCall(c *call, fields botapi.Fields) error {
	if !c.utf8Valid() {
		return badRequest("strings must be encoded in UTF-8")
	}
	for _, name := range unknownNames(c, fields) {
		err := s.violated(badRequest("sandbox: unknown parameter %q of %s", name, c.method))
		if !s.cfg.Lenient {
			return err
		}
	}
	for _, name := range sortedNames(fields) {
		if err := s.checkParameter(c, name, fields[name]); err != nil {
			return s.violated(err)
		}
	}
	return nil
}

// unknownNames lists the parameters that the method does not have and the uploads that nothing refers to.
func unknownNames(c *call, fields botapi.Fields) []string {
	var unknown []string
	for _, name := range sortedNames(c.args) {
		if _, ok := fields[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	attached := c.attached()
	for _, name := range sortedNames(c.files) {
		if _, ok := fields[name]; !ok && !attached[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func (s *Server) checkParameter(c *call, name string, field botapi.Field) error {
	if _, uploaded := c.files[name]; uploaded {
		if !field.Takes("InputFile") {
			return badRequest("sandbox: parameter %q of %s must not be a file", name, c.method)
		}
		return nil
	}
	a, sent := c.args[name]
	if !sent || a.null() {
		return checkAbsent(c, name, field, sent)
	}
	return s.checkValue(c, name, field, a)
}

// checkAbsent uses the real server's own texts where they are known.
func checkAbsent(c *call, name string, field botapi.Field, null bool) error {
	switch {
	case null && name == "suggested_tip_amounts":
		return badRequest("expected an Array of suggested tip amounts")
	case !field.Required:
		return nil
	case name == "chat_id":
		return badRequest("chat_id is empty")
	case name == "text" && c.method == "sendMessage":
		return badRequest("message text is empty")
	}
	return badRequest("parameter %q is required", name)
}

func (s *Server) checkValue(c *call, name string, field botapi.Field, a arg) error {
	if file, ok := strings.CutPrefix(a.text, "attach://"); ok && field.Takes("InputFile") {
		if _, uploaded := c.files[file]; uploaded {
			return nil
		}
	}
	if a.text == "" && a.form == formText {
		return nil // an empty form value means "not given"
	}
	err := s.table.Check(field.Types, a.value(field))
	var unknown *botapi.UnknownField
	if errors.As(err, &unknown) && s.cfg.Lenient {
		err = s.table.CheckLoosely(field.Types, a.value(field), func(u *botapi.UnknownField) {
			_ = s.violated(unknownField(c, name, u))
		})
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return unknownField(c, name, unknown)
	case strings.HasPrefix(err.Error(), "must be"):
		return badRequest("sandbox: parameter %q of %s %s", name, c.method, err)
	case name == "reply_markup":
		return badRequest("can't parse inline keyboard button: %s", upperFirst(err.Error()))
	}
	return badRequest("can't parse %s: %s", name, upperFirst(err.Error()))
}

func unknownField(c *call, name string, u *botapi.UnknownField) error {
	return badRequest("sandbox: parameter %q of %s has an %s", name, c.method, u)
}

// value decodes what was written; text stays text unless the parameter is an object or an array.
func (a arg) value(field botapi.Field) any {
	structured := a.form == formOther || (!field.Takes("String") && !field.Takes("InputFile"))
	if !structured {
		return a.text
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(a.text)))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil || decoder.More() {
		return a.text
	}
	return value
}

// violated remembers what the real server would have let pass or what a correct client never sends.
func (s *Server) violated(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteViolation(err.Error())
	return err
}

func (s *Server) noteViolation(text string) {
	if len(s.violations) < keptViolations {
		s.violations = append(s.violations, text)
	}
}

// Violations lists, oldest first, the calls that broke the Bot API's table or used a method that is not emulated.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
