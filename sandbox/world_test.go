package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"sallyport/sandbox"
	"sallyport/sandbox/process"
)

func TestWorldComesUpAndGoesWithoutATrace(t *testing.T) { // not parallel: it looks at all goroutines
	before := goleak.IgnoreCurrent()
	path := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(path, []byte("an old one"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := sandbox.Start(t.Context(), sandbox.Config{Program: program, ReadyFile: path})
	if err != nil {
		t.Fatal(err)
	}
	ready := checkReadyFile(t, w, path)
	database := w.Postgres.Pid()

	if err := w.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	for name, pid := range map[string]int{"the product": ready.ProductPID, "xray": ready.Xray.PID, "postgres": database} {
		if process.Alive(pid) {
			t.Errorf("%s outlived the world", name)
		}
	}
	for _, address := range []string{ready.AppURL, ready.ChatURL, ready.ControlURL, ready.TelegramAPI, ready.InternetURL} {
		if u, err := url.Parse(address); err != nil || dial(u.Host) {
			t.Errorf("%s is still there: %v", address, err)
		}
	}
	for _, name := range []string{path, filepath.Dir(ready.ProductLog)} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if err := w.Stop(); err != nil {
		t.Errorf("stop again: %v", err)
	}
	goleak.VerifyNone(t, before)
}

// checkReadyFile checks that the document is complete and true.
func checkReadyFile(t *testing.T, w *sandbox.World, path string) sandbox.Ready {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ready sandbox.Ready
	if err := json.Unmarshal(text, &ready); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.Ready(), ready); diff != "" {
		t.Errorf("the file differs from Ready (-want +got):\n%s", diff)
	}
	for _, empty := range []string{`": ""`, `": 0`} {
		if strings.Contains(string(text), empty) {
			t.Errorf("something is empty in\n%s", text)
		}
	}
	for _, pid := range []int{ready.ProductPID, ready.Xray.PID} {
		if !process.Alive(pid) {
			t.Errorf("there is no process %d", pid)
		}
	}
	for _, address := range []string{ready.DatabaseURL, ready.DatabaseDirectURL} {
		if err := ping(t.Context(), address); err != nil {
			t.Error(err)
		}
	}
	if status, _, _ := send(t, http.MethodGet, ready.AppURL+"/readyz", "", nil); status != http.StatusOK {
		t.Errorf("readyz says %d", status)
	}
	return ready
}

func ping(ctx context.Context, address string) error {
	db, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	return db.Close(ctx)
}

func dial(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func TestTwoWorldsAtOnceDoNotMeet(t *testing.T) {
	t.Parallel()
	one, other := start(t, sandbox.Config{}), start(t, sandbox.Config{})
	if err := anna(one).Write("/start"); err != nil {
		t.Fatal(err)
	}
	if _, err := anna(one).See(t.Context(), "Choose your language"); err != nil {
		t.Fatal(err)
	}
	if chat := other.Telegram.Chat(7); len(chat.Messages) != 0 {
		t.Errorf("the other world knows Anna: %+v", chat)
	}
	seen := make(map[string]bool)
	for _, r := range []sandbox.Ready{one.Ready(), other.Ready()} {
		for _, s := range []string{
			r.AppURL, r.ChatURL, r.ControlURL, r.TelegramAPI, r.CryptoPayAPI, r.DatabaseURL, r.DatabaseDirectURL,
			r.InternetURL, r.Xray.API, r.Xray.APIDirect, r.BotToken, r.WebhookSecret, r.CryptoPayToken, r.ProductLog,
		} {
			if seen[s] {
				t.Errorf("%s is used twice", s)
			}
			seen[s] = true
		}
	}
}

func TestPersonBuysAccess(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	if err := buy(t.Context(), anna(w)); err != nil {
		t.Fatal(err)
	}
	_, users := ask[[]struct{ ID, UUID string }](t, http.MethodGet, w.Ready().ControlURL+"/xray/users", "")
	if len(users) != 1 || users[0].ID == "" || users[0].UUID == "" {
		t.Errorf("xray lets in %+v, want Anna", users)
	}
	if broken := w.Telegram.Violations(); len(broken) != 0 {
		t.Errorf("the product broke the Bot API's rules: %q", broken)
	}
	if pressed, err := anna(w).Press("no such button"); err == nil || !strings.Contains(err.Error(), "How to connect") {
		t.Errorf("got %+v, %v, want an error that lists the buttons", pressed, err)
	}
}

// buy walks from /start to the key.
func buy(ctx context.Context, p *sandbox.Person) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := p.Write("/start"); err != nil {
		return err
	}
	if _, err := p.See(ctx, "Choose your language"); err != nil {
		return err
	}
	for _, press := range [][2]string{
		{"English", "Hello, Anna"},
		{"Buy access", "Choose a plan"},
		{"Plus", "For how long?"},
		{"90 days", "How would you like to pay?"},
		{"CryptoBot", "Press the button and pay"},
	} {
		if _, err := p.Press(press[0]); err != nil {
			return err
		}
		if _, err := p.See(ctx, press[1]); err != nil {
			return err
		}
	}
	button, err := p.Press("Pay")
	if err != nil {
		return err
	}
	if _, err := p.Pay(button.URL); err != nil {
		return err
	}
	_, err = p.See(ctx, "vless://")
	return err
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  sandbox.Config
		want string
	}{
		{"no program", sandbox.Config{Program: "/no/such/program"}, "make build"},
		{"a program that dies", sandbox.Config{Program: "/bin/false"}, "died 3 times"},
		{"a broken setting", sandbox.Config{Program: program, Env: []string{"TIMEZONE=Nowhere"}}, "TIMEZONE: got \"Nowhere\", want a zone"},
		{"a negative speed", sandbox.Config{Speed: -1}, "speed -1"},
		{"a short period of no whole seconds", sandbox.Config{ShortPeriod: 1}, "whole seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, err := sandbox.Start(t.Context(), c.cfg)
			if err == nil {
				_ = w.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want %q in it", err, c.want)
			}
		})
	}
}

func TestWorldWithoutProduct(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true, Program: "/no/such/program"})
	r := w.Ready()
	if r.ProductPID != 0 || r.ProductLog != "" || r.AppURL == "" || r.Catalogue == "" {
		t.Errorf("got %+v", r)
	}
	status, answer := ask[map[string]string](t, http.MethodPost, r.ControlURL+"/product/kill", "")
	if status != http.StatusConflict || answer["error"] == "" {
		t.Errorf("killing no product: %d %v", status, answer)
	}
}

// There are libraries that look at the shape of a token.
func TestTokensLookLikeRealOnes(t *testing.T) {
	t.Parallel()
	ready := start(t, sandbox.Config{NoProduct: true}).Ready()
	for _, token := range []string{ready.BotToken, ready.CryptoPayToken} {
		if !regexp.MustCompile(`^\d+:AA[A-Za-z0-9_-]{33}$`).MatchString(token) {
			t.Errorf("a token of %d characters", len(token))
		}
	}
}

// An app that goes past its tunnel must not seem to work.
func TestThePageBehindTheTunnelTurnsAwayWhoComesPastIt(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{NoProduct: true})
	if status, _, page := send(t, http.MethodGet, w.Ready().InternetURL, "", nil); status != http.StatusForbidden || strings.Contains(string(page), sandbox.InternetText) {
		t.Errorf("%d %s", status, page)
	}
}
