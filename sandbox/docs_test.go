package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

const document = "../docs/sandbox.md"

// example is one command of the document and what stands below it.
type example struct {
	line               int
	method, path, body string
	stream             bool
	status             int
	answer             string
}

// examples reads the commands of the document. One that cannot be read is an error.
func examples(t *testing.T) []example {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`^curl -s(N?)( -X [A-Z]+)? "?\$CONTROL(/[^\s"]*)"?( -d '([^']*)')?$`)
	answer := regexp.MustCompile(`^# (?:(\d{3}) )?(.*)$`)
	var list []example
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "curl") {
			continue
		}
		c, a := command.FindStringSubmatch(line), answer.FindStringSubmatch(lines[i+1])
		if c == nil || a == nil {
			t.Fatalf("%s:%d: the test cannot read this example", document, i+1)
		}
		e := example{line: i + 1, method: http.MethodGet, path: c[3], body: c[5], stream: c[1] != "", status: http.StatusOK, answer: a[2]}
		if c[4] != "" {
			e.method = http.MethodPost
		}
		if c[2] != "" {
			e.method = strings.TrimPrefix(c[2], " -X ")
		}
		if a[1] != "" {
			e.status, _ = strconv.Atoi(a[1])
		}
		list = append(list, e)
	}
	return list
}

func TestDocumentShowsEveryRoute(t *testing.T) {
	t.Parallel()
	routes, err := sandbox.Routes()
	if err != nil || len(routes) < 20 {
		t.Fatal(routes, err)
	}
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		shape := regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, `[^/?]+`) + `(\?.*)?$`)
		shown := false
		for _, e := range examples(t) {
			shown = shown || e.method == method && shape.MatchString(e.path)
		}
		if !shown {
			t.Errorf("%s shows no example of %s", document, route)
		}
	}
}

func TestExamplesOfTheDocument(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	for _, e := range examples(t) {
		// A reader waits for the shop's answer before the next command.
		err := retry(t.Context(), func() error { return e.try(t.Context(), w) })
		if err != nil {
			t.Fatalf("%s:%d: %v", document, e.line, err)
		}
	}
}

// try runs the example and compares the answer's shape.
func (e example) try(ctx context.Context, w *sandbox.World) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, e.method, w.Ready().ControlURL+variables(w).Replace(e.path), strings.NewReader(e.body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if e.stream {
		return e.compareStream(response.Body)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != e.status {
		return fmt.Errorf("got %s %s", response.Status, text)
	}
	if e.answer == "a picture" {
		if kind := http.DetectContentType(text); kind != "image/png" {
			return fmt.Errorf("got %s", kind)
		}
		return nil
	}
	return compare(e.answer, text)
}

// compareStream reads the first event.
func (e example) compareStream(stream io.Reader) error {
	d := json.NewDecoder(stream)
	if _, err := io.ReadFull(stream, make([]byte, len("data: "))); err != nil {
		return err
	}
	var event json.RawMessage
	if err := d.Decode(&event); err != nil {
		return err
	}
	return compare(strings.TrimPrefix(e.answer, "data: "), event)
}

// variables are what a reader of the document would have noted on the way.
func variables(w *sandbox.World) *strings.Replacer {
	var file, hash, invoice, link string
	for _, m := range w.Telegram.Chat(7).Messages {
		file = either(m.PhotoFileID, file)
		for _, b := range slices.Concat(m.Keyboard...) {
			if name, ok := strings.CutPrefix(b.URL, telegram.LinkPrefix); ok {
				link = name
			}
		}
	}
	if all := w.CryptoPay.Invoices(); len(all) > 0 {
		hash, invoice = all[0].Hash, strconv.FormatInt(all[0].ID, 10)
	}
	return strings.NewReplacer("$FILE", file, "$HASH", hash, "$INVOICE", invoice, "$LINK", link)
}

// compare returns an error unless got has everything that the document shows.
func compare(shown string, got []byte) error {
	var want, have any
	if err := json.Unmarshal([]byte(shown), &want); err != nil {
		return fmt.Errorf("the answer in the document: %w", err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		return fmt.Errorf("%w in %s", err, got)
	}
	if lacks := missing("answer", want, have); lacks != "" {
		return fmt.Errorf("%s in %s", lacks, got)
	}
	return nil
}

// missing names what the document shows and have lacks: a field, an element, or
// the kind of a value. Texts and numbers differ from run to run.
func missing(name string, want, have any) string {
	switch want := want.(type) {
	case map[string]any:
		fields, ok := have.(map[string]any)
		if !ok {
			return name + " is no object"
		}
		for key, value := range want {
			got, ok := fields[key]
			if !ok {
				return name + " has no " + key
			}
			if lacks := missing(name+"."+key, value, got); lacks != "" {
				return lacks
			}
		}
	case []any:
		elements, ok := have.([]any)
		if !ok || len(elements) < len(want) || len(want) == 0 && name == "answer" && len(elements) > 0 {
			return name + " has other elements"
		}
		for i, value := range want {
			if lacks := missing(fmt.Sprintf("%s[%d]", name, i), value, elements[i]); lacks != "" {
				return lacks
			}
		}
	case bool:
		if have != want {
			return fmt.Sprintf("%s is not %t", name, want)
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", have) {
			return name + " is of another kind"
		}
	}
	return ""
}
