package cryptobot

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sallyport/shop"
)

// SignatureHeader is the header in which the service signs a webhook.
const SignatureHeader = "Crypto-Pay-Api-Signature"

// paidUpdate is the only type of update there is.
const paidUpdate = "invoice_paid"

// Signed says whether a header bears something of the form of a signature: without,
// Verify accepts no body.
func Signed(h http.Header) bool {
	given, err := hex.DecodeString(h.Get(SignatureHeader))
	return err == nil && len(given) == sha256.Size
}

// Verify returns nil if the service, or whoever knows the token, signed exactly
// these bytes, and shop.ErrForged otherwise. Call it before Parse, on the body
// as it was received. It takes the same time wherever a signature is wrong.
func Verify(token string, body []byte, signatureHeader string) error {
	given, err := hex.DecodeString(signatureHeader)
	if err != nil || token == "" {
		return fmt.Errorf("crypto pay webhook: %w", shop.ErrForged)
	}
	key := sha256.Sum256([]byte(token))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(body)
	if !hmac.Equal(given, mac.Sum(nil)) {
		return fmt.Errorf("crypto pay webhook: %w", shop.ErrForged)
	}
	return nil
}

// Parse reads the body of a verified webhook. An update of another type or an
// invoice that is known not to be paid is shop.ErrIrrelevant, anything that is no update
// or tells of money in words that are not known shop.ErrUndecodable. It does not look at the age of the update: deliveries
// are retried for three days. The same body always gives the same event, whose
// Raw is the whole body.
func Parse(body []byte) (shop.PaymentEvent, error) {
	var update struct {
		Type        text            `json:"update_type"`
		RequestDate text            `json:"request_date"`
		Payload     json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(body, &update); err != nil || update.Type == "" {
		return shop.PaymentEvent{}, fmt.Errorf("crypto pay webhook: %w", shop.ErrUndecodable)
	}
	if !strings.EqualFold(string(update.Type), paidUpdate) {
		return shop.PaymentEvent{}, fmt.Errorf("crypto pay webhook: %w", shop.ErrIrrelevant)
	}
	var paid invoice
	if err := json.Unmarshal(update.Payload, &paid); err != nil {
		return shop.PaymentEvent{}, fmt.Errorf("crypto pay webhook: %w", shop.ErrUndecodable)
	}
	event, err := paid.event()
	if errors.Is(err, shop.ErrIrrelevant) && paid.Status != statusActive && paid.Status != statusExpired {
		err = fmt.Errorf("%w: the status of a paid invoice is %q", shop.ErrUndecodable, paid.Status)
	}
	if err != nil {
		return shop.PaymentEvent{}, fmt.Errorf("crypto pay webhook: %w", err)
	}
	if event.PaidAt.IsZero() {
		event.PaidAt = update.RequestDate.instant()
	}
	event.Raw = bytes.Clone(body)
	return event, nil
}
