package cryptopay

import (
	"slices"
	"time"
)

// Statuses of an invoice. There is no partial payment: a person pays the
// whole amount inside the bot or nothing.
const (
	StatusActive  = "active"
	StatusPaid    = "paid"
	StatusExpired = "expired"
)

// Values of Invoice.CurrencyType.
const (
	CurrencyCrypto = "crypto"
	CurrencyFiat   = "fiat"
)

// stampLayout is ISO 8601 in UTC with milliseconds, as the real service writes.
const stampLayout = "2006-01-02T15:04:05.000Z"

// Timestamp is an instant that is written as ISO 8601 in UTC with milliseconds.
type Timestamp struct{ time.Time }

// MarshalJSON writes the instant the way the real service does.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(stampLayout) + `"`), nil
}

// Invoice is an invoice as the API shows it. Amounts are decimal strings; a
// field that does not apply is empty here and absent on the wire.
type Invoice struct {
	ID                int64     `json:"invoice_id"`
	Hash              string    `json:"hash"`
	CurrencyType      string    `json:"currency_type"`
	Asset             string    `json:"asset,omitempty"`
	Fiat              string    `json:"fiat,omitempty"`
	Amount            string    `json:"amount"`
	PaidAsset         string    `json:"paid_asset,omitempty"`
	PaidAmount        string    `json:"paid_amount,omitempty"`
	PaidFiatRate      string    `json:"paid_fiat_rate,omitempty"`
	AcceptedAssets    []string  `json:"accepted_assets,omitempty"`
	FeeAsset          string    `json:"fee_asset,omitempty"`
	FeeAmount         string    `json:"fee_amount,omitempty"`
	Fee               string    `json:"fee,omitempty"`
	FeeInUSD          string    `json:"fee_in_usd,omitempty"`
	PayURL            string    `json:"pay_url"`
	BotInvoiceURL     string    `json:"bot_invoice_url"`
	MiniAppInvoiceURL string    `json:"mini_app_invoice_url"`
	WebAppInvoiceURL  string    `json:"web_app_invoice_url"`
	Description       string    `json:"description,omitempty"`
	Status            string    `json:"status"`
	SwapTo            string    `json:"swap_to,omitempty"`
	IsSwapped         *bool     `json:"is_swapped,omitempty"`
	SwappedUID        string    `json:"swapped_uid,omitempty"`
	SwappedTo         string    `json:"swapped_to,omitempty"`
	SwappedRate       string    `json:"swapped_rate,omitempty"`
	SwappedOutput     string    `json:"swapped_output,omitempty"`
	SwappedUSDAmount  string    `json:"swapped_usd_amount,omitempty"`
	SwappedUSDRate    string    `json:"swapped_usd_rate,omitempty"`
	CreatedAt         Timestamp `json:"created_at"`
	AllowComments     bool      `json:"allow_comments"`
	AllowAnonymous    bool      `json:"allow_anonymous"`
	PaidUSDRate       string    `json:"paid_usd_rate,omitempty"`
	USDRate           string    `json:"usd_rate,omitempty"`
	ExpirationDate    Timestamp `json:"expiration_date,omitzero"`
	PaidAt            Timestamp `json:"paid_at,omitzero"`
	PaidAnonymously   bool      `json:"paid_anonymously"`
	Comment           string    `json:"comment,omitempty"`
	HiddenMessage     string    `json:"hidden_message,omitempty"`
	Payload           string    `json:"payload,omitempty"`
	PaidBtnName       string    `json:"paid_btn_name,omitempty"`
	PaidBtnURL        string    `json:"paid_btn_url,omitempty"`
}

// snapshot returns a copy that shares nothing with the stored invoice.
func (i *Invoice) snapshot() Invoice {
	result := *i
	result.AcceptedAssets = slices.Clone(i.AcceptedAssets)
	return result
}

// expire turns an active invoice whose time has passed into an expired one.
func (i *Invoice) expire(now time.Time) {
	if i.Status == StatusActive && !i.ExpirationDate.IsZero() && !now.Before(i.ExpirationDate.Time) {
		i.Status = StatusExpired
	}
}

// accepts tells whether the invoice can be paid with the asset.
func (i *Invoice) accepts(asset string) bool {
	if i.CurrencyType == CurrencyCrypto {
		return asset == i.Asset
	}
	return slices.Contains(i.AcceptedAssets, asset)
}
