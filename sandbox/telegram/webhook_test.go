package telegram_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

// delivery is one request that a webhook received; the answer is what verdict decides.
type delivery struct {
	got
	Body   []byte
	Header http.Header
	At     time.Time
}

// hook is a webhook that a test controls.
type hook struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(n int, d delivery, w http.ResponseWriter)
	count   int
	arrived chan delivery
}

// listen starts a webhook; answer gets the number of the delivery, beginning with 1, and may be nil.
func listen(t *testing.T, answer func(n int, d delivery, w http.ResponseWriter)) *hook {
	t.Helper()
	h := &hook{answer: answer, arrived: make(chan delivery, 1000)}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := delivery{Header: r.Header, At: time.Now()}
	d.Body, _ = io.ReadAll(r.Body)
	_ = json.Unmarshal(d.Body, &d.got)
	h.mu.Lock()
	h.count++
	n := h.count
	h.mu.Unlock()
	if h.answer != nil {
		h.answer(n, d, w)
	}
	h.arrived <- d
}

type info struct {
	URL            string   `json:"url"`
	Custom         bool     `json:"has_custom_certificate"`
	Pending        int      `json:"pending_update_count"`
	IP             string   `json:"ip_address"`
	LastErrorDate  int64    `json:"last_error_date"`
	LastError      string   `json:"last_error_message"`
	MaxConnections int      `json:"max_connections"`
	Allowed        []string `json:"allowed_updates"`
}

func (w *world) info() info {
	w.t.Helper()
	var i info
	w.must("getWebhookInfo", nil, &i)
	return i
}

// eventually waits for a condition by asking again and again, yielding in between.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	ctx := within(t)
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	w := setup(t)
	h := listen(t, nil)
	full := params{"url": h.URL + "/a", "secret_token": "S-1_x", "max_connections": 7, "allowed_updates": []string{"message", "nonsense"}}
	steps := []struct {
		name   string
		method string
		params params
		text   string
		want   info
	}{
		{"nothing yet", "deleteWebhook", nil, "Webhook is already deleted", info{}},
		{"the full set", "setWebhook", full, "Webhook was set", info{URL: h.URL + "/a", IP: "127.0.0.1", MaxConnections: 7, Allowed: []string{"message"}}},
		{"the same again", "setWebhook", full, "Webhook is already set", info{URL: h.URL + "/a", IP: "127.0.0.1", MaxConnections: 7, Allowed: []string{"message"}}},
		{
			"the same with other kinds", "setWebhook",
			params{"url": h.URL + "/a", "secret_token": "S-1_x", "max_connections": 7, "allowed_updates": []string{"chat_member"}},
			"Webhook is already set",
			info{URL: h.URL + "/a", IP: "127.0.0.1", MaxConnections: 7, Allowed: []string{"chat_member"}},
		},
		{
			"only the address: the rest is reset, the kinds stay", "setWebhook",
			params{"url": h.URL + "/b"},
			"Webhook was set",
			info{URL: h.URL + "/b", IP: "127.0.0.1", MaxConnections: 40, Allowed: []string{"chat_member"}},
		},
		{
			"no known kind means the default", "setWebhook",
			params{"url": h.URL + "/b", "allowed_updates": []string{"x"}},
			"Webhook is already set",
			info{URL: h.URL + "/b", IP: "127.0.0.1", MaxConnections: 40},
		},
		{
			"too many connections are clamped", "setWebhook",
			params{"url": h.URL + "/b", "max_connections": 1000},
			"Webhook was set",
			info{URL: h.URL + "/b", IP: "127.0.0.1", MaxConnections: 100},
		},
		{"an empty address deletes", "setWebhook", params{"url": ""}, "Webhook was deleted", info{}},
		{"set again", "setWebhook", full, "Webhook was set", info{URL: h.URL + "/a", IP: "127.0.0.1", MaxConnections: 7, Allowed: []string{"message"}}},
		{"deleted", "deleteWebhook", params{"drop_pending_updates": true}, "Webhook was deleted", info{Allowed: []string{"message"}}},
	}
	for _, step := range steps {
		r := w.call(step.method, step.params)
		if !r.OK || r.Description != step.text || string(r.Result) != "true" {
			t.Fatalf("%s: %d %s %s", step.name, r.Status, r.Description, r.Result)
		}
		if diff := cmp.Diff(step.want, w.info()); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

func TestWebhookIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	cases := map[string]struct {
		params params
		text   string
	}{
		"without TLS":                      {params{"url": "http://example.com/hook"}, "bad webhook: An HTTPS URL must be provided for webhook"},
		"with another scheme":              {params{"url": "ftp://127.0.0.1/hook"}, "bad webhook: An HTTPS URL must be provided for webhook"},
		"on another port":                  {params{"url": "https://example.com:9443/hook"}, "bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443"},
		"with no host":                     {params{"url": "https:///hook"}, "invalid webhook URL specified"},
		"with no address":                  {params{"url": "%zz"}, "invalid webhook URL specified"},
		"on a private address":             {params{"url": "https://10.0.0.1/hook"}, "bad webhook: IP address 10.0.0.1 is reserved"},
		"on a private fixed address":       {params{"url": "https://example.com/hook", "ip_address": "192.168.1.1"}, "bad webhook: IP address 192.168.1.1 is reserved"},
		"on a fixed address that is none":  {params{"url": "https://example.com/hook", "ip_address": "home"}, "bad webhook: can't parse IP address"},
		"on IPv6":                          {params{"url": "https://[2001:db8::1]/hook"}, "bad webhook: IPv6-only addresses are not allowed"},
		"on a host that does not exist":    {params{"url": "https://sallyport.invalid/hook"}, "bad webhook: Failed to resolve host: "},
		"where nobody listens":             {params{"url": closed.URL}, "bad webhook: Connection refused"},
		"with a long secret":               {params{"url": closed.URL, "secret_token": strings.Repeat("x", 257)}, "secret token is too long"},
		"with a strange secret":            {params{"url": closed.URL, "secret_token": "a b"}, "secret token contains unallowed characters"},
		"with a wrong list of kinds":       {params{"url": closed.URL, "allowed_updates": "message"}, "must be of type Array of String"},
		"with kinds that are not all text": {params{"url": closed.URL, "allowed_updates": []any{"message", 5}}, "must be of type String"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, tc.text, "setWebhook", tc.params)
		})
	}
	if got := w.info(); got.URL != "" {
		t.Errorf("set all the same: %+v", got)
	}
}

func TestWebhookIsSetOncePerSecond(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, func(c *telegram.Config) { c.Now, c.Speed, c.Limits.Disabled = now.Now, 10, false })
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL}, nil)
	r := w.refused(429, "Too Many Requests: retry after 1", "setWebhook", params{"url": h.URL})
	if r.Parameters.RetryAfter != 1 || r.Header.Get("Retry-After") != "1" {
		t.Errorf("retry after %d, header %q", r.Parameters.RetryAfter, r.Header.Get("Retry-After"))
	}
	now.Advance(100 * time.Millisecond)
	w.must("setWebhook", params{"url": h.URL}, nil)
}

func TestUpdatesAreDelivered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL + "/secret/path", "secret_token": "S-1_x"}, nil)
	w.start()
	first := receive(t, h.arrived)
	if first.Message == nil || first.Message.Text != "/start" || brief(first.Message.sent) != "bot_command 0+6" || first.Message.From.ID != 1001 {
		t.Errorf("got %s", first.Body)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": "S-1_x", "Accept-Encoding": "gzip, deflate"} {
		if value := first.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	m := w.send("pick", params{"reply_markup": keyboard([]params{data("Buy", "buy")})})
	id, err := w.tg.Press(1001, m.MessageID, "buy")
	if err != nil {
		t.Fatal(err)
	}
	press := receive(t, h.arrived)
	if press.Callback.ID != id || press.Callback.Data != "buy" || press.Callback.Message.MessageID != m.MessageID || press.Callback.ChatInstance == "" {
		t.Errorf("got %s", press.Body)
	}
	if err := w.tg.SetBlocked(1001, true); err != nil {
		t.Fatal(err)
	}
	blocked := receive(t, h.arrived).Member
	if blocked.Old.Status != "member" || blocked.New.Status != "kicked" || blocked.New.UntilDate == nil {
		t.Errorf("got %+v", blocked)
	}
	if err := w.tg.SetBlocked(1001, false); err != nil {
		t.Fatal(err)
	}
	back := receive(t, h.arrived)
	if back.Member.New.Status != "member" || back.ID != first.ID+3 || first.ID <= 0 {
		t.Errorf("got %s after %d", back.Body, first.ID)
	}
	eventually(t, "nothing pending", func() bool { return w.tg.Pending() == 0 })
}

func TestAllowedUpdatesFilter(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL, "allowed_updates": []string{"my_chat_member"}}, nil)
	if queued := receive(t, h.arrived); queued.Message == nil {
		t.Errorf("what was queued before the filter must come: %s", queued.Body)
	}
	w.says(ann(), "filtered")
	if err := w.tg.SetBlocked(1001, true); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, h.arrived); d.Member == nil {
		t.Errorf("got %s", d.Body)
	}
	eventually(t, "nothing pending", func() bool { return w.tg.Pending() == 0 })
}

func TestReplyInTheWebhookBody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	bodies := []struct{ kind, body string }{
		{"application/json", `{"method":"sendMessage","chat_id":1001,"text":"json"}`},
		{"application/x-www-form-urlencoded", `method=SENDMESSAGE&chat_id=1001&text=form`},
		{"application/json", `{"method":"setMyName","name":"Changed"}`},
		{"application/json", `{"method":"deleteWebhook"}`},
		{"application/json", `{"method":"getMe"}`},
		{"application/json", `{"method":"sendMessage","chat_id":5,"text":"refused"}`},
		{"application/json", `{"ok":true}`},
		{"application/json", `{`},
		{"text/plain", `ok`},
		{"", ``},
	}
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) {
		if n <= len(bodies) && bodies[n-1].kind != "" {
			rw.Header().Set("Content-Type", bodies[n-1].kind)
			_, _ = io.WriteString(rw, bodies[n-1].body)
		}
	})
	w.must("setWebhook", params{"url": h.URL}, nil)
	for range bodies {
		w.says(ann(), "hi")
		receive(t, h.arrived)
	}
	eventually(t, "all delivered", func() bool { return w.tg.Pending() == 0 })
	var texts []string
	for _, m := range w.tg.Chat(1001).Messages {
		if m.FromBot {
			texts = append(texts, m.Text)
		}
	}
	if diff := cmp.Diff([]string{"json", "form"}, texts); diff != "" {
		t.Error(diff)
	}
	var name struct {
		Name string `json:"name"`
	}
	w.must("getMyName", nil, &name)
	if name.Name != "Changed" || w.info().URL == "" {
		t.Errorf("name %q, webhook %q", name.Name, w.info().URL)
	}
}

func TestSwitchingTheWebhook(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stuck := make(chan struct{})
	old := listen(t, func(int, delivery, http.ResponseWriter) { <-stuck })
	t.Cleanup(func() { close(stuck) })
	fresh := listen(t, nil)
	w.must("setWebhook", params{"url": old.URL}, nil)
	w.start()
	w.must("setWebhook", params{"url": fresh.URL}, nil)
	if d := receive(t, fresh.arrived); d.Message.Text != "/start" {
		t.Errorf("got %s", d.Body)
	}
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
	w.must("deleteWebhook", nil, nil)
	w.says(ann(), "kept")
	if n := w.tg.Pending(); n != 1 {
		t.Errorf("%d pending", n)
	}
	w.must("setWebhook", params{"url": fresh.URL + "/again", "drop_pending_updates": true}, nil)
	if n := w.tg.Pending(); n != 0 {
		t.Errorf("%d pending after the drop", n)
	}
}
