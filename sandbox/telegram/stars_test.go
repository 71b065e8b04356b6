package telegram_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func invoice(more params) params {
	p := params{
		"chat_id": 1001, "title": "Month", "description": "30 days", "payload": "order-1", "currency": "XTR",
		"provider_token": "", "prices": []params{{"label": "Month", "amount": 150}},
	}
	for name, value := range more {
		p[name] = value
	}
	return p
}

// got is an update as the tests read it.
type got struct {
	ID      int64 `json:"update_id"`
	Message *struct {
		sent
		Paid     *payment `json:"successful_payment"`
		Refunded *payment `json:"refunded_payment"`
	} `json:"message"`
	Callback *struct {
		ID           string `json:"id"`
		Data         string `json:"data"`
		ChatInstance string `json:"chat_instance"`
		Message      sent   `json:"message"`
	} `json:"callback_query"`
	Checkout *struct {
		ID      string `json:"id"`
		Amount  int64  `json:"total_amount"`
		Payload string `json:"invoice_payload"`
		From    struct {
			ID int64 `json:"id"`
		} `json:"from"`
	} `json:"pre_checkout_query"`
	Member *struct {
		Old struct {
			Status string `json:"status"`
		} `json:"old_chat_member"`
		New struct {
			Status    string `json:"status"`
			UntilDate *int64 `json:"until_date"`
		} `json:"new_chat_member"`
	} `json:"my_chat_member"`
}

type payment struct {
	Currency string `json:"currency"`
	Amount   int64  `json:"total_amount"`
	Payload  string `json:"invoice_payload"`
	ChargeID string `json:"telegram_payment_charge_id"`
	Expires  int64  `json:"subscription_expiration_date"`
	First    bool   `json:"is_first_recurring"`
}

// updates polls once, confirming everything before the offset.
func (w *world) updates(offset int64, timeout int) []got {
	w.t.Helper()
	var list []got
	w.must("getUpdates", params{"offset": offset, "timeout": timeout}, &list)
	return list
}

// drained confirms everything that is pending and returns the offset of what comes next.
func (w *world) drained() int64 {
	w.t.Helper()
	offset := int64(0)
	for _, u := range w.updates(0, 0) {
		offset = u.ID + 1
	}
	w.updates(offset, 0)
	return offset
}

func paying(pay func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- pay() }()
	return done
}

func TestPayingWithStars(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	var m sent
	w.must("sendInvoice", invoice(nil), &m)
	shown := w.tg.Chat(1001).Messages[1]
	want := &telegram.Invoice{Title: "Month", Description: "30 days", Payload: "order-1", Currency: "XTR", Amount: 150}
	if diff := cmp.Diff(want, shown.Invoice); diff != "" {
		t.Error(diff)
	}
	if !shown.Keyboard[0][0].Pay {
		t.Errorf("no Pay button: %+v", shown.Keyboard)
	}
	offset := w.drained()
	done := paying(func() error { return w.tg.PayStars(1001, m.MessageID) })
	query := w.updates(offset, 10)[0]
	if query.Checkout.Amount != 150 || query.Checkout.Payload != "order-1" || query.Checkout.From.ID != 1001 {
		t.Errorf("got %+v", query.Checkout)
	}
	w.must("answerPreCheckoutQuery", params{"pre_checkout_query_id": query.Checkout.ID, "ok": true}, nil)
	if err := receive(t, done); err != nil {
		t.Fatal(err)
	}
	paid := w.updates(query.ID+1, 10)[0].Message.Paid
	if paid == nil || paid.Amount != 150 || paid.Currency != "XTR" || paid.Payload != "order-1" || paid.ChargeID == "" {
		t.Errorf("got %+v", paid)
	}
	w.refused(400, "query is too old", "answerPreCheckoutQuery", params{"pre_checkout_query_id": query.Checkout.ID, "ok": true})
	if err := w.tg.PayStars(1001, m.MessageID); !errors.Is(err, telegram.ErrAlreadyPaid) {
		t.Errorf("second payment: %v", err)
	}
	chat := w.tg.Chat(1001)
	if !chat.Messages[1].Invoice.Paid || chat.Messages[2].Payment.ChargeID != paid.ChargeID {
		t.Errorf("shown %+v", chat.Messages)
	}
}

func TestRefusedPayment(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	var m sent
	w.must("sendInvoice", invoice(nil), &m)
	offset := w.drained()
	done := paying(func() error { return w.tg.PayStars(1001, m.MessageID) })
	id := w.updates(offset, 10)[0].Checkout.ID
	w.refused(400, `"error_message" is required`, "answerPreCheckoutQuery", params{"pre_checkout_query_id": id, "ok": false})
	w.must("answerPreCheckoutQuery", params{"pre_checkout_query_id": id, "ok": false, "error_message": "Sold out"}, nil)
	var refused *telegram.RefusedError
	if err := receive(t, done); !errors.As(err, &refused) || refused.Reason != "Sold out" || !strings.Contains(err.Error(), "Sold out") {
		t.Errorf("got %v", err)
	}
	if w.tg.Chat(1001).Messages[1].Invoice.Paid {
		t.Error("paid all the same")
	}
}

func TestSilenceEndsThePayment(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *telegram.Config) { c.PayTimeout = 20 * time.Millisecond })
	w.start()
	var m sent
	w.must("sendInvoice", invoice(nil), &m)
	if err := w.tg.PayStars(1001, m.MessageID); !errors.Is(err, telegram.ErrPayTimeout) {
		t.Errorf("got %v", err)
	}
	list := w.updates(0, 0)
	id := list[len(list)-1].Checkout.ID
	w.refused(400, "query is too old", "answerPreCheckoutQuery", params{"pre_checkout_query_id": id, "ok": true})
}

func TestCloseEndsThePayment(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	var m sent
	w.must("sendInvoice", invoice(nil), &m)
	offset := w.drained()
	done := paying(func() error { return w.tg.PayStars(1001, m.MessageID) })
	w.updates(offset, 10)
	w.tg.Close()
	if err := receive(t, done); !errors.Is(err, telegram.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := w.tg.Wait(t.Context(), 1001, 1<<40); !errors.Is(err, telegram.ErrClosed) {
		t.Errorf("wait: %v", err)
	}
}

// buy pays and approves, and returns the charge.
func (w *world) buy(pay func() error) payment {
	w.t.Helper()
	offset := w.drained()
	done := paying(pay)
	query := w.updates(offset, 10)[0]
	w.must("answerPreCheckoutQuery", params{"pre_checkout_query_id": query.Checkout.ID, "ok": true}, nil)
	if err := receive(w.t, done); err != nil {
		w.t.Fatal(err)
	}
	return *w.updates(query.ID+1, 10)[0].Message.Paid
}

func TestSubscriptionLink(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := setup(t, func(c *telegram.Config) { c.Now = now.Now })
	w.start()
	p := invoice(params{"subscription_period": 2592000})
	delete(p, "chat_id")
	var link string
	w.must("createInvoiceLink", p, &link)
	if !strings.HasPrefix(link, "https://t.me/$") {
		t.Errorf("link %q", link)
	}
	paid := w.buy(func() error { return w.tg.PayLink(1001, link) })
	if !paid.First || paid.Expires != now.Now().Add(30*24*time.Hour).Unix() {
		t.Errorf("got %+v", paid)
	}
	if again := w.buy(func() error { return w.tg.PayLink(1001, link) }); again.ChargeID == paid.ChargeID {
		t.Error("the second payment has the first one's charge")
	}
	if err := w.tg.PayLink(1001, "https://t.me/$x"); !errors.Is(err, telegram.ErrNoInvoice) {
		t.Errorf("unknown link: %v", err)
	}
	p["subscription_period"] = 86400
	w.refused(400, "SUBSCRIPTION_PERIOD_INVALID", "createInvoiceLink", p)
}

func TestALostPaymentIsSeenByThePersonAndListedButNotTold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	p := invoice(nil)
	delete(p, "chat_id")
	var link string
	w.must("createInvoiceLink", p, &link)
	w.tg.LosePayments(true)
	offset := w.drained()
	done := paying(func() error { return w.tg.PayLink(1001, link) })
	query := w.updates(offset, 10)[0]
	if asked := w.tg.CheckoutUpdates(); len(asked) != 1 || asked[0] != query.ID {
		t.Errorf("asked by %v, want %d", asked, query.ID)
	}
	w.must("answerPreCheckoutQuery", params{"pre_checkout_query_id": query.Checkout.ID, "ok": true}, nil)
	if err := receive(t, done); err != nil {
		t.Fatal(err)
	}
	if told := w.updates(query.ID+1, 0); len(told) != 0 {
		t.Errorf("told by %+v", told)
	}
	messages := w.tg.Chat(1001).Messages
	shown := messages[len(messages)-1].Payment
	var list struct {
		Transactions []struct {
			ID string `json:"id"`
		} `json:"transactions"`
	}
	w.must("getStarTransactions", nil, &list)
	if shown == nil || len(list.Transactions) != 1 || list.Transactions[0].ID != shown.ChargeID {
		t.Errorf("shown %+v, listed %+v", shown, list)
	}
	w.tg.LosePayments(false)
	if told := w.buy(func() error { return w.tg.PayLink(1001, link) }); told.ChargeID == "" || told.ChargeID == shown.ChargeID {
		t.Errorf("told %+v", told)
	}
}

func TestRefundsAndTransactions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	var m sent
	w.must("sendInvoice", invoice(params{"reply_markup": keyboard([]params{{"text": "Pay ⭐️150", "pay": true}, data("Back", "back")})}), &m)
	charge := w.buy(func() error { return w.tg.PayStars(1001, m.MessageID) })
	balance := func() int64 {
		var b struct {
			Amount int64 `json:"amount"`
		}
		w.must("getMyStarBalance", nil, &b)
		return b.Amount
	}
	if got := balance(); got != 150 {
		t.Errorf("balance %d", got)
	}
	refund := params{"user_id": 1001, "telegram_payment_charge_id": charge.ChargeID}
	w.refused(400, "CHARGE_NOT_FOUND", "refundStarPayment", params{"user_id": 5, "telegram_payment_charge_id": charge.ChargeID})
	offset := w.drained()
	w.must("refundStarPayment", refund, nil)
	w.refused(400, "CHARGE_ALREADY_REFUNDED", "refundStarPayment", refund)
	if back := w.updates(offset, 10)[0].Message.Refunded; back == nil || back.ChargeID != charge.ChargeID || back.Amount != 150 {
		t.Errorf("refund update %+v", back)
	}
	if got := balance(); got != 0 {
		t.Errorf("balance %d", got)
	}
	var list struct {
		Transactions []struct {
			ID       string          `json:"id"`
			Amount   int64           `json:"amount"`
			Source   json.RawMessage `json:"source"`
			Receiver json.RawMessage `json:"receiver"`
		} `json:"transactions"`
	}
	w.must("getStarTransactions", nil, &list)
	if n := len(list.Transactions); n != 2 {
		t.Fatalf("%d transactions", n)
	}
	in, out := list.Transactions[0], list.Transactions[1]
	if in.ID != charge.ChargeID || out.ID != charge.ChargeID || !strings.Contains(string(in.Source), `"invoice_payload":"order-1"`) || len(out.Receiver) == 0 {
		t.Errorf("got %+v", list)
	}
	w.must("getStarTransactions", params{"offset": 1, "limit": 1}, &list)
	if len(list.Transactions) != 1 {
		t.Errorf("a page of %d", len(list.Transactions))
	}
	w.refused(400, "offset", "getStarTransactions", params{"offset": -1})
}

func TestInvoicesAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	cases := map[string]struct {
		change params
		text   string
	}{
		"with a long title":        {params{"title": strings.Repeat("x", 33)}, "title must have 1 to 32 characters"},
		"with a long description":  {params{"description": strings.Repeat("x", 256)}, "description must have 1 to 255 characters"},
		"with a long payload":      {params{"payload": strings.Repeat("я", 65)}, "INVOICE_PAYLOAD_INVALID"},
		"in another currency":      {params{"currency": "EUR"}, "PAYMENT_PROVIDER_INVALID"},
		"with a provider":          {params{"provider_token": "x"}, "PAYMENT_PROVIDER_INVALID"},
		"with two prices":          {params{"prices": []params{{"label": "a", "amount": 1}, {"label": "b", "amount": 1}}}, "STARS_INVOICE_INVALID"},
		"for nothing":              {params{"prices": []params{{"label": "a", "amount": 0}}}, "CURRENCY_TOTAL_AMOUNT_INVALID"},
		"with tips":                {params{"max_tip_amount": 5}, "STARS_INVOICE_INVALID"},
		"with a price in pieces":   {params{"prices": []params{{"label": "a", "amount": 1.5}}}, `Field "amount" must be of type Integer`},
		"with a late Pay button":   {params{"reply_markup": keyboard([]params{data("a", "b"), {"text": "Pay", "pay": true}})}, "REPLY_MARKUP_BUY_EMPTY"},
		"with two Pay buttons":     {params{"reply_markup": keyboard([]params{{"text": "Pay", "pay": true}, {"text": "Pay", "pay": true}})}, "BUTTON_POS_INVALID"},
		"with a long start":        {params{"start_parameter": strings.Repeat("x", 65)}, "START_PARAM_INVALID"},
		"for a person unknown yet": {params{"chat_id": 5}, "chat not found"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, tc.text, "sendInvoice", invoice(tc.change))
		})
	}
}
