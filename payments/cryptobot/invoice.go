package cryptobot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"sallyport/shop"
)

const (
	statusActive  = "active"
	statusPaid    = "paid"
	statusExpired = "expired"
	// maxDecimal and maxExponent bound the decimals that are read.
	maxDecimal  = 64
	maxExponent = 40
)

// text is a field that is documented as a string and also comes as a number or
// null. What is none of these is empty.
type text string

// UnmarshalJSON never fails: a field that can not be read must not cost us the
// rest of a payment.
func (t *text) UnmarshalJSON(raw []byte) error {
	*t = ""
	switch {
	case raw[0] == '"':
		var value string
		if json.Unmarshal(raw, &value) == nil {
			*t = text(strings.ReplaceAll(value, "\x00", "\uFFFD")) // the database takes no zero character
		}
	case raw[0] != 'n' && raw[0] != '{' && raw[0] != '[':
		*t = text(raw)
	}
	return nil
}

// decimal returns the field as plain digits with at most one point, or nothing
// if it is no such number.
func (t text) decimal() string {
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(string(t)), "e")
	whole, fraction, dotted := strings.Cut(mantissa, ".")
	if len(t) > maxDecimal || !digits(whole) || dotted && !digits(fraction) {
		return ""
	}
	if !scaled {
		return mantissa
	}
	power, err := strconv.Atoi(exponent)
	if err != nil || power > maxExponent || power < -maxExponent {
		return ""
	}
	value, ok := new(big.Rat).SetString(mantissa + "e" + strconv.Itoa(power))
	if !ok {
		return ""
	}
	places := max(0, len(fraction)-power)
	return value.FloatString(places)
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// instant returns the field as a time, zero if it is none.
func (t text) instant() time.Time {
	value, err := time.Parse(time.RFC3339, string(t))
	if err != nil {
		return time.Time{}
	}
	return value.UTC()
}

// fields are what we use of an invoice.
type fields struct {
	ID           text `json:"invoice_id"`
	Status       text `json:"status"`
	CurrencyType text `json:"currency_type"`
	Asset        text `json:"asset"`
	Fiat         text `json:"fiat"`
	Amount       text `json:"amount"`
	PaidAsset    text `json:"paid_asset"`
	PaidAmount   text `json:"paid_amount"`
	FeeAsset     text `json:"fee_asset"`
	FeeAmount    text `json:"fee_amount"`
	Fee          text `json:"fee"`
	PaidAt       text `json:"paid_at"`
	Expires      text `json:"expiration_date"`
	Payload      text `json:"payload"`
	BotURL       text `json:"bot_invoice_url"`
	PayURL       text `json:"pay_url"`
	WebURL       text `json:"web_app_invoice_url"`
}

// invoice is an invoice of the service and its bytes.
type invoice struct {
	fields
	raw []byte
}

// UnmarshalJSON reads an invoice from an object and keeps its bytes.
func (i *invoice) UnmarshalJSON(raw []byte) error {
	if raw[0] != '{' {
		return errors.New("an invoice is an object")
	}
	i.raw = bytes.Clone(raw)
	if err := json.Unmarshal(raw, &i.fields); err != nil {
		return fmt.Errorf("invoice: %w", err)
	}
	return nil
}

// invoices is a list of invoices, which comes as an array or as an object with
// the array in items. Rows that are no invoices are left out.
type invoices []invoice

// UnmarshalJSON reads either form.
func (l *invoices) UnmarshalJSON(raw []byte) error {
	var rows []json.RawMessage
	if raw[0] == '{' {
		var page struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return fmt.Errorf("list of invoices: %w", err)
		}
		rows = page.Items
	} else if err := json.Unmarshal(raw, &rows); err != nil {
		return fmt.Errorf("list of invoices: %w", err)
	}
	for _, row := range rows {
		var one invoice
		if json.Unmarshal(row, &one) == nil {
			*l = append(*l, one)
		}
	}
	return nil
}

// externalID returns the service's id of the invoice in its one spelling.
func (i invoice) externalID() (string, error) {
	id, err := strconv.ParseInt(string(i.ID), 10, 64)
	if err != nil || id <= 0 {
		return "", errors.New("invoice without an id")
	}
	return strconv.FormatInt(id, 10), nil
}

// demand turns the invoice into the shop's; expires is used if it names no end.
func (i invoice) demand(order shop.OrderID, expires time.Time) (shop.Invoice, error) {
	id, err := i.externalID()
	if err != nil {
		return shop.Invoice{}, internal(err)
	}
	result := shop.Invoice{Provider: shop.CryptoBot, ExternalID: id, OrderID: order, ExpiresAt: i.Expires.instant()}
	if result.ExpiresAt.IsZero() {
		result.ExpiresAt = expires
	}
	for _, address := range []text{i.BotURL, i.PayURL, i.WebURL} {
		if address != "" {
			result.URL = string(address)
			return result, nil
		}
	}
	return shop.Invoice{}, internal(fmt.Errorf("invoice %s without an address", id))
}

// event turns a paid invoice into a payment. An unpaid one is
// shop.ErrIrrelevant, one without an id shop.ErrUndecodable. An amount that can
// not be read is no money, and PaidAt is zero if the service named no time.
func (i invoice) event() (shop.PaymentEvent, error) {
	if !strings.EqualFold(string(i.Status), statusPaid) {
		return shop.PaymentEvent{}, shop.ErrIrrelevant
	}
	id, err := i.externalID()
	if err != nil {
		return shop.PaymentEvent{}, fmt.Errorf("%w: %w", shop.ErrUndecodable, err)
	}
	event := shop.PaymentEvent{
		Provider: shop.CryptoBot, ExternalID: id, OrderRef: orderOf(string(i.Payload)), Invoiced: i.invoiced(),
		PaidAsset: string(i.PaidAsset), PaidAmount: i.PaidAmount.decimal(),
		FeeAsset: string(i.FeeAsset), FeeAmount: i.FeeAmount.decimal(),
		PaidAt: i.PaidAt.instant(), Raw: i.raw,
	}
	if event.FeeAmount == "" {
		event.FeeAmount = i.Fee.decimal()
	}
	if event.PaidAsset == "" && i.Asset != "" {
		event.PaidAsset, event.PaidAmount = string(i.Asset), i.Amount.decimal()
	}
	return event, nil
}

// invoiced returns what was asked for. The currency is the asset's code for an
// invoice in cryptocurrency, which no order of ours has.
func (i invoice) invoiced() shop.Money {
	currency := string(i.Fiat)
	if i.CurrencyType == "crypto" || currency == "" {
		currency = string(i.Asset)
	}
	money, err := shop.ParseMoney(i.Amount.decimal(), currency)
	if err != nil {
		return shop.Money{Currency: currency}
	}
	return money
}
