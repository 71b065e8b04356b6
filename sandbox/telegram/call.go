package telegram

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"sallyport/sandbox/telegram/botapi"
)

// Bounds of one request.
const (
	maxRequestBytes  = 64 << 20
	maxDocumentBytes = 50 << 20
	maxFormBytes     = 1 << 20
)

// form says how a parameter was written.
type form byte

const (
	formText   form = 't' // a form, query or multipart value
	formString form = 's' // a JSON string
	formOther  form = 'j' // any other JSON value, kept as JSON text
)

// arg is one parameter: its text, as the real server reads it, and how it was written.
type arg struct {
	text string
	form form
}

// upload is one uploaded file.
type upload struct {
	name, mime string
	data       []byte
}

// call is one request to the Bot API, whatever its transport was.
type call struct {
	ctx    context.Context
	method string
	args   map[string]arg
	files  map[string]*upload

	lenient bool
}

func newCall(ctx context.Context, method string) *call {
	return &call{ctx: ctx, method: method, args: make(map[string]arg), files: make(map[string]*upload)}
}

// readRequest collects the parameters of the query and of the body; the first value of a name wins.
func readRequest(w http.ResponseWriter, r *http.Request, method string) (*call, error) {
	c := newCall(r.Context(), method)
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("sandbox: malformed query string")
	}
	c.addValues(query)
	if r.Method == http.MethodGet {
		return c, nil
	}
	err = c.readBody(r.Header.Get("Content-Type"), http.MaxBytesReader(w, r.Body, maxRequestBytes))
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return nil, &apiError{code: 413, text: "Request Entity Too Large"}
	}
	return c, err
}

func (c *call) readBody(contentType string, body io.Reader) error {
	kind, options, _ := mime.ParseMediaType(contentType)
	if kind == "multipart/form-data" {
		return c.readMultipart(multipart.NewReader(body, options["boundary"]))
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return readFailure(err)
	}
	switch kind {
	case "application/json":
		return c.readJSON(raw)
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(raw))
		if err != nil {
			return badRequest("sandbox: malformed form")
		}
		c.addValues(values)
		return nil
	}
	if len(raw) > 0 {
		return badRequest("sandbox: unsupported content type %q", kind)
	}
	return nil
}

// readFailure keeps a body limit recognisable and hides every other cause.
func readFailure(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err
	}
	return badRequest("sandbox: malformed request body")
}

func (c *call) readJSON(raw []byte) error {
	if text := bytes.TrimSpace(raw); len(text) == 0 || string(text) == "null" { // there are libraries that send no parameters so
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return badRequest("can't parse request parameters: expected a JSON object")
	}
	for name, value := range object {
		var text string
		if value[0] == '"' && json.Unmarshal(value, &text) == nil {
			c.add(name, arg{text: text, form: formString})
			continue
		}
		c.add(name, arg{text: string(value), form: formOther})
	}
	return nil
}

func (c *call) readMultipart(reader *multipart.Reader) error {
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return readFailure(err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return readFailure(err)
		}
		c.addPart(part, data)
	}
}

// addPart takes a part with a file name as an upload and any other part as a value.
func (c *call) addPart(part *multipart.Part, data []byte) {
	name := part.FormName()
	if part.FileName() != "" {
		c.files[name] = &upload{name: part.FileName(), mime: part.Header.Get("Content-Type"), data: data}
		return
	}
	c.add(name, arg{text: string(data), form: formText})
}

func (c *call) addValues(values url.Values) {
	for name, list := range values {
		c.add(name, arg{text: list[0], form: formText})
	}
}

func (c *call) add(name string, a arg) {
	if _, taken := c.args[name]; !taken {
		c.args[name] = a
	}
}

// text returns a parameter, or "" when it is absent.
func (c *call) text(name string) string { return c.args[name].text }

// integer returns a parameter that the table check has already found to be an integer, or 0.
func (c *call) integer(name string) int64 {
	n, _ := botapi.ParseInt(c.text(name))
	return n
}

// flag returns a parameter that the table check has already found to be a boolean, or false.
func (c *call) flag(name string) bool {
	v, _ := botapi.ParseBool(c.text(name))
	return v
}

// has reports whether the parameter was sent with a value other than null.
func (c *call) has(name string) bool {
	a, ok := c.args[name]
	return ok && !a.null()
}

// decode unmarshals an object or array parameter; an absent one leaves the target as it is.
func (c *call) decode(name string, target any) error {
	if !c.has(name) || c.text(name) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(c.text(name)), target); err != nil {
		return badRequest("can't parse %s: wrong value", name)
	}
	return nil
}

func (a arg) null() bool { return a.form != formString && a.text == "null" }

// utf8Valid reports whether every parameter is UTF-8.
func (c *call) utf8Valid() bool {
	for _, a := range c.args {
		if !utf8.ValidString(a.text) {
			return false
		}
	}
	return true
}

// attached lists the names that attach:// references anywhere in the parameters point at.
func (c *call) attached() map[string]bool {
	names := make(map[string]bool)
	for _, a := range c.args {
		for _, piece := range strings.Split(a.text, "attach://")[1:] {
			end := strings.IndexAny(piece, "\"' ,}]")
			if end < 0 {
				end = len(piece)
			}
			names[piece[:end]] = true
		}
	}
	return names
}
