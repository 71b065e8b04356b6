package telegram_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/sandbox/telegram"
)

const token = "123456:TEST-TOKEN-abc"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ann() telegram.User {
	return telegram.User{ID: 1001, FirstName: "Ann", Username: "ann", LanguageCode: "ru"}
}

// world is one emulator behind an HTTP server.
type world struct {
	t    *testing.T
	tg   *telegram.Server
	http *httptest.Server
}

func setup(t *testing.T, change ...func(*telegram.Config)) *world {
	t.Helper()
	cfg := telegram.Config{Token: token, Speed: 1, Limits: telegram.Limits{Disabled: true}}
	for _, f := range change {
		f(&cfg)
	}
	w := &world{t: t, tg: telegram.New(cfg)}
	w.http = httptest.NewServer(w.tg)
	t.Cleanup(func() {
		w.tg.Close()
		w.http.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return w
}

// on returns the same world for a subtest.
func (w *world) on(t *testing.T) *world {
	t.Helper()
	return &world{t: t, tg: w.tg, http: w.http}
}

// reply is the envelope of the Bot API together with the HTTP status.
type reply struct {
	Status      int
	Header      http.Header
	OK          bool            `json:"ok"`
	Result      json.RawMessage `json:"result"`
	ErrorCode   int             `json:"error_code"`
	Description string          `json:"description"`
	Parameters  struct {
		RetryAfter int `json:"retry_after"`
	} `json:"parameters"`
}

type params map[string]any

// call sends a JSON request.
func (w *world) call(method string, p params) reply {
	w.t.Helper()
	if p == nil {
		p = params{}
	}
	body, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.post(method, "application/json", bytes.NewReader(body))
}

// must sends a JSON request that has to succeed, and decodes the result.
func (w *world) must(method string, p params, result any) {
	w.t.Helper()
	r := w.call(method, p)
	if !r.OK {
		w.t.Fatalf("%s: %d %s", method, r.Status, r.Description)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(r.Result, result); err != nil {
		w.t.Fatalf("%s: decode %s: %v", method, r.Result, err)
	}
}

// refused sends a JSON request that has to fail with this status and a description that contains the text.
func (w *world) refused(status int, text, method string, p params) reply {
	w.t.Helper()
	r := w.call(method, p)
	if r.OK || r.Status != status || r.ErrorCode != status || !strings.Contains(r.Description, text) {
		w.t.Errorf("%s: got %d %q, want %d %q", method, r.Status, r.Description, status, text)
	}
	return r
}

func (w *world) post(method, kind string, body io.Reader) reply {
	w.t.Helper()
	return w.do(http.MethodPost, "/bot"+token+"/"+method, kind, body)
}

func (w *world) do(verb, path, kind string, body io.Reader) reply {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), verb, w.http.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	r := reply{Status: response.StatusCode, Header: response.Header}
	if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
		w.t.Fatalf("%s %s: not an envelope: %v", verb, path, err)
	}
	return r
}

// part is one piece of a multipart request; a file when name is set.
type part struct {
	field, name string
	data        []byte
}

func (w *world) multipart(method string, parts ...part) reply {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, p := range parts {
		create := form.CreateFormField
		if p.name != "" {
			create = func(field string) (io.Writer, error) { return form.CreateFormFile(field, p.name) }
		}
		target, err := create(p.field)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = target.Write(p.data)
	}
	_ = form.Close()
	return w.post(method, form.FormDataContentType(), &body)
}

// start lets Ann write to the bot, so that the bot may write to her.
func (w *world) start() {
	w.t.Helper()
	w.says(ann(), "/start")
}

func (w *world) says(u telegram.User, text string) int {
	w.t.Helper()
	id, err := w.tg.SendText(u, text)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// sent is the part of a Message that the tests look at.
type sent struct {
	MessageID int    `json:"message_id"`
	Date      int64  `json:"date"`
	EditDate  int64  `json:"edit_date"`
	Text      string `json:"text"`
	Caption   string `json:"caption"`
	Entities  []struct {
		Type     string `json:"type"`
		Offset   int    `json:"offset"`
		Length   int    `json:"length"`
		URL      string `json:"url"`
		Language string `json:"language"`
		Emoji    string `json:"custom_emoji_id"`
	} `json:"entities"`
	From struct {
		ID    int64 `json:"id"`
		IsBot bool  `json:"is_bot"`
	} `json:"from"`
	Photo []struct {
		FileID string `json:"file_id"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
	} `json:"photo"`
	Document struct {
		FileID   string `json:"file_id"`
		FileName string `json:"file_name"`
		MimeType string `json:"mime_type"`
	} `json:"document"`
	ReplyTo *struct {
		MessageID int `json:"message_id"`
	} `json:"reply_to_message"`
	ReplyMarkup json.RawMessage `json:"reply_markup"`
}

// send sends a text to Ann.
func (w *world) send(text string, more params) sent {
	w.t.Helper()
	p := params{"chat_id": ann().ID, "text": text}
	for name, value := range more {
		p[name] = value
	}
	var m sent
	w.must("sendMessage", p, &m)
	return m
}

func keyboard(rows ...[]params) params {
	return params{"inline_keyboard": append([][]params{}, rows...)}
}

func data(text, value string) params { return params{"text": text, "callback_data": value} }

// clock is a clock that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// within ends a wait that would otherwise hang the test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-within(t).Done():
		t.Fatal("nothing arrived in time")
		panic("unreachable")
	}
}
