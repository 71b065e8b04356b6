package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sallyport/bot"
	"sallyport/sandbox/fault"
)

// An operator looks at the webhook, sets it and deletes it, without the shop.
func TestTheWebhookIsChangedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listener := w.replica(func(c *config) { c.Listen = strings.TrimPrefix(w.app, "http://"); c.TelegramAPI = "http://127.0.0.1:1" })
	w.waitFor("somebody to deliver to", func() bool { return listener != nil && w.get("/livez") == 200 })
	dir := t.TempDir()
	environment := slices.DeleteFunc(environ(w.config), func(line string) bool { return strings.HasSuffix(line, "=0") || strings.HasSuffix(line, "=0s") })
	run := func(want int, arguments ...string) string {
		t.Helper()
		out, problems, status := command(t, dir, environment, append([]string{"webhook"}, arguments...)...)
		if status != want || strings.Contains(out+problems, testSecret) || strings.Contains(out+problems, testBotToken) {
			t.Fatalf("%v: status %d, said %s%s", arguments, status, out, problems)
		}
		return out + problems
	}
	info := func() (i bot.WebhookInfo) {
		t.Helper()
		if err := json.Unmarshal([]byte(run(0, "info")), &i); err != nil {
			t.Fatal(err)
		}
		return i
	}
	if i := info(); i.URL != "" {
		t.Errorf("there is one: %+v", i)
	}
	if said := run(0, "set"); !strings.Contains(said, w.app+"/telegram/webhook") {
		t.Error(said)
	}
	if i := info(); i.URL != w.app+"/telegram/webhook" || i.MaxConnections != 40 || len(i.AllowedUpdates) != 4 {
		t.Errorf("set: %+v", i)
	}
	run(0, "delete")
	if i := info(); i.URL != "" {
		t.Errorf("it is still there: %+v", i)
	}
	if err := w.telegramFault.Set(fault.Down, 0, 0); err != nil {
		t.Fatal(err)
	}
	if said := run(1, "info"); !strings.Contains(said, "ask telegram") {
		t.Errorf("while Telegram is away: %s", said)
	}
}
