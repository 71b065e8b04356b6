package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/sandbox/fault"
)

// An operator looks at the webhook, sets it and deletes it, without the shop.
func TestTheWebhookIsChangedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listener, _ := w.replica(func(c *config) { c.Listen = strings.TrimPrefix(w.app, "http://"); c.TelegramAPI = "http://127.0.0.1:1" })
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

// In a rolling change of PUBLIC_URL and of the secret the process before runs on, and is
// the eldest: it neither sets its own address back nor takes the new one for somebody
// else's. When the new process goes, its own is what is wanted again.
func TestTheWebhookIsWhatWasWantedLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(operatorChat).write("/start")
	older := w.start()
	leadsTo := func() string {
		var info bot.WebhookInfo
		if err := json.Unmarshal(w.telegram.WebhookInfo(), &info); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(info.URL, "/telegram/webhook")
	}
	var address string
	newer, stop := w.replica(func(c *config) {
		address = "http://" + c.Listen
		c.PublicURL, c.WebhookSecret = address, "quite-another-secret"
	})
	stays := func(url string, programs ...*program) {
		t.Helper()
		w.waitFor("the webhook of "+url, func() bool { return leadsTo() == url })
		for end := time.Now().Add(10 * 3 * w.config.WatchEvery); time.Now().Before(end); <-time.After(w.config.WatchEvery) {
			if now := leadsTo(); now != url {
				t.Fatalf("it was set to %s", now)
			}
			for _, p := range programs {
				if found := p.watch.Last().Components["webhook"]; strings.HasPrefix(found.Code, "webhook_") {
					t.Fatalf("%s complains: %+v", p.config.PublicURL, found)
				}
			}
		}
	}
	stays(address, older, newer)
	anna := w.person(1010)
	anna.write("/start")
	anna.tap("Русский")
	stop()
	stays(w.app, older)
	anna.write("/help")
	anna.see("Как подключиться")
	for _, m := range w.telegram.Chat(operatorChat).Messages {
		if strings.Contains(m.Text, "webhook") {
			t.Errorf("the operator was told: %s", m.Text)
		}
	}
	if strings.Contains(w.log.String(), "webhook set again") {
		t.Error("what another process of ours has set was set right")
	}
}

// What does not come while Telegram cannot deliver is no silence.
func TestSilenceCountsWhileTelegramCanDeliver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	listened := func() (hours int) {
		if err := w.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM listened`).Scan(&hours); err != nil {
			t.Fatal(err)
		}
		return hours
	}
	w.waitFor("it to listen", func() bool { return listened() > 0 })
	if err := w.telegramFault.Set(fault.Down, 0, 0); err != nil {
		t.Fatal(err)
	}
	w.waitFor("it to be noticed", func() bool { return p.watch.Last().Components["telegram"].State == api.StateFail })
	<-time.After(2 * p.operatorEvery()) // what had begun
	if _, err := w.store.Pool().Exec(t.Context(), `DELETE FROM listened`); err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * p.operatorEvery())
	if n := listened(); n != 0 {
		t.Errorf("%d hours count", n)
	}
	w.telegramFault.Clear()
	w.waitFor("it to listen again", func() bool { return listened() > 0 })
}
