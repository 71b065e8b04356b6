package bot_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/bot"
	"sallyport/outbound"
	"sallyport/shop"
)

const token = "123456:AAtokenthatmustnotleak"

func client(t *testing.T, handler http.HandlerFunc) *bot.Client {
	t.Helper()
	return clientWithin(t, time.Minute, handler)
}

// clientWithin is client with as long for each call.
func clientWithin(t *testing.T, limit time.Duration, handler http.HandlerFunc) *bot.Client {
	t.Helper()
	api := httptest.NewServer(handler)
	t.Cleanup(api.Close)
	c := bot.NewClient(token, api.URL+"/", outbound.New(outbound.Config{Name: "telegram", Timeout: limit}))
	t.Cleanup(c.Close)
	return c
}

func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// hang answers nothing until the client goes.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestAnswersBecomeTheShopsErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		code int
		body string
		kind shop.Kind
		good bool
		wait time.Duration
	}{
		{"a success", 200, `{"ok":true,"result":{"message_id":5}}`, 0, true, 0},
		{"nothing to change", 400, `{"ok":false,"error_code":400,"description":"Bad Request: message is not modified: specified new message content ..."}`, 0, true, 0},
		{"too many", 429, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}`, shop.KindLimited, false, 7 * time.Second},
		{"blocked", 403, `{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}`, shop.KindForbidden, false, 0},
		{"no such chat", 400, `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`, shop.KindForbidden, false, 0},
		{"our mistake", 400, `{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities"}`, shop.KindInternal, false, 0},
		{"a wrong token", 401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`, shop.KindInternal, false, 0},
		{"a fault of theirs", 500, `{"ok":false,"error_code":500,"description":"Internal Server Error"}`, shop.KindUnavailable, false, 0},
		{"a page of a proxy", 502, `<html>Bad Gateway</html>`, shop.KindUnavailable, false, 0},
		{"a page of a proxy that looks well", 200, `<html>Welcome</html>`, shop.KindUnavailable, false, 0},
		{"a server without the method", 404, `<html>Cannot POST /sendPhoto</html>`, shop.KindInternal, false, 0},
		{"nothing", 200, ``, shop.KindUnavailable, false, 0},
		{"half an answer", 200, `{"ok":true,"res`, shop.KindUnavailable, false, 0},
		{"JSON of a proxy", 502, `{"message":"bad gateway"}`, shop.KindUnavailable, false, 0},
		{"JSON of a proxy that is full", 503, `{"ok":false}`, shop.KindUnavailable, false, 0},
		{"JSON of a proxy that looks well", 200, `{"ok":false}`, shop.KindUnavailable, false, 0},
		{"JSON of a proxy that forbids", 403, `{"error":"denied"}`, shop.KindUnavailable, false, 0},
		{"JSON of another shape", 502, `["bad gateway"]`, shop.KindUnavailable, false, 0},
		{"a field of another shape", 429, `{"ok":"no","error_code":"none"}`, shop.KindLimited, false, 9 * time.Second},
		{"too many for a proxy", 429, `{"message":"rate limited"}`, shop.KindLimited, false, 9 * time.Second},
		{"too many for a proxy, as a page", 429, `<html>Slow down</html>`, shop.KindLimited, false, 9 * time.Second},
		{"too large for a proxy", 413, `{"message":"too large"}`, shop.KindInternal, false, 0},
		{"JSON of a server without the method", 404, `{"message":"no route"}`, shop.KindInternal, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for how, call := range map[string]func(*bot.Client) error{
				"call": func(b *bot.Client) error {
					return b.Call(t.Context(), "sendMessage", tgbotapi.Params{"chat_id": "1"}, nil)
				},
				"upload": func(b *bot.Client) error {
					file := tgbotapi.RequestFile{Name: "photo", Data: tgbotapi.FileBytes{Name: "x.png", Bytes: []byte("x")}}
					return b.Upload(t.Context(), "sendPhoto", tgbotapi.Params{"chat_id": "1"}, []tgbotapi.RequestFile{file}, nil)
				},
			} {
				err := call(client(t, answer(c.code, c.body)))
				if (err == nil) != c.good || err != nil && shop.KindOf(err) != c.kind {
					t.Errorf("%s: %v", how, err)
				}
				if known, ok := errors.AsType[*shop.Error](err); ok && known.RetryAfter != c.wait {
					t.Errorf("%s: wait %s", how, known.RetryAfter)
				}
			}
		})
	}
}

func TestTheTokenIsInNoError(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for name, c := range map[string]*bot.Client{
		"nobody listens": bot.NewClient(token, dead.URL, outbound.New(outbound.Config{Name: "telegram"})),
		"it hangs":       clientWithin(t, 200*time.Millisecond, hang),
		"it hangs up":    client(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"no such host":   bot.NewClient(token, "http://nowhere.invalid", outbound.New(outbound.Config{Name: "telegram"})),
		"junk":           client(t, answer(200, "junk")),
	} {
		err := c.Call(t.Context(), "getMe", nil, nil)
		if shop.KindOf(err) != shop.KindUnavailable || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "junk" && strings.Contains(err.Error(), "not by the Bot API") {
			t.Errorf("%s: there was no answer, but the error says %q", name, err)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := client(t, hang)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "getMe", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := c.Call(shop.Hold(t.Context(), "a connection"), "getMe", nil, nil); !errors.Is(err, shop.ErrHoldsResource) {
		t.Errorf("called while holding: %v", err)
	}
}

func TestWebhookIsSetWithEveryParameter(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]string, 1)
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form := make(map[string]string)
		for name := range r.PostForm {
			form[name] = r.PostForm.Get(name)
		}
		got <- form
		_, _ = io.WriteString(w, `{"ok":true,"result":true}`)
	})
	if err := c.SetWebhook(t.Context(), bot.Webhook{URL: "https://shop.example/telegram/webhook", Secret: "s", MaxConnections: 40}); err != nil {
		t.Fatal(err)
	}
	form := <-got
	for name, want := range map[string]string{"url": "https://shop.example/telegram/webhook", "secret_token": "s", "max_connections": "40"} {
		if form[name] != want {
			t.Errorf("%s: %q", name, form[name])
		}
	}
	var allowed []string
	if err := json.Unmarshal([]byte(form["allowed_updates"]), &allowed); err != nil || len(allowed) != 4 {
		t.Errorf("%v, %v", allowed, err)
	}
	if _, dropped := form["drop_pending_updates"]; dropped {
		t.Error("updates that wait may be payments: they are never dropped")
	}
}

func TestACertificateIsUploadedWithTheWebhook(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		file, header, err := r.FormFile("certificate")
		if err != nil {
			t.Error(err)
			return
		}
		text, err := io.ReadAll(file)
		if err != nil || header.Filename == "" || r.FormValue("secret_token") != "s" || r.FormValue("allowed_updates") == "" {
			t.Errorf("%v, %q, %v", err, header.Filename, r.Form)
		}
		got <- string(text)
		_, _ = io.WriteString(w, `{"ok":true,"result":true}`)
	})
	w := bot.Webhook{URL: "https://203.0.113.9/telegram/webhook", Secret: "s", MaxConnections: 40, Certificate: []byte("PEM")}
	if err := c.SetWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "PEM" {
		t.Errorf("uploaded %q", text)
	}
}
