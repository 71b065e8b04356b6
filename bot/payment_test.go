package bot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox/telegram"
	"sallyport/shop"
)

// pays has a person pay a link while the bot answers, and returns how that ended.
func (f *front) pays(user int64, link string) error {
	done := make(chan error, 1)
	go func() { done <- f.telegram.PayLink(user, link) }()
	return f.work(done)
}

// work plays the webhook for what is about money, until paying ends; what comes after
// it stays for hears.
func (f *front) work(done <-chan error) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	for {
		for _, u := range f.updates(ctx, "pre_checkout_query") {
			f.must(f.Checkout(ctx, u))
			f.must(f.Checkout(ctx, u)) // Telegram repeats what it got no answer to
		}
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return errors.New("no end")
		default:
		}
	}
}

// updates takes those that have a word in them.
func (f *front) updates(ctx context.Context, word string) (found []json.RawMessage) {
	f.t.Helper()
	var updates []json.RawMessage
	f.must(f.client.Call(ctx, "getUpdates", map[string]string{"offset": fmt.Sprint(f.offset)}, &updates))
	for _, raw := range updates {
		var u struct {
			ID int `json:"update_id"`
		}
		f.must(json.Unmarshal(raw, &u))
		if strings.Contains(string(raw), word) {
			found, f.offset = append(found, raw), u.ID+1
		}
	}
	return found
}

// hears has the bot handle the one update with the word in it.
func (f *front) hears(word string) (raw string) {
	f.t.Helper()
	news := f.updates(f.t.Context(), word)
	if len(news) != 1 {
		f.t.Fatalf("%d updates with %s", len(news), word)
	}
	f.must(f.handle("message", string(news[0])))
	return string(news[0])
}

// ordersInStars walks to the link by which Ann pays.
func (f *front) ordersInStars() (shop.Order, string) {
	f.t.Helper()
	f.write("/start")
	screen := f.only("Choose")
	f.must(f.press(screen.ID, "language:en", "x"))
	f.must(f.press(screen.ID, "buy:basic:30d", "x"))
	f.only("How would you like to pay?")
	f.must(f.press(screen.ID, "pay:basic:30d:stars", "x"))
	id := f.orderOf(f.only("99 ⭐"))
	f.must(f.shop.OpenInvoice(f.t.Context(), id))
	f.must(f.shop.Notify(f.t.Context(), shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeInvoice, OrderID: id}))
	button := f.only("pay in Telegram Stars").Keyboard[0][0]
	if !strings.HasPrefix(button.URL, "https://t.me/$") || button.Text != "Pay 99 ⭐" {
		f.t.Errorf("%+v", button)
	}
	order, err := f.shop.OrderOf(f.t.Context(), shop.UserID(ann), id)
	f.must(err)
	return order, button.URL
}

func (f *front) count(sql string) (n int) {
	f.t.Helper()
	f.must(f.store.Pool().QueryRow(f.t.Context(), sql).Scan(&n))
	return n
}

func TestStarsBuyAccessOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	f.must(f.pays(ann, link))
	raw := f.hears("successful_payment")
	for update := range 3 { // the same payment, told by other updates
		f.must(f.handle("message", strings.Replace(raw, `"update_id":`, fmt.Sprintf(`"update_id":%d`, update+1), 1)))
	}
	paid, err := f.shop.OrderOf(t.Context(), shop.UserID(ann), order.ID)
	f.must(err)
	if paid.Status != shop.OrderPaid {
		t.Errorf("%+v", paid)
	}
	if n := f.count(`SELECT count(*) FROM payment_events WHERE provider = 'stars' AND outcome = 'settled'`); n != 1 || f.count(`SELECT count(*) FROM payment_events`) != 1 {
		t.Errorf("settled %d times", n)
	}
	f.must(f.shop.Converge(t.Context(), shop.UserID(ann)))
	f.must(f.shop.Notify(t.Context(), shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeReady, OrderID: order.ID}))
	screens := f.screens()
	if len(screens) != 2 || !strings.Contains(screens[0].Text, "Paid: Basic") || !strings.Contains(screens[1].Text, "vless://") {
		t.Errorf("%+v", screens)
	}
	if err := f.pays(ann, link); err == nil {
		t.Error("paid twice")
	}
}

func TestCheckoutAgreesOnlyToWhatIsRight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		payer   int64
		before  func(f *front, o shop.Order)
		reason  string
		payload string // of an invoice of the test's own, with the price, if not that of the order's link
		price   int
	}{
		{name: "all is right", payer: ann},
		{name: "another payer", payer: ann + 1, reason: "Этот заказ уже нельзя оплатить"},
		{name: "cancelled", payer: ann, reason: "cannot be paid", before: func(f *front, o shop.Order) {
			f.must(f.shop.CancelOrder(f.t.Context(), o.UserID, o.ID))
		}},
		{name: "over, and nobody has noticed", payer: ann, reason: "cannot be paid", before: func(f *front, o shop.Order) {
			_, err := f.store.Pool().Exec(f.t.Context(), `UPDATE orders SET expires_at = now() WHERE id = $1`, o.ID.UUID)
			f.must(err)
		}},
		{name: "expired", payer: ann, reason: "cannot be paid", before: func(f *front, o shop.Order) {
			_, err := f.store.CloseOrder(f.t.Context(), o.ID, shop.OrderExpired)
			f.must(err)
		}},
		{name: "paid", payer: ann, reason: "cannot be paid", before: func(f *front, o shop.Order) {
			_, err := f.shop.Settle(f.t.Context(), shop.PaymentEvent{Provider: shop.Stars, ExternalID: "c", OrderRef: o.ID.String(), Invoiced: o.Quote.Total, Raw: []byte("{}")})
			f.must(err)
		}},
		{name: "another amount", payer: ann, reason: "cannot be paid", payload: "order", price: 98},
		{name: "an order nobody knows", payer: ann, reason: "cannot be paid", payload: shop.NewOrderID().String(), price: 99},
		{name: "no order", payer: ann, reason: "cannot be paid", payload: "a donation", price: 99},
		{name: "a database that is away", payer: ann, reason: "something is slow", before: func(f *front, _ shop.Order) { f.store.Close() }},
		{name: "another language than the phone's", payer: ann, reason: "Этот заказ уже нельзя оплатить", before: func(f *front, o shop.Order) {
			f.must(errors.Join(f.shop.ChooseLanguage(f.t.Context(), o.UserID, shop.Russian), f.shop.CancelOrder(f.t.Context(), o.UserID, o.ID)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t)
			order, link := f.ordersInStars()
			if c.payload != "" {
				payload := strings.Replace(c.payload, "order", order.ID.String(), 1)
				f.must(f.client.Call(t.Context(), "createInvoiceLink", map[string]string{
					"title": "x", "description": "x", "payload": payload, "currency": "XTR", "prices": fmt.Sprintf(`[{"label":"x","amount":%d}]`, c.price),
				}, &link))
			}
			if c.payer != ann {
				_, err := f.telegram.SendText(telegram.User{ID: c.payer, FirstName: "Boris", LanguageCode: "ru"}, "/start")
				f.must(err)
			}
			if c.before != nil {
				c.before(f, order)
			}
			err := f.pays(c.payer, link)
			refused, isRefused := errors.AsType[*telegram.RefusedError](err)
			if c.reason == "" && err != nil || c.reason != "" && (!isRefused || !strings.Contains(refused.Reason, c.reason)) {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

func TestCheckoutOfWhatIsNoneIsAFaultAndAnAnswerTooLateIsNot(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	for _, body := range []string{``, `[]`, `{"update_id":1}`, `{"update_id":1,"pre_checkout_query":{"id":"1"}}`, `{"update_id":1,"pre_checkout_query":{"id":5}}`} {
		if err := f.Checkout(t.Context(), []byte(body)); shop.KindOf(err) != shop.KindInvalid {
			t.Errorf("%s: %v", body, err)
		}
	}
	late := `{"update_id":1,"pre_checkout_query":{"id":"99","from":{"id":500},"currency":"XTR","total_amount":5,"invoice_payload":"x"}}`
	f.must(f.Checkout(t.Context(), []byte(late)))
}

func TestMoneyThatIsNotRightIsKept(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	say := func(kind, charge, payload string, amount int) string {
		return fmt.Sprintf(`{"update_id":1,"message":{"message_id":1,"date":1767225600,"from":{"id":500},"chat":{"id":-5,"type":"group"},%q:
			{"currency":"XTR","total_amount":%d,"invoice_payload":%q,"telegram_payment_charge_id":%q}}}`, kind, amount, payload, charge)
	}
	_, err := f.store.Pool().Exec(t.Context(), `
		UPDATE orders SET checkout_id = 'q', checkout_agreed = true, checkout_at = now() - interval '1 hour'`)
	f.must(err)
	for _, c := range []struct{ reason, body string }{
		{"wrong_amount", say("successful_payment", "c1", order.ID.String(), 98)},
		{"refunded", say("refunded_payment", "c4", order.ID.String(), 99)},
		{"refunded", say("refunded_payment", "c5", "a donation", 5)},
	} {
		for range 2 {
			f.must(f.handle("message", c.body))
		}
		var kept int
		f.must(f.store.Pool().QueryRow(t.Context(), `
			SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reason = $1 AND raw = $2`, c.reason, []byte(c.body)).Scan(&kept))
		if kept != 1 {
			t.Errorf("%s: kept %d times", c.body, kept)
		}
	}
	if n := f.count(`SELECT count(*) FROM ledger_postings WHERE kind = 'sale'`); n != 0 {
		t.Errorf("%d postings", n)
	}
	for _, body := range []string{
		say("successful_payment", "", order.ID.String(), 99),
		strings.Replace(say("refunded_payment", "c6", "x", 5), `"total_amount":5`, `"total_amount":"5"`, 1),
	} {
		if err := f.handle("message", body); shop.KindOf(err) != shop.KindInvalid {
			t.Errorf("%s: %v", body, err)
		}
	}
	odd := strings.Replace(say("refunded_payment", "c7", "x", 5), `"date":1767225600`, `"date":"today","text":7`, 1)
	f.must(f.handle("message", odd)) // what is odd stands beside the money
	if n := f.count(`SELECT count(*) FROM payment_events WHERE external_id = 'c7'`); n != 1 {
		t.Errorf("money beside an odd field: kept %d times", n)
	}
	f.must(f.shop.SweepPayments(t.Context(), shop.Stars)) // the checkout of an hour ago came to nothing
	f.must(f.pays(ann, link))                             // what was wrong does not stand in the way of what is right
	f.hears("successful_payment")
	if n := f.count(`SELECT count(*) FROM orders WHERE status = 'paid'`); n != 1 {
		t.Errorf("%d paid orders", n)
	}
}

// One field of the update that cannot be read must not cost the customer their payment.
func TestAPaymentBesideWhatCannotBeReadIsAPayment(t *testing.T) {
	t.Parallel()
	for what, odd := range map[string]func(string) string{
		"the text": func(raw string) string {
			return strings.Replace(raw, `"message":{`, `"message":{"text":7,"entities":"none",`, 1)
		},
		"the date": func(raw string) string {
			return regexp.MustCompile(`"date":\d+`).ReplaceAllString(raw, `"date":"today"`)
		},
		"the rest": func(raw string) string {
			return strings.Replace(raw, `"message":{`, `"callback_query":5,"message":{`, 1)
		},
	} {
		f := newFront(t)
		order, link := f.ordersInStars()
		f.must(f.pays(ann, link))
		paid := f.updates(t.Context(), "successful_payment")
		if len(paid) != 1 {
			t.Fatalf("%d payments told of", len(paid))
		}
		body := odd(string(paid[0]))
		if body == string(paid[0]) {
			t.Fatal("nothing was made odd")
		}
		if err := f.handle("message", body); err != nil || f.status(order) != shop.OrderPaid {
			t.Errorf("%s: %s, %v", what, f.status(order), err)
		}
	}
}

// What Telegram says when the bot's owner gives Stars back.
func TestARefundAtTelegramIsKeptWithItsOrder(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	_, link := f.ordersInStars()
	f.must(f.pays(ann, link))
	f.hears("successful_payment")
	var charge string
	f.must(f.store.Pool().QueryRow(t.Context(), `SELECT external_id FROM payment_events`).Scan(&charge))
	f.must(f.client.Call(t.Context(), "refundStarPayment", map[string]string{"user_id": fmt.Sprint(ann), "telegram_payment_charge_id": charge}, nil))
	f.hears("refunded_payment")
	if n := f.count(`SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reason = 'refunded' AND order_id IS NOT NULL`); n != 1 {
		t.Errorf("%d refunds kept", n)
	}
	f.must(f.shop.SweepPayments(t.Context(), ""))
	if n := f.count(`SELECT count(*) FROM payment_events`); n != 2 {
		t.Errorf("%d events", n)
	}
}

// The shop was away for a day when the Stars were given back, so Telegram tells of it no
// more: its list does.
func TestARefundOfWhichNobodyToldUsIsFoundByTheSweep(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	_, link := f.ordersInStars()
	f.must(f.pays(ann, link))
	f.hears("successful_payment")
	var charge string
	f.must(f.store.Pool().QueryRow(t.Context(), `SELECT external_id FROM payment_events`).Scan(&charge))
	f.must(f.client.Call(t.Context(), "refundStarPayment", map[string]string{"user_id": fmt.Sprint(ann), "telegram_payment_charge_id": charge}, nil))
	for range 2 {
		f.must(f.shop.SweepPayments(t.Context(), ""))
	}
	if n := f.count(`SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND reason = 'refunded' AND order_id IS NOT NULL`); n != 1 {
		t.Errorf("%d refunds kept", n)
	}
	f.hears("refunded_payment") // late, after all
	if n := f.count(`SELECT count(*) FROM payment_events`); n != 2 {
		t.Errorf("%d events", n)
	}
}

// paidBy is the word of an update that somebody paid an order.
func paidBy(o shop.Order, charge string) string {
	return fmt.Sprintf(`{"update_id":1,"message":{"message_id":1,"date":1767225600,"from":{"id":%d},"chat":{"id":%[1]d,"type":"private"},
		"successful_payment":{"currency":"XTR","total_amount":%d,"invoice_payload":%q,"telegram_payment_charge_id":%q}}}`,
		o.UserID, o.Quote.Total.Minor, o.ID, charge)
}

func (f *front) status(o shop.Order) shop.OrderStatus {
	f.t.Helper()
	got, err := f.shop.OrderOf(f.t.Context(), o.UserID, o.ID)
	f.must(err)
	return got.Status
}

// Whoever knows the webhook's secret can post updates, and is given nothing for it.
func TestForgedUpdatesPayNothing(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	forge := func() {
		t.Helper()
		f.must(f.handle("message", paidBy(order, "made-up")))
		f.must(f.shop.SweepPayments(t.Context(), shop.Stars))
		if n := f.count(`SELECT count(*) FROM payment_events`); n != 0 || f.status(order) != shop.OrderOpen {
			t.Errorf("%s, %d events", f.status(order), n)
		}
	}
	forge()
	f.must(f.Checkout(t.Context(), []byte(fmt.Sprintf(`{"update_id":2,"pre_checkout_query":
		{"id":"77","from":{"id":%d},"currency":"XTR","total_amount":99,"invoice_payload":%q}}`, ann, order.ID))))
	forge()
	f.must(f.pays(ann, link)) // what Telegram refused keeps nobody off
	f.hears("successful_payment")
	if n := f.count(`SELECT count(*) FROM payment_events WHERE outcome = 'settled'`); n != 1 || f.status(order) != shop.OrderPaid {
		t.Errorf("%s, %d settled", f.status(order), n)
	}
}

func TestAPaymentWhoseAgreementWasNotNotedIsFoundInTelegramsList(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	f.must(f.pays(ann, link))
	_, err := f.store.Pool().Exec(t.Context(), `UPDATE orders SET checkout_agreed = false`) // as a crash leaves it
	f.must(err)
	f.hears("successful_payment")
	if n := f.count(`SELECT count(*) FROM river_job WHERE kind = 'sweep_payments'`); n == 0 || f.status(order) != shop.OrderOpen {
		t.Errorf("%s, %d sweeps", f.status(order), n)
	}
	f.must(f.shop.SweepPayments(t.Context(), shop.Stars))
	if got := f.status(order); got != shop.OrderPaid {
		t.Errorf("%s", got)
	}
}

// On two devices, or before the first payment is told of.
func TestOneOrderIsChargedForOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	f.must(f.pays(ann, link))
	refused, ok := errors.AsType[*telegram.RefusedError](f.pays(ann, link))
	if !ok || !strings.Contains(refused.Reason, "being paid already") {
		t.Errorf("charged twice: %v", refused)
	}
	f.must(f.shop.SweepPayments(t.Context(), shop.Stars))
	if n := f.count(`SELECT count(*) FROM payment_events`); n != 1 {
		t.Errorf("Telegram has %d payments", n)
	}
	if n := f.count(`SELECT count(*) FROM payment_events WHERE outcome = 'settled'`); n != 1 || f.status(order) != shop.OrderPaid {
		t.Errorf("%s, %d settled", f.status(order), n)
	}
}

// Telegram took our consent, and the note of that was lost: Telegram asks again, and takes
// no second answer. The first one counts.
func TestACheckoutAskedForAgainStillKeepsOthersOff(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	done := make(chan error, 1)
	go func() { done <- f.telegram.PayLink(ann, link) }()
	var asked []json.RawMessage
	for asked == nil {
		asked = f.updates(t.Context(), "pre_checkout_query")
	}
	f.must(f.Checkout(t.Context(), asked[0]))
	f.must(<-done)
	_, err := f.store.Pool().Exec(t.Context(), `UPDATE orders SET checkout_agreed = false`) // as a crash leaves it
	f.must(err)
	f.must(f.Checkout(t.Context(), asked[0]))
	other := shop.Checkout{ID: "other", OrderRef: order.ID.String(), Payer: order.UserID, Amount: order.Quote.Total}
	if _, err := f.shop.BeginCheckout(t.Context(), other); !errors.Is(err, shop.ErrBeingPaid) {
		t.Errorf("charged for twice: %v", err)
	}
}

func TestACheckoutThatComesToNothingMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	_, err := f.shop.BeginCheckout(t.Context(), shop.Checkout{ID: "lost", OrderRef: order.ID.String(), Payer: order.UserID, Amount: order.Quote.Total})
	f.must(err)
	if r, ok := errors.AsType[*telegram.RefusedError](f.pays(ann, link)); !ok || !strings.Contains(r.Reason, "in two minutes") {
		t.Errorf("%v", r)
	}
	_, err = f.store.Pool().Exec(t.Context(), `UPDATE orders SET checkout_at = checkout_at - interval '2 minutes'`)
	f.must(err)
	f.must(f.shop.SweepPayments(t.Context(), shop.Stars))
	f.must(f.pays(ann, link))
	f.hears("successful_payment")
	if got := f.status(order); got != shop.OrderPaid {
		t.Errorf("%s", got)
	}
}

func TestAPaymentThatNobodyToldOfIsFoundWhenAsked(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	order, link := f.ordersInStars()
	f.must(f.pays(ann, link)) // and the update about it never comes
	f.must(f.press(f.screens()[0].ID, "order:"+order.ID.String(), "x"))
	if n := f.count(`SELECT count(*) FROM river_job WHERE kind = 'sweep_payments'`); n != 2 {
		t.Errorf("%d sweeps, want one now and one later", n)
	}
	f.must(f.shop.SweepPayments(t.Context(), ""))
	if n := f.count(`SELECT count(*) FROM orders WHERE status = 'paid'`); n != 1 {
		t.Errorf("%d paid orders", n)
	}
	f.hears("successful_payment") // late, after all
	if n := f.count(`SELECT count(*) FROM payment_events`); n != 1 {
		t.Errorf("%d events", n)
	}
}
