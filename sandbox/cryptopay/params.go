package cryptopay

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds what a caller may send in one request.
const maxBody = 1 << 20

// param is one parameter as it came. Where it came from matters in two cases:
// a JSON number may have an exponent, and a JSON list is not a string.
type param struct {
	text   string
	number bool
	list   bool
}

// params are the parameters of one call. An absent one, a JSON null and an
// empty string are the same.
type params map[string]param

func (p params) text(name string) string { return p[name].text }

func (p params) has(name string) bool { return p[name].text != "" }

// integer reads a whole number between low and high, fallback when absent.
func (p params) integer(name string, fallback, low, high int64, invalid string) (int64, error) {
	if !p.has(name) {
		return fallback, nil
	}
	value, err := strconv.ParseInt(p.text(name), 10, 64)
	if err != nil || value < low || value > high {
		return 0, badRequest(invalid)
	}
	return value, nil
}

func (p params) boolean(name string, fallback bool) (bool, error) {
	switch strings.ToLower(p.text(name)) {
	case "":
		return fallback, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, badRequest(strings.ToUpper(name) + "_INVALID")
}

func (p params) instant(name string, fallback time.Time) (time.Time, error) {
	if !p.has(name) {
		return fallback, nil
	}
	value, err := time.Parse(time.RFC3339, p.text(name))
	if err != nil {
		return time.Time{}, badRequest(strings.ToUpper(name) + "_INVALID")
	}
	return value, nil
}

// words reads a comma-separated parameter.
func (p params) words(name string) []string {
	var result []string
	for word := range strings.SplitSeq(p.text(name), ",") {
		if word = strings.TrimSpace(word); word != "" {
			result = append(result, word)
		}
	}
	return result
}

// readParams collects the parameters from the query and from the body, which
// may be a form, multipart or JSON. A GET may have a JSON body: one of the
// public clients sends it.
func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	result := params{}
	result.addForm(r.URL.Query())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &apiError{Code: http.StatusRequestEntityTooLarge, Name: "REQUEST_TOO_LARGE"}
	} else if err != nil {
		return nil, badRequest("BODY_INVALID")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return result, nil
	}
	kind, attributes, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, badRequest("CONTENT_TYPE_INVALID")
	}
	return result, result.addBody(kind, attributes["boundary"], body)
}

func (p params) addBody(kind, boundary string, body []byte) error {
	switch kind {
	case "application/json":
		return p.addJSON(body)
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return badRequest("BODY_INVALID")
		}
		p.addForm(form)
		return nil
	case "multipart/form-data":
		return p.addMultipart(boundary, body)
	}
	return badRequest("CONTENT_TYPE_INVALID")
}

func (p params) addForm(form url.Values) {
	for name, values := range form {
		p[name] = param{text: values[0]}
	}
}

func (p params) addMultipart(boundary string, body []byte) error {
	form, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(maxBody)
	if err != nil {
		return badRequest("BODY_INVALID")
	}
	p.addForm(form.Value)
	return nil
}

func (p params) addJSON(body []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return badRequest("BODY_INVALID")
	}
	for name, raw := range fields {
		value, err := jsonParam(raw)
		if err != nil {
			return badRequest(strings.ToUpper(name) + "_INVALID")
		}
		p[name] = value
	}
	return nil
}

func jsonParam(raw json.RawMessage) (param, error) {
	switch raw[0] {
	case 'n':
		return param{}, nil
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return param{text: text}, err
	case '[':
		return listParam(raw)
	case '{':
		return param{}, errors.New("an object is no parameter")
	}
	return param{text: string(raw), number: raw[0] != 't' && raw[0] != 'f'}, nil
}

func listParam(raw json.RawMessage) (param, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return param{}, err
	}
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = strings.Trim(string(item), `"`)
	}
	return param{text: strings.Join(words, ","), list: true}, nil
}
