package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/migrations"
	"sallyport/payments/cryptobot"
	"sallyport/store"
	"sallyport/xray"
)

// judged is what a rule makes of something.
func judged(judge func(c *check)) check {
	c := check{Status: well}
	judge(&c)
	return c
}

func TestDoctorsRules(t *testing.T) {
	t.Parallel()
	d := &doctor{config: config{
		PublicURL: "https://shop.example", MaxWebhooks: 40, WebConns: 8, WorkConns: 7, TLS: tlsACME, TLSStorage: inPostgres,
		CryptoPayAPI: "https://pay.crypt.bot/api", Listen: ":443",
	}}
	now := time.Now().Truncate(time.Second)
	webhook := func(i bot.WebhookInfo) func(c *check) {
		i.URL, i.MaxConnections, i.AllowedUpdates = "https://shop.example/telegram/webhook", 40, bot.AllowedUpdates()
		return func(c *check) { d.judgeWebhook(i, now, c) }
	}
	healthy := store.Inspection{Version: "16.4", Major: 16, Connections: 97}
	serverWith := func(change func(*store.Inspection)) func(c *check) {
		i := healthy
		change(&i)
		return func(c *check) { d.judgeServer(i, c) }
	}
	listen := func(err error) func(c *check) {
		return func(c *check) {
			judgeListen("LISTEN", ":443", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}, c)
		}
	}
	app := func(a cryptobot.App) func(c *check) { return func(c *check) { d.judgeApp(a, c) } }
	connecting := func(err error) func(c *check) {
		return func(c *check) { judgeConnecting(context.Background(), fmt.Errorf("connect: %w", err), c) }
	}
	diverted := func(address, home string) func(c *check) {
		return func(c *check) {
			d.judgeAddress(netip.MustParseAddr(address), []netip.Addr{netip.MustParseAddr(home)}, c)
		}
	}
	space := func(free, all uint64) func(c *check) { return func(c *check) { judgeSpace("/", free, all, c) } }
	for _, r := range []struct {
		name        string
		judge       func(c *check)
		status      string
		found, todo string
	}{
		{"deliveries that arrive", webhook(bot.WebhookInfo{}), well, "https://shop.example/telegram/webhook", ""},
		{"updates on their way", webhook(bot.WebhookInfo{Pending: 3}), well, "3 updates wait", ""},
		{"an old failure", webhook(bot.WebhookInfo{Pending: 3, LastErrorDate: now.Add(-2 * time.Hour).Unix(), LastErrorMessage: "x"}), well, "3 updates wait", ""},
		{"a failure that is over", webhook(bot.WebhookInfo{LastErrorDate: now.Add(-time.Minute).Unix(), LastErrorMessage: "Connection timed out"}), warns, "1m0s ago: Connection timed out", "open the port"},
		{"a failure that lasts", webhook(bot.WebhookInfo{Pending: 1, LastErrorDate: now.Unix(), LastErrorMessage: "Wrong response from the webhook: 401 Unauthorized"}), fails, "1 updates wait", "WEBHOOK_SECRET"},
		{"a certificate that Telegram refuses", webhook(bot.WebhookInfo{Pending: 1, LastErrorDate: now.Unix(), LastErrorMessage: "SSL error {error:0A000086:SSL routines::certificate verify failed}"}), fails, "", "line certificate"},
		{"a failure without a name", webhook(bot.WebhookInfo{Pending: 1, LastErrorDate: now.Unix(), LastErrorMessage: "?"}), fails, "", "PUBLIC_URL leads to it"},
		{"a certificate that is not used", webhook(bot.WebhookInfo{OwnCertificate: true}), warns, "not used any more", "sallyport webhook set"},

		{"a server that is well", serverWith(func(*store.Inspection) {}), well, "PostgreSQL 16.4, 0.0 MiB\nthe shop wants 20 of 97 connections, others have 0", ""},
		{
			"a server elsewhere that anybody may pose as", serverWith(func(i *store.Inspection) { i.Unproved = "db.example" }), warns,
			"db.example need not prove who it is", "sslmode=verify-full",
		},
		{
			"an API that customers reach", func(c *check) {
				judgeAPI(xray.Config{API: "127.0.0.1:10085", Endpoint: xray.Endpoint{Host: "vpn.example"}}, c)
			}, warns, "where a customer may reach it through the tunnel", "unix:///path",
		},
		{
			"an API on a socket", func(c *check) {
				judgeAPI(xray.Config{API: "unix:///run/api.sock", Endpoint: xray.Endpoint{Host: "vpn.example"}}, c)
			}, well, "", "",
		},
		{"an old server", serverWith(func(i *store.Inspection) { i.Major = 14 }), fails, "older than 15", "upgrade"},
		{"a standby", serverWith(func(i *store.Inspection) { i.ReadOnly = true }), fails, "takes no writes", "primary"},
		{"a clock that is a bit late", serverWith(func(i *store.Inspection) { i.Ahead = -2 * time.Second }), warns, "by -2s", "NTP"},
		{"a clock that is wrong", serverWith(func(i *store.Inspection) { i.Ahead = time.Hour }), fails, "by 1h0m0s", "NTP"},
		{"a clock that is right", serverWith(func(i *store.Inspection) { i.Ahead = 900 * time.Millisecond }), well, "", ""},
		{"a few connections", serverWith(func(i *store.Inspection) { i.Connections = 17 }), fails, "20 of 17", "max_connections"},
		{"neighbours", serverWith(func(i *store.Inspection) { i.Others = 80 }), warns, "others have 80", "max_connections"},
		{"replicas", serverWith(func(i *store.Inspection) { i.Ours, i.Others = 90, 8 }), warns, "wants 90 of 97", "max_connections"},
		{"an unknown user", connecting(&pgconn.PgError{Code: "28000", Message: "role x does not exist"}), fails, "role x", "CREATE ROLE"},
		{"a full server", connecting(&pgconn.PgError{Code: "53300", Message: "sorry, too many clients"}), fails, "too many", "max_connections"},
		{"another refusal", connecting(&pgconn.PgError{Code: "XX000", Message: "odd"}), fails, "odd", "log"},
		{"a webhook at home", diverted("203.0.113.9", "203.0.113.9"), well, "", ""},
		{"a webhook that is diverted", diverted("203.0.113.9", "198.51.100.7"), fails, "delivers to 203.0.113.9, which is not an address of shop.example", "new one from @BotFather"},
		{"no schema", func(c *check) { judgeSchema([]migrations.Step{{Version: 1, Name: "a"}, {Version: 2, Name: "b"}}, c) }, warns, "2 of 2", "sallyport migrate up"},

		{"a port that is taken", listen(syscall.EADDRINUSE), fails, "another program", "sport = :443"},
		{"a port without a right", listen(syscall.EACCES), fails, "not permitted", "CAP_NET_BIND_SERVICE"},
		{"an address that is not ours", listen(syscall.EADDRNOTAVAIL), fails, "does not have", "LISTEN"},
		{"an address that is none", listen(syscall.EINVAL), fails, "invalid", "host:port"},
		{"a port for Telegram", func(c *check) { d.checkPublicPort(t.Context(), c) }, well, "443", ""},
		{"a port that is not", func(c *check) {
			(&doctor{config: config{PublicURL: "https://shop.example:9443"}}).checkPublicPort(t.Context(), c)
		}, fails, "9443", "8443"},

		{"an app whose webhook is not told", app(cryptobot.App{Name: "Shop", Bot: payBot}), well, "Shop in @CryptoBot\nits webhook cannot be seen from here; it should be https://shop.example/payments/cryptobot", ""},
		{"an app without a webhook", app(cryptobot.App{Bot: payBot, WebhookKnown: true}), warns, "no webhook", "https://shop.example/payments/cryptobot"},
		{"an app of the other network", app(cryptobot.App{Bot: payTestBot}), fails, "made in @CryptoBot", "CRYPTOPAY_API"},

		{"an app while our address is not known", func(c *check) {
			(&doctor{wrong: map[string]bool{"PUBLIC_URL": true}}).judgeApp(cryptobot.App{Name: "Shop", Bot: payBot, WebhookKnown: true}, c)
		}, well, "Shop in @CryptoBot", ""},

		{"a clock that REALITY minds", func(c *check) { judgeProbe(xray.ErrCover, xray.Endpoint{Host: "::1", Port: 443}, true, c) }, fails, "[::1]:443 answers with the cover's own", "maxTimeDiff"},
		{"parameters that do not fit", func(c *check) { judgeProbe(xray.ErrCover, xray.Endpoint{Host: "a", Port: 443}, false, c) }, fails, "a:443 answers with the cover's own", "xray x25519 -i"},
		{"no TLS", func(c *check) { judgeProbe(xray.ErrNoTLS, xray.Endpoint{Host: "a", Port: 443}, false, c) }, fails, "not as a TLS 1.3 server", "target"},

		{"the handshake is refused", func(c *check) {
			d.judgeSilence(&net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}, c)
		}, fails, "no certificate to show", "/healthz"},
		{"a proxy without a shop", func(c *check) { d.judgeWho(api.Look{Status: 502}, c) }, warns, "answers 502", ":443"},

		{"room", space(50<<30, 100<<30), well, "50.0 of 100.0 GiB", ""},
		{"little room", space(900<<20, 2<<30), warns, "0.9 of 2.0", "make room"},
		{"a small part", space(9<<30, 100<<30), warns, "9.0 of 100.0", "make room"},
		{"no room", space(99<<20, 200<<20), fails, "0.1 of 0.2", "make room"},
	} {
		got := judged(r.judge)
		if got.Status != r.status || !strings.Contains(got.Found, r.found) || !strings.Contains(got.Todo, r.todo) || (got.Status == well) != (got.Todo == "") {
			t.Errorf("%s: %+v", r.name, got)
		}
	}
}

func TestWrongSettingsAreKnownByTheirNames(t *testing.T) {
	t.Parallel()
	err := errors.Join(errors.New(`BOT_TOKEN: got nothing, want a token`), errors.New("DB_ACQUIRE_TIMEOUT, DB_STATEMENT_TIMEOUT: want times"),
		errors.New("DATABASE_URL_FILE: want a file: open /x"), errors.New("plans: want 1"))
	got := named(err)
	for _, name := range []string{"BOT_TOKEN", "DB_ACQUIRE_TIMEOUT", "DB_STATEMENT_TIMEOUT", "DATABASE_URL"} {
		if !got[name] {
			t.Errorf("%s is not among %v", name, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("got %v", got)
	}
}

func TestSecretsInTheWordsOfOthersAreHidden(t *testing.T) {
	t.Parallel()
	d := &doctor{config: config{BotToken: testBotToken}}
	if got := d.hide("Get https://x/bot" + testBotToken + "/getMe: EOF"); got != "Get https://x/bot(hidden)/getMe: EOF" {
		t.Error(got)
	}
}

func TestFindingsForPeopleStandInColumns(t *testing.T) {
	t.Parallel()
	r := diagnosis{Status: fails, Checks: []check{
		{"telegram", well, "@your_bot", ""},
		{"node:amsterdam", fails, "one thing\nanother", "do this\nand that"},
	}}
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	want := `  ok    telegram        @your_bot
  fail  node:amsterdam  one thing
                        another
        -> do this
        -> and that
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
