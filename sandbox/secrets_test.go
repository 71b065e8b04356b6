package sandbox_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/telegram"
)

// zebediah has a name that no log line holds by chance.
func zebediah(w *sandbox.World) *customer {
	p := newCustomer(w, 7)
	p.Person = w.Person(telegram.User{
		ID: 7, FirstName: "Zebediah", LastName: "Quux", Username: "zebediah_quux", LanguageCode: "en",
	})
	return p
}

func TestLogHoldsNoSecretAndNothingPersonalWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{Env: []string{"LOG_LEVEL=debug"}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	o := &outside{t: t, ctx: ctx, w: w, books: newBooks(t, w)}
	p := zebediah(w)
	if err := p.buys(ctx); err != nil {
		t.Fatal(err)
	}
	for _, page := range [][2]string{{"/key", "Your key"}, {"pelmeni with sour cream", "I understand buttons best"}} {
		if err := p.until(ctx, page[1], p.writes(page[0])); err != nil {
			t.Error(err)
		}
	}
	o.misbehave()
	breakEverything(t, w, p)
	if err := o.books.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	var key string
	if err := o.books.DB.QueryRow(ctx, `SELECT uuid::text FROM subscriptions`).Scan(&key); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(w.Ready().ProductLog)
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.Split(string(text), "\n")) < 20 {
		t.Errorf("the log is too short to prove anything:\n%s", text)
	}
	for _, page := range []string{"/healthz", "/metrics"} {
		_, _, body := send(t, http.MethodGet, w.Ready().AppURL+page, "", nil)
		text = append(text, body...)
	}
	for what, secret := range secrets(t, w.Ready(), key) {
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.Contains(strings.ToLower(line), strings.ToLower(secret)) {
				t.Errorf("%s is in the log: %s", what, line)
				break
			}
		}
	}
}

// secrets are the texts that no log may hold.
func secrets(t *testing.T, r sandbox.Ready, key string) map[string]string {
	t.Helper()
	database, err := url.Parse(r.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := database.User.Password()
	_, bot, _ := strings.Cut(r.BotToken, ":")
	_, pay, _ := strings.Cut(r.CryptoPayToken, ":")
	list := map[string]string{
		"the bot's token": bot, "the webhook's secret": r.WebhookSecret, "the Crypto Pay token": pay,
		"the database's password": password, "a link": "vless://", "a key": key,
		"a first name": "Zebediah", "a last name": "Quux", "a message": "pelmeni", "a press": "odd-press",
	}
	for what, secret := range list {
		if secret == "" {
			t.Errorf("%s is empty", what)
		}
	}
	return list
}

// misbehave posts what is refused or not understood, with personal words in it.
func (o *outside) misbehave() {
	o.t.Helper()
	hello := `{"message":{"text":"pelmeni","from":{"id":7,"first_name":"Zebediah","username":"zebediah_quux"}}}`
	o.post(updatesPath, hello, nil)
	o.post(updatesPath, hello, o.telegram())
	o.post(updatesPath, strings.TrimSuffix(hello, "}"), o.telegram())
	o.post(updatesPath, string(rawPress(firstRawUpdate, 7, 3, "odd-press")), o.telegram())
	o.post(callbacksPath, hello, http.Header{"Crypto-Pay-Api-Signature": {"00"}})
	o.post(callbacksPath, hello, o.signed(hello))
	_, invoice := o.opened(8)
	wrong := paidCallback(invoice, map[string]any{"amount": "1"})
	o.post(callbacksPath, wrong, o.signed(wrong))
}

// breakEverything has the customer act while one part after another is broken,
// and then mended.
func breakEverything(t *testing.T, w *sandbox.World, p *customer) {
	t.Helper()
	for _, c := range []struct {
		target    sandbox.Target
		mode      fault.Mode
		component string
	}{
		{sandbox.TelegramTarget, fault.Down, "telegram"},
		{sandbox.TelegramTarget, fault.Error, "telegram"},
		{sandbox.CryptoPayTarget, fault.Error, "cryptopay"},
		{sandbox.XrayTarget, fault.Down, "node:local"},
		{sandbox.PostgresTarget, fault.Down, "database"},
	} {
		if err := w.Fault(c.target).Set(c.mode, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Write("pelmeni"); err != nil {
			t.Error(err)
		}
		eventually(t, func() error { return healthy(t, w, c.component, false) })
		w.Fault(c.target).Clear()
	}
	control(t, w, "stop")
	control(t, w, "start")
}
