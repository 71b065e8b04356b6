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

// flooder is the customer who sends a thousand messages and presses at once.
const flooder = 7

// lobby is a front whose lanes work what customers send. It notes how many of the
// flooder's updates were worked while each of the others waited for its answer: that does
// not depend on how fast the machine is.
type lobby struct {
	*front
	lanes *bot.Lanes

	mu       sync.Mutex
	next     int64
	worked   int           // of the flooder's
	sent     map[int64]int // worked by then, by update
	answered map[int64]int // worked meanwhile, by update
}

func newLobby(t *testing.T) *lobby {
	t.Helper()
	l := &lobby{front: newFront(t), sent: make(map[int64]int), answered: make(map[int64]int)}
	d := newDesk(nil)
	d.answer = func(u shop.Update) error {
		err := l.Handle(t.Context(), u)
		l.mu.Lock()
		defer l.mu.Unlock()
		if u.Lane == flooder {
			l.worked++
		}
		if err == nil {
			l.answered[u.ID] = l.worked - l.sent[u.ID]
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
	l.sent[id] = l.worked
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

// others has twenty customers write, ten a second in all, and returns how many of the
// flooder's updates each answer waited for, the fewest first.
func (l *lobby) others() []int {
	l.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var ids []int64
	for n := range int64(40) {
		ids = append(ids, l.send(1000+n%20, "/menu"))
		<-tick.C
	}
	waited := make([]int, len(ids))
	for i, id := range ids {
		l.done(id)
		l.mu.Lock()
		waited[i] = l.answered[id]
		l.mu.Unlock()
	}
	slices.Sort(waited)
	return waited
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

// mostMeanwhile is how many of a flooder's updates may be worked while another customer
// waits: their lanes are worked side by side, and by turns. Those who stood in one line
// would wait for hundreds.
const mostMeanwhile = 50

// One customer who sends a thousand messages and presses at once delays nobody, is told
// once, and gets an answer to the last; nothing is lost.
func TestAFloodDelaysNobodyAndItsLastWordIsAnswered(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	l.meet(flooder)
	for n := range int64(20) {
		l.meet(1000 + n)
	}
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
	t.Logf("while the others waited, so many of the flooder's were worked: %d", busy)
	if busy[35] > mostMeanwhile { // a few may be held up by the machine
		t.Errorf("while others waited, %d and more of the flooder's were worked", busy[35])
	}
	if n, answers := l.told(flooder), l.answers.Load(); n != 1 || answers < 333 {
		t.Errorf("told %d times, %d of 333 presses were answered", n, answers)
	}
	eventually(t, "all to be ended", func() bool { return states(t, l.store)["waiting"] == 0 })
	if got := states(t, l.store); got["dead"] != 0 || got["done"]+got["stale"] != 1040 || got["stale"] < 900 {
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
