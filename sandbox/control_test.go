package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

func TestFaultsShowInHealthAndEnd(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	for _, c := range []struct{ target, mode, component string }{
		{"telegram", "hung", "telegram"},
		{"cryptopay", "error", "cryptopay"},
		{"xray", "down", "node:local"},
		{"postgres", "hung", "database"},
	} {
		t.Run(c.target, func(t *testing.T) { // not parallel: one fault at a time
			body := fmt.Sprintf(`{"target":%q,"mode":%q}`, c.target, c.mode)
			status, list := ask[[]map[string]any](t, http.MethodPost, w.Ready().ControlURL+"/faults", body)
			if status != http.StatusOK || len(list) != 1 || list[0]["target"] != c.target || list[0]["mode"] != c.mode {
				t.Fatalf("got %d %v", status, list)
			}
			eventually(t, func() error { return healthy(t, w, c.component, false) })
			if status, list := ask[[]any](t, http.MethodDelete, w.Ready().ControlURL+"/faults/"+c.target, ""); status != http.StatusOK || len(list) != 0 {
				t.Fatalf("got %d %v", status, list)
			}
			eventually(t, func() error { return healthy(t, w, c.component, true) })
		})
	}
}

// healthy returns an error unless the component, and it alone among those that
// can be made to fail, is as wanted.
func healthy(t *testing.T, w *sandbox.World, component string, want bool) error {
	t.Helper()
	_, report := ask[struct {
		Components map[string]struct{ Status, Reason string }
	}](t, http.MethodGet, w.Ready().AppURL+"/healthz", "")
	for _, name := range []string{"telegram", "cryptopay", "node:local", "database"} {
		wanted := want || name != component
		if got := report.Components[name]; (got.Status == "ok") != wanted {
			return fmt.Errorf("%s is %+v, want ok: %t", name, got, wanted)
		}
	}
	return nil
}

func TestFaultEndsByItself(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	_, list := ask[[]map[string]any](t, http.MethodPost, w.Ready().ControlURL+"/faults",
		`{"target":"xray","mode":"slow","seconds":0.1,"latency_ms":70}`)
	if len(list) != 1 || list[0]["latency_ms"] != 70.0 || list[0]["until"] == nil {
		t.Errorf("got %v", list)
	}
	eventually(t, func() error {
		if _, list := ask[[]any](t, http.MethodGet, w.Ready().ControlURL+"/faults", ""); len(list) != 0 {
			return fmt.Errorf("still %v", list)
		}
		return nil
	})
}

func TestProductIsSupervised(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	control := w.Ready().ControlURL
	state := func(method, path string) sandbox.ProductState {
		t.Helper()
		status, s := ask[sandbox.ProductState](t, method, control+path, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d", path, status)
		}
		return s
	}
	first := state(http.MethodGet, "/product")
	if !first.Running || first.Starts != 1 || first.PID == 0 {
		t.Fatalf("at first %+v", first)
	}
	state(http.MethodPost, "/product/kill")
	eventually(t, func() error {
		if s := state(http.MethodGet, "/product"); !s.Running || s.Starts != 2 || s.PID == first.PID {
			return fmt.Errorf("after the kill %+v", s)
		}
		return nil
	})
	if s := state(http.MethodPost, "/product/stop"); s.Running || s.PID != 0 {
		t.Errorf("after the stop %+v", s)
	}
	if s := state(http.MethodPost, "/product/start"); !s.Running || s.Starts != 3 {
		t.Errorf("after the start %+v", s)
	}
	if s := state(http.MethodPost, "/product/start"); s.Starts != 3 {
		t.Errorf("started twice: %+v", s)
	}
	if err := anna(w).Write("/start"); err != nil {
		t.Fatal(err)
	}
	if _, err := anna(w).See(t.Context(), "Choose your language"); err != nil {
		t.Error(err)
	}
}

func TestXrayIsKilledAndStarted(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	control := w.Ready().ControlURL
	type state struct {
		PID     int
		Running bool
	}
	if _, s := ask[state](t, http.MethodPost, control+"/xray/kill", ""); s.Running || s.PID != 0 {
		t.Errorf("after the kill %+v", s)
	}
	if status, _ := ask[map[string]string](t, http.MethodGet, control+"/xray/users", ""); status != http.StatusConflict {
		t.Errorf("its users are told with %d", status)
	}
	_, started := ask[state](t, http.MethodPost, control+"/xray/start", "")
	if !started.Running {
		t.Errorf("after the start %+v", started)
	}
	if _, s := ask[state](t, http.MethodPost, control+"/xray/restart", ""); !s.Running || s.PID == started.PID {
		t.Errorf("after the restart %+v, before %+v", s, started)
	}
	if status, users := ask[[]any](t, http.MethodGet, control+"/xray/users", ""); status != http.StatusOK || len(users) != 0 {
		t.Errorf("its users: %d %v", status, users)
	}
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		want                     int
	}{
		{"a web page elsewhere", "POST", "/xray/kill", "", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"a page on another port", "POST", "/xray/kill", "", http.Header{"Origin": {"http://127.0.0.1:1"}}, 403},
		{"a page of no origin", "POST", "/xray/kill", "", http.Header{"Origin": {"null"}}, 403},
		{"a name that was made to point here", "GET", "/world", "", http.Header{"Host": {"evil.example"}}, 403},
		{"an unknown path", "GET", "/nothing", "", nil, 404},
		{"an unknown method", "DELETE", "/world", "", nil, 405},
		{"a user that is no number", "GET", "/users/anna/chat", "", nil, 400},
		{"a body that is no JSON", "POST", "/users/1/messages", "hello", nil, 400},
		{"a name that is not known", "POST", "/users/1/messages", `{"txt":"hello"}`, nil, 400},
		{"two values", "POST", "/users/1/messages", `{"text":"a"} {"text":"b"}`, nil, 400},
		{"a message without text", "POST", "/users/1/messages", `{}`, nil, 400},
		{"a body without end", "POST", "/users/1/messages", `{"text":"` + strings.Repeat("a", 70<<10) + `"}`, nil, 413},
		{"neither data nor text", "POST", "/users/1/press", `{}`, nil, 400},
		{"a button of a stranger", "POST", "/users/1/press", `{"text":"Buy"}`, nil, 404},
		{"a message of a stranger", "POST", "/users/1/press", `{"message_id":3,"data":"menu"}`, nil, 404},
		{"a stranger who blocks", "POST", "/users/1/block", "", nil, 404},
		{"a strange wait", "GET", "/users/1/chat?after=0&wait=long", "", nil, 400},
		{"a strange version", "GET", "/users/1/chat?after=x", "", nil, 400},
		{"no such file", "GET", "/files/x", "", nil, 404},
		{"no such invoice", "GET", "/invoices/1", "", nil, 404},
		{"no such invoice to pay", "POST", "/invoices/1/pay", "", nil, 404},
		{"no such hash", "GET", "/invoices/by-hash/x", "", nil, 404},
		{"no such Stars invoice", "POST", "/users/1/stars/1/pay", "", nil, 404},
		{"no such invoice link", "POST", "/users/1/stars/links/x/pay", "", nil, 404},
		{"an invoice link of nobody", "POST", "/users/x/stars/links/x/pay", "", nil, 400},
		{"holding without saying what", "POST", "/webhooks/cryptopay", "", nil, 400},
		{"a strange target", "POST", "/faults", `{"target":"moon","mode":"down"}`, nil, 400},
		{"a strange mode", "POST", "/faults", `{"target":"xray","mode":"tired"}`, nil, 400},
		{"a negative time", "POST", "/faults", `{"target":"xray","mode":"down","seconds":-1}`, nil, 400},
		{"mending a strange target", "DELETE", "/faults/moon", "", nil, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, _, text := send(t, c.method, w.Ready().ControlURL+c.path, c.body, c.header)
			var answer map[string]string
			if err := json.Unmarshal(text, &answer); err != nil || status != c.want || answer["error"] == "" {
				t.Errorf("got %d %s, want %d with an error", status, text, c.want)
			}
		})
	}
}

func TestControlServesTheChatPage(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	page := w.Ready().ChatURL
	for _, c := range []struct{ address, origin string }{
		{page + "/api/world", page},                             // the page's own server
		{w.Ready().ControlURL + "/world", page},                 // the page, asking the other one
		{w.Ready().ControlURL + "/world", w.Ready().ControlURL}, // a page of that server itself
	} {
		status, header, _ := send(t, http.MethodGet, c.address, "", http.Header{"Origin": {c.origin}})
		if allowed := header.Get("Access-Control-Allow-Origin"); status != http.StatusOK || allowed != c.origin {
			t.Errorf("%s from %s: %d, allowed %q", c.address, c.origin, status, allowed)
		}
	}
	status, _, _ := send(t, http.MethodOptions, w.Ready().ControlURL+"/users/1/messages", "", http.Header{"Origin": {page}})
	if status != http.StatusNoContent {
		t.Errorf("the browser's question: %d", status)
	}
	if status, _, _ := send(t, http.MethodGet, page+"/", "", nil); status != http.StatusOK {
		t.Errorf("the page: %d", status)
	}
}

func TestEventsFollowTheChat(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Ready().ControlURL+"/users/7/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func() (chat telegram.Chat) {
		t.Helper()
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(text), &chat); err != nil {
					t.Fatal(err)
				}
				return chat
			}
		}
		t.Fatal(lines.Err())
		return chat
	}
	if chat := next(); len(chat.Messages) != 0 {
		t.Errorf("at first %+v", chat)
	}
	if err := anna(w).Write("hello"); err != nil {
		t.Fatal(err)
	}
	if chat := next(); len(chat.Messages) != 1 || chat.Messages[0].Text != "hello" {
		t.Errorf("then %+v", chat)
	}
}

func TestChatWaitsForAChange(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	began := time.Now()
	address := w.Ready().ControlURL + "/users/7/chat?after=0&wait="
	if _, chat := ask[telegram.Chat](t, http.MethodGet, address+"50ms", ""); chat.Version != 0 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("unchanged: %+v after %s", chat, time.Since(began))
	}
	if err := anna(w).Write("hello"); err != nil {
		t.Fatal(err)
	}
	if _, chat := ask[telegram.Chat](t, http.MethodGet, address+"10s", ""); chat.Version == 0 || len(chat.Messages) != 1 {
		t.Errorf("changed: %+v", chat)
	}
}
