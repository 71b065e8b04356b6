package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"sallyport/sandbox/node"
)

// replica runs a second program beside that of the world until stop, or the end of the test.
func (w *world) replica(change func(*config)) (p *program, stop func()) {
	w.t.Helper()
	c := w.config
	c.Listen = freeAddress(w.t)
	change(&c)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := build(ctx, c, zap.NewNop())
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.run(ctx, nil); p.close() }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the replica ended with %v", err)
		}
	})
	w.t.Cleanup(stop)
	return p, stop
}

func (w *world) page(path string) string {
	resp, err := http.Get(w.app + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// A replica with a new secret joins one with the old, to which Telegram delivers all
// the while.
func TestTheWebhooksSecretChangesWithoutARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1010)
	anna.write("/start")
	anna.tap("Русский")
	digest := func() (n int) {
		err := w.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM webhook_secrets WHERE superseded_at IS NOT NULL`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.replica(func(c *config) { c.WebhookSecret = "quite-another-secret" })
	var last time.Time
	w.waitFor("the new secret to be in force", func() bool {
		if time.Since(last) > 400*time.Millisecond { // as fast as one chat may be written to
			last = time.Now()
			anna.write("/profile")
		}
		return digest() == 1
	})
	anna.write("/help")
	anna.see("Как подключиться")
	if strings.Contains(w.log.String(), "delivery refused") || strings.Contains(w.log.String(), "stranger refused") {
		t.Error("a delivery was refused meanwhile")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.app+"/telegram/webhook", strings.NewReader(`{"update_id":1}`))
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{testSecret: http.StatusOK, "quite-another-secret": http.StatusOK, "guessed-by-somebody": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		request.Header.Set("X-Telegram-Bot-Api-Secret-Token", secret)
		request.Body = io.NopCloser(strings.NewReader(`{"update_id":1}`))
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with %q: %d", secret, resp.StatusCode)
		}
	}
}

func TestAWebhookThatIsMovedComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	ours := w.telegram.WebhookInfo()
	for _, method := range []string{"deleteWebhook", "setWebhook?url=" + w.internet.URL} {
		w.waitFor("a stranger to move it", func() bool {
			resp, err := http.Post(w.config.TelegramAPI+"/bot"+testBotToken+"/"+method, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK // Telegram takes one change a second
		})
		w.waitFor("the webhook to be set again", w.webhookSet)
	}
	if got := w.telegram.WebhookInfo(); string(got) != string(ours) {
		t.Errorf("set otherwise than before:\n%s\n%s", ours, got)
	}
	if page := w.page("/metrics"); !strings.Contains(page, `sallyport_webhook_repairs_total{reason="missing"} 1`) ||
		!strings.Contains(page, `sallyport_webhook_repairs_total{reason="elsewhere"} 1`) {
		t.Error("the repairs are not counted")
	}
	w.waitFor("the complaint", func() bool { return strings.Contains(w.page("/healthz"), "webhook_elsewhere") })
}

// The catalogue gets another price and a second node, then becomes nonsense, then
// loses the first node.
func TestTheCatalogueIsReloadedWhileTheShopRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	anna := w.person(1011)
	anna.paid(anna.order("30 дней"))
	link := key(anna.see("Нажмите на ключ"))
	second, err := node.Start(t.Context(), node.Config{Allow: []string{w.internet.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Stop() })
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(w.config.Catalogue, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.reload(t.Context())
	}
	one, two := nodeText("de1", w.node.APIAddr, w.node), nodeText("nl1", second.APIAddr, second)
	write(catalogueText("155", one, two))
	w.waitFor("the customer to be let in on the second node", func() bool {
		return strings.Contains(w.page("/metrics"), `sallyport_node_users{node="nl1"} 1`)
	})
	anna.write("/buy")
	anna.tap("Базовый")
	anna.tap("155")
	w.waitFor("the second node in /healthz", func() bool { return strings.Contains(w.page("/healthz"), `"node:nl1":{"status":"ok"`) })

	write("plans: [nonsense")
	if page := w.page("/healthz"); !strings.Contains(page, `"catalogue":{"status":"degraded","code":"catalogue_invalid"`) {
		t.Errorf("the wrong catalogue is not told: %s", page)
	}
	anna.write("/buy")
	anna.see("Базовый")

	write(catalogueText("155", two))
	w.waitFor("the first node to be gone", func() bool { return !strings.Contains(w.page("/healthz"), "node:de1") })
	if page := w.page("/healthz"); !strings.Contains(page, `"catalogue":{"status":"ok"`) {
		t.Errorf("the mended catalogue is not told: %s", page)
	}
	anna.write("/key")
	if shown := key(anna.see("Нажмите, чтобы скопировать")); shown == link {
		t.Error("the old node is still shown")
	}
}
