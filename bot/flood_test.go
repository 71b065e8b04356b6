package bot_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/bot"
	"sallyport/sandbox/telegram"
	"sallyport/shop"
)

// lobby is a front whose lanes work what customers send, and which notes when each
// update was answered.
type lobby struct {
	*front
	lanes *bot.Lanes

	mu       sync.Mutex
	next     int64
	sent     map[int64]time.Time
	answered map[int64]time.Duration // how long after it was sent
}

func newLobby(t *testing.T) *lobby {
	t.Helper()
	l := &lobby{front: newFront(t), sent: make(map[int64]time.Time), answered: make(map[int64]time.Duration)}
	d := newDesk(nil)
	d.answer = func(u shop.Update) error {
		err := l.Handle(t.Context(), u)
		if err == nil {
			l.mu.Lock()
			l.answered[u.ID] = time.Since(l.sent[u.ID])
			l.mu.Unlock()
		}
		return err
	}
	l.lanes, _ = run(t, l.store, d, "a")
	return l
}

// send has a customer send an update: a text, a press if the text begins with a colon,
// or anything else if it is JSON.
func (l *lobby) send(user int64, text string) (id int64) {
	l.t.Helper()
	l.mu.Lock()
	l.next++
	id = l.next
	l.sent[id] = time.Now()
	l.mu.Unlock()
	kind, body := "message", fmt.Sprintf(`{"update_id":1,"message":{"message_id":1,"from":{"id":%d,"first_name":"F","language_code":"en"},"chat":{"id":%d,"type":"private"},"text":%q}}`, user, user, text)
	if data, press := strings.CutPrefix(text, ":"); press {
		kind, body = "callback_query", fmt.Sprintf(`{"update_id":1,"callback_query":{"id":"q%d","from":{"id":%d,"language_code":"en"},"message":{"message_id":1,"chat":{"id":%d,"type":"private"},"text":"x"},"data":%q}}`, id, user, user, data)
	}
	if strings.HasPrefix(text, "{") {
		kind, body = "other", text
	}
	if _, err := l.store.AddUpdate(l.t.Context(), shop.Update{ID: id, Lane: user, Kind: kind, Body: []byte(body)}); err != nil {
		l.t.Fatal(err)
	}
	l.lanes.Wake(user, false)
	return id
}

// meet makes a person known to Telegram.
func (l *lobby) meet(user int64) {
	l.t.Helper()
	if _, err := l.telegram.SendText(telegram.User{ID: user, FirstName: "F", LanguageCode: "en"}, "/start"); err != nil {
		l.t.Fatal(err)
	}
}

// done waits until an update is answered.
func (l *lobby) done(id int64) {
	l.t.Helper()
	eventually(l.t, fmt.Sprint("the answer to ", id), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, ok := l.answered[id]
		return ok
	})
}

// others has twenty customers write, ten a second in all, and returns how long the
// answers took, shortest first.
func (l *lobby) others() []time.Duration {
	l.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var ids []int64
	for n := range int64(40) {
		ids = append(ids, l.send(1000+n%20, "/menu"))
		<-tick.C
	}
	took := make([]time.Duration, len(ids))
	for i, id := range ids {
		l.done(id)
		l.mu.Lock()
		took[i] = l.answered[id]
		l.mu.Unlock()
	}
	slices.Sort(took)
	return took
}

// told counts how often the customer was asked to pause.
func (l *lobby) told(user int64) (n int) {
	for _, m := range l.telegram.Chat(user).Messages {
		if m.FromBot && strings.Contains(m.Text, "You are very quick") {
			n++
		}
	}
	return n
}

// One customer who sends a thousand messages and presses at once delays nobody, is told
// once, and gets an answer to the last; nothing is lost.
func TestAFloodDelaysNobodyAndItsLastWordIsAnswered(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	const flooder = 7
	l.meet(flooder)
	for n := range int64(20) {
		l.meet(1000 + n)
	}
	calm := l.others()
	began := time.Now()
	var last int64
	var flood sync.WaitGroup
	flood.Go(func() {
		for n := range 1000 {
			last = l.send(flooder, []string{"/start", ":menu", "hello"}[n%3])
		}
	})
	busy := l.others()
	flood.Wait()
	l.done(last)
	p99 := func(times []time.Duration) time.Duration { return times[len(times)-1] } // of forty
	t.Logf("others: calm p50 %s, slowest %s; under the flood p50 %s, slowest %s: %.1f times; the flooder's last word was answered %s after the first",
		calm[20], p99(calm), busy[20], p99(busy), float64(p99(busy))/float64(p99(calm)), time.Since(began).Round(time.Millisecond))
	if p99(busy) > 3*p99(calm)+100*time.Millisecond {
		t.Errorf("the others waited %s, calm %s", p99(busy), p99(calm))
	}
	if l.answered[last] > 20*time.Second {
		t.Errorf("the last word waited %s", l.answered[last])
	}
	if n, answers := l.told(flooder), l.answers.Load(); n != 1 || answers < 333 {
		t.Errorf("told %d times, %d of 333 presses were answered", n, answers)
	}
	if got := states(t, l.store); got["waiting"]+got["dead"] != 0 || got["done"]+got["stale"] != 1080 || got["stale"] < 900 {
		t.Errorf("%v", got)
	}
}

// A flood leaves out no payment and no word of Telegram's own.
func TestAFloodLeavesOutNoPayment(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	order, link := f.ordersInStars()
	f.must(f.pays(ann, link))
	paid := f.updates(t.Context(), "successful_payment")[0]
	ctx := context.WithoutCancel(t.Context())
	flood := func(kind, body, screen string, behind int) (stale bool) {
		err := f.Handle(ctx, shop.Update{ID: 1, Kind: kind, Body: []byte(body), Behind: behind, Screen: screen, ReceivedAt: time.Now()})
		if err != nil && err.Error() != "one of too many at once" {
			t.Fatal(err)
		}
		return err != nil
	}
	press := fmt.Sprintf(`{"update_id":1,"callback_query":{"id":"q","from":{"id":%d},"message":{"message_id":1,"chat":{"id":%d,"type":"private"},"text":"x"},"data":"cancel:%s"}}`, ann, ann, order.ID)
	blocked := fmt.Sprintf(`{"update_id":1,"my_chat_member":{"from":{"id":%d},"chat":{"id":%d,"type":"private"},"new_chat_member":{"status":"kicked"}}}`, ann, ann)
	if !flood("callback_query", press, "menu", 30) || !flood("callback_query", press, "quick", 1) || flood("callback_query", press, "menu", 29) {
		t.Error("presses are judged wrongly")
	}
	if flood("message", string(paid), "quick", 100) || flood("my_chat_member", blocked, "quick", 100) {
		t.Error("a payment or a word of Telegram's was left out")
	}
	if o, err := f.shop.OrderOf(ctx, shop.UserID(ann), order.ID); err != nil || o.Status != shop.OrderPaid {
		t.Errorf("%+v, %v", o, err)
	}
	if u, err := f.store.User(ctx, shop.UserID(ann)); err != nil || u.Reachable {
		t.Errorf("%+v, %v", u, err)
	}
}

// Whose last word was received while the database's clock was ahead is answered when it
// is right again, not when the time has come.
func TestAFlooderIsNotAskedToWaitForAClock(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	message := fmt.Appendf(nil, `{"update_id":1,"message":{"message_id":1,"from":{"id":%d,"first_name":"A","language_code":"en"},"chat":{"id":%d,"type":"private"},"text":"/start"}}`, ann, ann)
	for ahead, waits := range map[time.Duration]bool{0: true, time.Hour: false} {
		err := f.Handle(t.Context(), shop.Update{ID: 1, Kind: "message", Body: message, Screen: "quick", ReceivedAt: time.Now().Add(ahead)})
		if (err != nil) != waits || waits && shop.KindOf(err) != shop.KindLimited {
			t.Errorf("received %s ahead: %v", ahead, err)
		}
	}
}
