package sandbox

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"sallyport/sandbox/cryptopay"
)

// money are the routes by which invoices are paid.
func (c *control) money(r chi.Router) {
	r.Get("/invoices", does(func(*http.Request) (any, error) {
		return append([]cryptopay.Invoice{}, c.world.CryptoPay.Invoices()...), nil
	}))
	r.Get("/invoices/{id}", does(c.invoice))
	r.Get("/invoices/by-hash/{hash}", does(func(r *http.Request) (any, error) {
		invoice, ok := c.world.CryptoPay.ByHash(chi.URLParam(r, "hash"))
		if !ok {
			return nil, cryptopay.ErrNotFound
		}
		return invoice, nil
	}))
	r.Post("/invoices/{id}/pay", does(c.pay))
	r.Post("/invoices/{id}/redeliver", does(c.redeliver))
	r.Post("/webhooks/cryptopay", does(c.hold))
}

func (c *control) invoice(r *http.Request) (any, error) {
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	invoice, ok := c.world.CryptoPay.Invoice(id)
	if !ok {
		return nil, cryptopay.ErrNotFound
	}
	return invoice, nil
}

func (c *control) pay(r *http.Request) (any, error) {
	var in struct {
		Asset     string `json:"asset"`
		Comment   string `json:"comment"`
		Anonymous bool   `json:"anonymous"`
		Swap      bool   `json:"swap"`
	}
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return c.world.CryptoPay.PayWith(id, cryptopay.Payment{Asset: in.Asset, Comment: in.Comment, Anonymous: in.Anonymous, Swap: in.Swap})
}

func (c *control) redeliver(r *http.Request) (any, error) {
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	return done{true}, c.world.CryptoPay.Redeliver(id)
}

// hold keeps Crypto Pay's callbacks back, or lets them go.
func (c *control) hold(r *http.Request) (any, error) {
	var in struct {
		Hold *bool `json:"hold"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Hold == nil {
		return nil, invalid("hold: want true or false")
	}
	c.world.CryptoPay.HoldWebhooks(*in.Hold)
	return in, nil
}
