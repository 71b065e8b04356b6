package bot

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/shop"
)

// starPayment is what Telegram says of a payment in Stars, made or given back.
type starPayment struct {
	Currency string `json:"currency"`
	Amount   int64  `json:"total_amount"`
	Payload  string `json:"invoice_payload"`
	ChargeID string `json:"telegram_payment_charge_id"`
}

// starNews is the part of a message that is about money; the library does not know
// all of it.
type starNews struct {
	Message struct {
		Date     int64        `json:"date"`
		Paid     *starPayment `json:"successful_payment"`
		Refunded *starPayment `json:"refunded_payment"`
	} `json:"message"`
}

// credit settles the payment that an update tells of, or keeps the word that one was
// given back; about says whether the update is about money at all.
func (b *Bot) credit(ctx context.Context, u shop.Update) (about bool, err error) {
	var news starNews
	if err := json.Unmarshal(u.Body, &news); err != nil {
		return true, undecodable(err)
	}
	at := time.Unix(news.Message.Date, 0).UTC()
	switch m := news.Message; {
	case m.Paid != nil:
		err = m.Paid.report(ctx, at, u.Body, b.shop.Settle)
	case m.Refunded != nil:
		err = m.Refunded.report(ctx, at, u.Body, b.shop.Refunded)
	default:
		return false, nil
	}
	return true, err
}

// report hands the payment to a use case. One that cannot be told from others is
// kept for an operator.
func (p starPayment) report(ctx context.Context, at time.Time, raw []byte, to func(context.Context, shop.PaymentEvent) (shop.Outcome, error)) error {
	if p.ChargeID == "" {
		return undecodable(errors.New("a payment without an id"))
	}
	_, err := to(ctx, shop.PaymentEvent{
		Provider: shop.Stars, ExternalID: p.ChargeID, OrderRef: p.Payload,
		Invoiced: shop.Money{Minor: p.Amount, Currency: p.Currency}, PaidAt: at, Raw: raw,
	})
	return err
}

func undecodable(err error) error {
	return &shop.Error{Kind: shop.KindInvalid, Key: "undecodable", Err: err}
}

// checkBudget bounds the look at the order before Telegram is answered: a database
// that hangs must leave time to refuse.
const checkBudget = 3 * time.Second

// Checkout answers Telegram's question whether a payment may go ahead. It is asked
// and answered within one request, and agreed to only if nothing speaks against it.
func (b *Bot) Checkout(ctx context.Context, body []byte) error {
	var update tgbotapi.Update
	if err := json.Unmarshal(body, &update); err != nil || update.PreCheckoutQuery == nil || update.PreCheckoutQuery.From == nil {
		return undecodable(errors.New("not a pre-checkout query"))
	}
	q := update.PreCheckoutQuery
	params := tgbotapi.Params{"pre_checkout_query_id": q.ID, "ok": "true"}
	if reason := b.refusal(ctx, q); reason != "" {
		params["ok"], params["error_message"] = "false", reason
	}
	err := b.client.Call(ctx, "answerPreCheckoutQuery", params, nil)
	if r, ok := errors.AsType[*Refusal](err); ok && strings.Contains(strings.ToLower(r.Description), "query is too old") {
		return nil // it was answered before, or nobody waits for it any more: nothing is charged by it
	}
	return err
}

// refusal returns why the customer cannot pay, in their language, or nothing if they can.
func (b *Bot) refusal(ctx context.Context, q *tgbotapi.PreCheckoutQuery) string {
	ctx, cancel := context.WithTimeoutCause(ctx, checkBudget, errors.New("order not checked in time"))
	defer cancel()
	amount := shop.Money{Minor: int64(q.TotalAmount), Currency: q.Currency}
	payer := shop.UserID(q.From.ID)
	err := b.shop.CheckCheckout(ctx, q.InvoicePayload, payer, amount)
	if err == nil {
		return ""
	}
	paint := b.display.texts.painter(b.shop.LanguageOf(ctx, payer, q.From.LanguageCode))
	switch shop.KindOf(err) {
	case shop.KindInvalid, shop.KindNotFound, shop.KindConflict, shop.KindForbidden:
		return paint.text("checkout.refused", nil)
	default:
		return paint.text("error.unavailable", nil)
	}
}
