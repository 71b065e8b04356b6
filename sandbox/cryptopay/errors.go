package cryptopay

import "errors"

// Errors of Pay and Redeliver: what a person in the chat can run into.
var (
	// ErrNotFound says that no such invoice exists, or that it was deleted.
	ErrNotFound = errors.New("cryptopay sandbox: invoice not found")
	// ErrExpired says that the time to pay the invoice has passed.
	ErrExpired = errors.New("cryptopay sandbox: invoice expired")
	// ErrPaid says that the invoice was paid before.
	ErrPaid = errors.New("cryptopay sandbox: invoice already paid")
	// ErrAsset says that the invoice does not accept the asset.
	ErrAsset = errors.New("cryptopay sandbox: asset not accepted")
	// ErrComment says that the invoice takes no comment, or none that long, ErrAnonymous that it wants to know who pays.
	ErrComment   = errors.New("cryptopay sandbox: no such comment")
	ErrAnonymous = errors.New("cryptopay sandbox: not anonymously")
	// ErrUnpaid says that there is no webhook yet because nobody has paid.
	ErrUnpaid = errors.New("cryptopay sandbox: invoice not paid")
	// ErrNoWebhook says that the app has no webhook, or that it was switched off.
	ErrNoWebhook = errors.New("cryptopay sandbox: webhook is off")
	// ErrRefused says that the webhook was sent and not answered with 2xx.
	ErrRefused = errors.New("cryptopay sandbox: webhook refused")
)

// apiError is an answer with ok=false; its code is the HTTP status too.
type apiError struct {
	Code int    `json:"code"`
	Name string `json:"name"`
}

// Error names the answer.
func (e *apiError) Error() string { return e.Name }

func badRequest(name string) *apiError { return &apiError{Code: 400, Name: name} }
