package telegram_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"sallyport/sandbox/telegram"
)

// ledger keeps what a webhook has accepted, per person and in the order of arrival.
type ledger struct {
	mu    sync.Mutex
	texts map[int64][]string
}

func (l *ledger) add(person int64, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts[person] = append(l.texts[person], text)
}

func (l *ledger) of(person int64) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.texts[person]...)
}

func TestManyPeopleUnderFailures(t *testing.T) {
	t.Parallel()
	const people, messages = 25, 12
	w := setup(t, fast(5000))
	accepted := &ledger{texts: make(map[int64][]string)}
	h := listen(t, func(n int, d delivery, rw http.ResponseWriter) {
		if n%4 == 0 {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		accepted.add(d.Message.From.ID, d.Message.Text)
	})
	w.must("setWebhook", params{"url": h.URL, "max_connections": 5}, nil)
	var writers errgroup.Group
	for person := int64(1); person <= people; person++ {
		writers.Go(func() error {
			for i := range messages {
				u := telegram.User{ID: person, FirstName: "P"}
				if _, err := w.tg.SendText(u, fmt.Sprintf("%d/%02d", person, i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything is delivered", func() bool { return w.tg.Pending() == 0 })
	for person := int64(1); person <= people; person++ {
		var want []string
		for i := range messages {
			want = append(want, fmt.Sprintf("%d/%02d", person, i))
		}
		if diff := cmp.Diff(want, accepted.of(person)); diff != "" {
			t.Errorf("person %d: %s", person, diff)
		}
	}
}

func TestNothingIsLostWhileTheWebhookChanges(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(5000))
	seen := &ledger{texts: make(map[int64][]string)}
	accept := func(_ int, d delivery, _ http.ResponseWriter) { seen.add(d.Message.From.ID, d.Message.Text) }
	hooks := []*hook{listen(t, accept), listen(t, accept)}
	for i := range 40 {
		w.says(ann(), fmt.Sprintf("%02d", i))
		if i%5 == 0 {
			w.must("setWebhook", params{"url": hooks[i/5%2].URL, "max_connections": 1 + i}, nil)
		}
	}
	eventually(t, "everything is delivered", func() bool { return w.tg.Pending() == 0 })
	// A delivery that was under way during a change may come twice, as on the real server; none may be missing.
	once := make(map[string]bool)
	for _, text := range seen.of(1001) {
		once[text] = true
	}
	if len(once) != 40 {
		t.Errorf("%d of 40 messages arrived", len(once))
	}
}

func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, fast(1000), func(c *telegram.Config) { c.PayTimeout = 20 * time.Second })
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL}, nil)
	go func() {
		for d := range h.arrived {
			if d.Checkout != nil {
				w.call("answerPreCheckoutQuery", params{"pre_checkout_query_id": d.Checkout.ID, "ok": true})
			}
		}
	}()
	var shoppers errgroup.Group
	for person := int64(1); person <= 12; person++ {
		shoppers.Go(func() error { return w.shop(t.Context(), person) })
	}
	err := shoppers.Wait()
	eventually(t, "everything is delivered", func() bool { return w.tg.Pending() == 0 })
	h.Close()
	close(h.arrived)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Amount int64 `json:"amount"`
	}
	w.must("getMyStarBalance", nil, &b)
	if b.Amount != 12*150 {
		t.Errorf("balance %d", b.Amount)
	}
}

// shop is one person's whole visit: write, press, block and unblock, pay.
func (w *world) shop(ctx context.Context, person int64) error {
	u := telegram.User{ID: person, FirstName: "P"}
	if _, err := w.tg.SendText(u, "/start"); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	w.call("sendMessage", params{"chat_id": person, "text": "pick", "reply_markup": keyboard([]params{data("Buy", "buy")})})
	chat, err := w.tg.Wait(ctx, person, 1)
	if err != nil {
		return err
	}
	if _, err := w.tg.Press(person, chat.Messages[1].ID, "buy"); err != nil {
		return err
	}
	if err := w.tg.SetBlocked(person, true); err != nil {
		return err
	}
	if err := w.tg.SetBlocked(person, false); err != nil {
		return err
	}
	w.call("sendInvoice", invoice(params{"chat_id": person}))
	messages := w.tg.Chat(person).Messages
	return w.tg.PayStars(person, messages[len(messages)-1].ID)
}
