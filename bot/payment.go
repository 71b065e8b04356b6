package bot

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
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
		Date     json.RawMessage `json:"date"` // read apart: a date that is none must not cost the payment
		Paid     *starPayment    `json:"successful_payment"`
		Refunded *starPayment    `json:"refunded_payment"`
	} `json:"message"`
}

// date returns when the message was sent; zero if it does not say.
func (n starNews) date() time.Time {
	var seconds int64
	if json.Unmarshal(n.Message.Date, &seconds) != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// credit passes on the payment that an update tells of, or the word that one was given
// back; about says whether the update is about money at all.
func (b *Bot) credit(ctx context.Context, u shop.Update) (about bool, err error) {
	var news starNews
	if err := json.Unmarshal(u.Body, &news); err != nil {
		return true, undecodable(err)
	}
	at := news.date()
	switch m := news.Message; {
	case m.Paid != nil:
		err = m.Paid.report(ctx, at, u.Body, b.shop.Credit)
	case m.Refunded != nil:
		err = m.Refunded.report(ctx, at, u.Body, func(ctx context.Context, e shop.PaymentEvent) error {
			_, err := b.shop.Refunded(ctx, e)
			return err
		})
	default:
		return false, nil
	}
	return true, err
}

// report hands the payment to a use case. One that cannot be told from others is
// kept for an operator.
func (p starPayment) report(ctx context.Context, at time.Time, raw []byte, to func(context.Context, shop.PaymentEvent) error) error {
	if p.ChargeID == "" {
		return undecodable(errors.New("a payment without an id"))
	}
	return to(ctx, shop.PaymentEvent{
		Provider: shop.Stars, ExternalID: p.ChargeID, OrderRef: p.Payload,
		Invoiced: shop.Money{Minor: p.Amount, Currency: p.Currency}, PaidAt: at, Raw: raw,
	})
}

func undecodable(err error) error {
	return &shop.Error{Kind: shop.KindInvalid, Key: "undecodable", Err: err}
}

// checkBudget bounds the look at the order before Telegram is answered: a database
// that hangs must leave time to refuse.
const checkBudget = 3 * time.Second

// Checkout answers Telegram's question whether a payment may go ahead. It is asked
// and answered within one request, and agreed to only if nothing speaks against it.
// What Telegram says to our consent is noted.
func (b *Bot) Checkout(ctx context.Context, body []byte) error {
	var update tgbotapi.Update
	if err := json.Unmarshal(body, &update); err != nil || update.PreCheckoutQuery == nil || update.PreCheckoutQuery.From == nil {
		return undecodable(errors.New("not a pre-checkout query"))
	}
	q := update.PreCheckoutQuery
	checkout := shop.Checkout{
		ID: q.ID, OrderRef: q.InvoicePayload, Payer: shop.UserID(q.From.ID),
		Amount: shop.Money{Minor: int64(q.TotalAmount), Currency: q.Currency},
	}
	params := tgbotapi.Params{"pre_checkout_query_id": q.ID, "ok": "true"}
	reason, again := b.refusal(ctx, checkout, q.From.LanguageCode)
	if reason != "" {
		params["ok"], params["error_message"] = "false", reason
	}
	err := b.client.Call(ctx, "answerPreCheckoutQuery", params, nil)
	late := tooLate(err)
	unknown := late && again // nobody knows what it said to the consent before
	var noted error
	if reason == "" && (err == nil || untaken(err) && !unknown) {
		noted = b.shop.EndCheckout(ctx, checkout, err == nil)
	}
	if late {
		err = nil // nobody waits for it any more
	}
	return errors.Join(err, noted)
}

// untaken says whether Telegram says that it did not take our answer. Without its
// word, nobody knows.
func untaken(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Code < http.StatusInternalServerError
}

// tooLate says whether Telegram says that it takes no answer to the query any more: it is
// too old, or it was answered before.
func tooLate(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && strings.Contains(strings.ToLower(r.Description), "query is too old")
}

// refusal returns why the customer cannot pay, in their language, or nothing if they can;
// then again says whether that may have been said before.
func (b *Bot) refusal(ctx context.Context, c shop.Checkout, code string) (reason string, again bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkBudget, errors.New("order not checked in time"))
	defer cancel()
	again, err := b.shop.BeginCheckout(ctx, c)
	if err == nil {
		return "", again
	}
	paint := b.display.texts.painter(b.shop.LanguageOf(ctx, c.Payer, code))
	switch kind := shop.KindOf(err); {
	case errors.Is(err, shop.ErrBeingPaid):
		return paint.text("checkout.busy", nil), false
	case kind == shop.KindInvalid, kind == shop.KindNotFound, kind == shop.KindConflict, kind == shop.KindForbidden:
		return paint.text("checkout.refused", nil), false
	default:
		return paint.text("error.unavailable", nil), false
	}
}
