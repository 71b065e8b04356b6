package cryptopay

import (
	"crypto/rand"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of createInvoice.
const (
	maxDescription = 1024
	maxHidden      = 2048
	maxPayload     = 4096
	maxExpiresIn   = 2678400
	maxWholeDigits = 15
)

// createInvoice makes an active invoice. Like the real method it has no
// idempotency key: the same call twice makes two invoices.
func (s *Server) createInvoice(p params) (any, error) {
	invoice := &Invoice{Status: StatusActive}
	steps := []func(*Invoice, params) error{
		s.setCurrency, setAmount, s.setSwap, setTexts, setButton, setFlags,
	}
	for _, step := range steps {
		if err := step(invoice, p); err != nil {
			return nil, err
		}
	}
	expiresIn, err := p.integer("expires_in", 0, 1, maxExpiresIn, "EXPIRES_IN_INVALID")
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	invoice.CreatedAt = Timestamp{now}
	if expiresIn > 0 {
		invoice.ExpirationDate = Timestamp{now.Add(time.Duration(expiresIn) * time.Second)}
	}
	s.setAddresses(invoice)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	invoice.ID = s.lastID
	s.invoices[invoice.ID] = invoice
	s.order = append(s.order, invoice.ID)
	return invoice.snapshot(), nil
}

// setCurrency reads what the price is in. accepted_assets of a crypto invoice
// is refused: the documentation allows it for fiat only, and a caller that
// sends it has made a mistake.
func (s *Server) setCurrency(invoice *Invoice, p params) error {
	switch invoice.CurrencyType = p.text("currency_type"); invoice.CurrencyType {
	case "", CurrencyCrypto:
		invoice.CurrencyType = CurrencyCrypto
		invoice.Asset = p.text("asset")
		if invoice.Asset == "" {
			return badRequest("ASSET_REQUIRED")
		}
		if !s.rates.hasAsset(invoice.Asset) {
			return badRequest("UNSUPPORTED_ASSET")
		}
		if p.has("accepted_assets") {
			return badRequest("ACCEPTED_ASSETS_INVALID")
		}
		return nil
	case CurrencyFiat:
		invoice.Fiat = p.text("fiat")
		if invoice.Fiat == "" {
			return badRequest("FIAT_REQUIRED")
		}
		if !s.rates.hasFiat(invoice.Fiat) {
			return badRequest("UNSUPPORTED_FIAT")
		}
		return s.setAccepted(invoice, p)
	}
	return badRequest("CURRENCY_TYPE_INVALID")
}

// setAccepted reads the comma-separated list. A JSON list instead breaks the
// real service with APP_ERROR, as one client's authors found.
func (s *Server) setAccepted(invoice *Invoice, p params) error {
	if p["accepted_assets"].list {
		return &apiError{Code: 500, Name: "APP_ERROR"}
	}
	if invoice.AcceptedAssets = p.words("accepted_assets"); len(invoice.AcceptedAssets) == 0 {
		invoice.AcceptedAssets = s.rates.assets()
	}
	for _, asset := range invoice.AcceptedAssets {
		if !s.rates.hasAsset(asset) {
			return badRequest("UNSUPPORTED_ASSET")
		}
	}
	return nil
}

// setAmount reads a positive decimal of at most 15 digits before the point and
// 18 after it; fiat amounts have at most two after it.
func setAmount(invoice *Invoice, p params) error {
	if !p.has("amount") {
		return badRequest("AMOUNT_REQUIRED")
	}
	read, finest := parsePlain, maxPlaces
	if p["amount"].number {
		read = parseNumber
	}
	if invoice.CurrencyType == CurrencyFiat {
		finest = 2
	}
	amount, ok := read(p.text("amount"))
	if !ok || amount.Sign() == 0 || amount.Cmp(tenTo(maxWholeDigits)) >= 0 {
		return badRequest("AMOUNT_INVALID")
	}
	if !new(big.Rat).Mul(amount, tenTo(finest)).IsInt() {
		return badRequest("AMOUNT_INVALID")
	}
	invoice.Amount = decimalText(amount, finest)
	return nil
}

func tenTo(power int) *big.Rat {
	exponent := big.NewInt(int64(power))
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), exponent, nil))
}

func (s *Server) setSwap(invoice *Invoice, p params) error {
	invoice.SwapTo = p.text("swap_to")
	if invoice.SwapTo != "" && !slices.Contains(swapTargets(), invoice.SwapTo) {
		return badRequest("UNSUPPORTED_ASSET")
	}
	return nil
}

func setTexts(invoice *Invoice, p params) error {
	invoice.Description = p.text("description")
	invoice.HiddenMessage = p.text("hidden_message")
	invoice.Payload = p.text("payload")
	switch {
	case utf8.RuneCountInString(invoice.Description) > maxDescription:
		return badRequest("DESCRIPTION_TOO_LONG")
	case utf8.RuneCountInString(invoice.HiddenMessage) > maxHidden:
		return badRequest("HIDDEN_MESSAGE_TOO_LONG")
	case len(invoice.Payload) > maxPayload:
		return badRequest("PAYLOAD_TOO_LONG")
	}
	return nil
}

// setButton reads the button shown after payment; an address without a name is
// ignored, as there is no button to put it on.
func setButton(invoice *Invoice, p params) error {
	invoice.PaidBtnName = p.text("paid_btn_name")
	switch invoice.PaidBtnName {
	case "":
		return nil
	case "viewItem", "openChannel", "openBot", "callback":
	default:
		return badRequest("PAID_BTN_NAME_INVALID")
	}
	invoice.PaidBtnURL = p.text("paid_btn_url")
	if invoice.PaidBtnURL == "" {
		return badRequest("PAID_BTN_URL_REQUIRED")
	}
	address, err := url.Parse(invoice.PaidBtnURL)
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return badRequest("PAID_BTN_URL_INVALID")
	}
	return nil
}

func setFlags(invoice *Invoice, p params) error {
	var err error
	if invoice.AllowComments, err = p.boolean("allow_comments", true); err != nil {
		return err
	}
	invoice.AllowAnonymous, err = p.boolean("allow_anonymous", true)
	return err
}

// setAddresses gives the invoice its unguessable hash and the addresses made
// of it.
func (s *Server) setAddresses(invoice *Invoice) {
	invoice.Hash = "IV" + strings.ToLower(rand.Text()[:10])
	if s.cfg.PublicURL != "" {
		page := s.cfg.PublicURL + "/pay/" + invoice.Hash
		invoice.BotInvoiceURL, invoice.MiniAppInvoiceURL, invoice.WebAppInvoiceURL = page, page, page
	} else {
		invoice.BotInvoiceURL = "https://t.me/" + botUsername + "?start=" + invoice.Hash
		invoice.MiniAppInvoiceURL = "https://t.me/" + botUsername + "/app?startapp=invoice-" + invoice.Hash + "&mode=compact"
		invoice.WebAppInvoiceURL = "https://testnet-app.send.tg/invoices/" + invoice.Hash
	}
	invoice.PayURL = invoice.BotInvoiceURL
}
