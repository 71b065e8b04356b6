package bot_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox/telegram"
	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// begins has Ann choose her language, and returns her screen.
func (f *front) begins() telegram.Message {
	f.t.Helper()
	f.write("/start")
	screen := f.only("Choose")
	f.must(f.press(screen.ID, "language:en", "x"))
	return screen
}

// buys has Ann, who looks at screen, buy access, and node let her in.
func (f *front) buys(screen telegram.Message) shop.OrderID {
	f.t.Helper()
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	order := f.orderOf(f.only("Preparing your invoice"))
	f.must(f.shop.OpenInvoice(f.t.Context(), order))
	o, err := f.shop.OrderOf(f.t.Context(), shop.UserID(ann), order)
	f.must(err)
	_, err = f.shop.Settle(f.t.Context(), f.gateway.Pay(o))
	f.must(err)
	f.must(f.shop.Converge(f.t.Context(), shop.UserID(ann)))
	return order
}

// patient repeats what Telegram asks to wait for.
func (f *front) patient(do func() error) {
	f.t.Helper()
	for {
		err := do()
		limited, ok := errors.AsType[*shop.Error](err)
		if !ok || limited.Kind != shop.KindLimited {
			f.must(err)
			return
		}
		<-time.After(limited.RetryAfter)
	}
}

// A key that no picture can hold, and no caption, is sent all the same.
func TestAKeyTooLongForAPictureIsSentAsText(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.nodes = []shop.Node{shoptest.NewNode(strings.Repeat("x", 3000))}
	screen := f.begins()
	order := f.buys(screen)
	f.patient(func() error {
		return f.shop.Notify(t.Context(), shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeReady, OrderID: order})
	})
	screens := f.screens()
	if last := screens[len(screens)-1]; last.PhotoFileID != "" || !strings.Contains(last.Text, "vless://") {
		t.Errorf("the key is not there: %+v", last)
	}
}

func TestWhereNoPictureIsTakenTheKeyIsShown(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	screen := f.begins()
	f.buys(screen)
	f.noPictures.Store(true)
	f.must(f.press(screen.ID, "qr", "x"))
	screens := f.screens()
	if last := screens[len(screens)-1]; last.PhotoFileID != "" || !strings.Contains(last.Text, "vless://") {
		t.Errorf("no key where the picture was asked for: %+v", last)
	}
}

// However many and long the links, each stands on some page of the key.
func TestAKeyOfManyLongLinksHasPages(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.nodes = nil
	want := make(map[string]bool)
	for n := range 10 {
		name := fmt.Sprintf("node%d.%s", n, strings.Repeat("x", 900))
		f.nodes, want[name] = append(f.nodes, shoptest.NewNode(name)), true
	}
	screen := f.begins()
	f.buys(screen)
	f.must(f.press(screen.ID, "key", "x"))
	for pages := 1; ; pages++ {
		shown := f.only("Your key")
		for name := range want {
			if strings.Contains(shown.Text, "@"+name) {
				delete(want, name)
			}
		}
		next := ""
		for _, b := range slices.Concat(shown.Keyboard...) {
			if strings.HasPrefix(b.Text, "Next") {
				next = b.Data
			}
		}
		if next == "" || pages > 10 {
			break
		}
		f.must(f.press(screen.ID, next, "x"))
	}
	if len(want) != 0 {
		t.Errorf("%d links are on no page", len(want))
	}
	for _, page := range []string{"key:99", "key:-1", "key:x"} {
		f.must(f.press(screen.ID, page, "x"))
		f.only("vless://")
	}
}

// buttons returns what the buttons of a screen press.
func buttons(m telegram.Message) (data []string) {
	for _, b := range slices.Concat(m.Keyboard...) {
		data = append(data, b.Data)
	}
	return data
}

// An invoice that its provider refuses is not awaited for ever: the screen says so, and
// offers the other way.
func TestAnInvoiceThatIsRefusedIsSaidAndAnotherWayIsOffered(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	screen := f.begins()
	f.gateway.Refuse.Store(true)
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	order := f.orderOf(f.only("Preparing your invoice"))
	notice := shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeInvoice, OrderID: order}
	for try := 1; try <= 3; try++ {
		if err := f.shop.OpenInvoice(t.Context(), order); shop.KindOf(err) != shop.KindInternal {
			t.Fatal(err)
		}
		if n := f.count(`SELECT count(*) FROM river_job WHERE kind = 'notify'`); n != min(1, try/2) {
			t.Errorf("after %d tries: %d notices", try, n)
		}
	}
	f.patient(func() error { return f.shop.Notify(t.Context(), notice) })
	shown := f.only("cannot be paid this way")
	if all := strings.Join(buttons(shown), " "); !strings.Contains(all, "pay:basic:30d:stars") || strings.Contains(all, "cryptobot") {
		t.Errorf("%q", buttons(shown))
	}
	f.gateway.Refuse.Store(false)
	f.must(f.shop.OpenInvoice(t.Context(), order)) // the operator has mended it
	f.patient(func() error { return f.shop.Notify(t.Context(), notice) })
	f.only("pay in @CryptoBot")
}

// Whose money is flagged is told the truth: it came, it does not fit, somebody looks.
func TestWhoseMoneyIsFlaggedIsToldSo(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	screen := f.begins()
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	id := f.orderOf(f.only("Preparing your invoice"))
	f.must(f.shop.OpenInvoice(t.Context(), id))
	order, err := f.shop.OrderOf(t.Context(), shop.UserID(ann), id)
	f.must(err)
	wrong := f.gateway.Pay(order)
	wrong.PaidAsset = "TON"
	_, err = f.shop.Settle(t.Context(), wrong)
	f.must(err)
	f.must(f.press(screen.ID, "order:"+id.String(), "x"))
	f.only("a person looks at it")
	f.must(f.store.Pool().QueryRow(t.Context(), `UPDATE orders SET status = 'expired' RETURNING 1`).Scan(new(int)))
	f.must(f.press(screen.ID, "order:"+id.String(), "x"))
	f.only("a person looks at it")
	if _, err := f.store.Pool().Exec(t.Context(), `UPDATE payment_events SET reviewed_at = now()`); err != nil {
		t.Fatal(err)
	}
	f.must(f.press(screen.ID, "order:"+id.String(), "x"))
	f.only("is closed")
}

func TestWhoPaysTwiceIsToldThatBothCame(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	screen := f.begins()
	id := f.buys(screen)
	order, err := f.shop.OrderOf(t.Context(), shop.UserID(ann), id)
	f.must(err)
	second := f.gateway.Pay(order)
	second.ExternalID = "another"
	_, err = f.shop.Settle(t.Context(), second)
	f.must(err)
	f.must(f.press(screen.ID, "order:"+id.String(), "x"))
	f.only("More money has come for this order")
}

// All screens say the same of somebody's access: who waits for it, who renews while they
// are let in, and whose access has ended.
func TestScreensAgreeOnWhetherACustomerIsLetIn(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	node := shoptest.NewNode("de1")
	f.nodes = []shop.Node{node}
	screen := f.begins()
	says := func(id shop.OrderID, order, profile, key string) {
		t.Helper()
		for data, want := range map[string]string{"order:" + id.String(): order, "profile": profile, "key": key, "qr": key} {
			if data == "qr" && key == "Your key" {
				continue // a picture
			}
			f.must(f.press(screen.ID, data, "x"))
			f.only(want)
		}
	}
	pays := func() shop.OrderID {
		t.Helper()
		f.must(f.press(screen.ID, "pay:basic:30d", "x"))
		order := f.orderOf(f.only("Preparing your invoice"))
		f.must(f.shop.OpenInvoice(t.Context(), order))
		o, err := f.shop.OrderOf(t.Context(), shop.UserID(ann), order)
		f.must(err)
		_, err = f.shop.Settle(t.Context(), f.gateway.Pay(o))
		f.must(err)
		return order
	}
	node.SetDown(true)
	first := pays()
	_ = f.shop.Converge(t.Context(), shop.UserID(ann))
	says(first, "is being prepared", "being prepared", "is being prepared")
	node.SetDown(false)
	f.must(f.shop.Converge(t.Context(), shop.UserID(ann)))
	says(first, "access is ready", "active", "Your key")
	node.SetDown(true)
	second := pays()
	if err := f.shop.Converge(t.Context(), shop.UserID(ann)); err == nil {
		t.Error("a node that is down was reached")
	}
	says(second, "Your access goes on", "active", "Your key")
	f.patient(func() error {
		return f.shop.Notify(t.Context(), shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeDelayed})
	})
	shown := f.screens()
	notice := shown[len(shown)-1]
	if !strings.Contains(notice.Text, "Your access goes on") {
		t.Errorf("who is let in was told %q", notice.Text)
	}
	f.must(f.sender.Delete(t.Context(), ann, int64(notice.ID)))
	node.SetDown(false)
	f.must(f.shop.Converge(t.Context(), shop.UserID(ann)))
	if _, err := f.store.Pool().Exec(t.Context(), `UPDATE subscriptions SET status = 'expired', expires_at = now()`); err != nil {
		t.Fatal(err)
	}
	says(first, "has ended since", "ended", "no key")
}

// What a newcomer asks for is there as soon as they have chosen their language.
func TestTheFirstCommandIsNotLostBehindTheLanguage(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{"/buy": "Choose a plan", "/support": "@help", "/key": "no key yet", "/start": "Hello, <Ann>!", "/language": "Choose your language", "hi": "Hello, <Ann>!"} {
		f := newFront(t)
		f.write(command)
		asked := f.only("Choose your language")
		f.must(f.press(asked.ID, asked.Keyboard[0][0].Data, asked.Text))
		f.only(want)
	}
}

// A button charges the price that it shows, or shows the new one.
func TestAPriceThatHasChangedIsShownBeforeItIsCharged(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	screen := f.begins()
	f.must(f.press(screen.ID, "buy:basic:30d", "x"))
	old := buttons(f.only("How would you like to pay?"))
	dearer := *f.catalogue.Load()
	dearer.Plans = slices.Clone(dearer.Plans)
	dearer.Plans[0].Periods = slices.Clone(dearer.Plans[0].Periods)
	dearer.Plans[0].Periods[0].Price.Minor += 5000
	f.catalogue.Store(&dearer)
	f.must(f.press(screen.ID, old[0], "x"))
	shown := f.only("today's price")
	if n := f.count(`SELECT count(*) FROM orders`); n != 0 || !strings.Contains(shown.Keyboard[0][0].Text, "199") {
		t.Errorf("%d orders; %+v", n, shown.Keyboard)
	}
	f.must(f.press(screen.ID, old[1], "x")) // Stars cost what they did
	f.only("Preparing your invoice")
	f.must(f.press(screen.ID, buttons(shown)[0], "x"))
	f.only("Preparing your invoice")
	if n := f.count(`SELECT price_minor FROM orders WHERE status = 'open'`); n != 19900 {
		t.Errorf("charged %d", n)
	}
}

// An order that has run out loses its Pay button though nobody presses anything.
func TestAnOrderThatHasRunOutIsShownSo(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	screen := f.begins()
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	order := f.orderOf(f.only("Preparing your invoice"))
	f.must(f.shop.OpenInvoice(t.Context(), order))
	f.must(f.press(screen.ID, "order:"+order.String(), "x"))
	f.only("pay in @CryptoBot")
	if _, err := f.store.Pool().Exec(t.Context(), `UPDATE orders SET expires_at = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	f.must(f.shop.Expire(t.Context()))
	var job shop.Notify
	f.must(f.store.Pool().QueryRow(t.Context(), `SELECT args FROM river_job WHERE kind = 'notify' AND args->>'notice' = 'closed'`).Scan(&job))
	f.patient(func() error { return f.shop.Notify(t.Context(), job) })
	if shown := f.only("is closed"); shown.ID != screen.ID {
		t.Error("somebody who waits for nothing was written to")
	}
	f.must(f.press(screen.ID, "menu", "x"))
	f.patient(func() error { return f.shop.Notify(t.Context(), job) })
	f.only("private internet") // who has moved on is not called back
}
