package cryptopay

import (
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"
)

// feePercent is what the service keeps of a payment.
const feePercent = 3

// maxComment is how many characters a comment may have.
const maxComment = 1024

// Payment is how a person pays. An empty asset means the invoice's own, or the first accepted.
type Payment struct {
	Asset     string
	Comment   string
	Anonymous bool
	Swap      bool // what is paid is swapped, if the invoice asks for that: the service does not promise it
}

// Pay is PayWith, without anything that is said or hidden.
func (s *Server) Pay(invoiceID int64, asset string) (Invoice, error) {
	return s.PayWith(invoiceID, Payment{Asset: asset})
}

// PayWith is a person paying an invoice in the bot. The invoice turns from active
// to paid and the signed webhook is sent in the background, again and again
// until it is answered with 2xx. The errors are ErrNotFound, ErrExpired, ErrPaid,
// ErrAsset, ErrComment and ErrAnonymous.
func (s *Server) PayWith(invoiceID int64, p Payment) (Invoice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	invoice, found := s.invoices[invoiceID]
	if !found {
		return Invoice{}, ErrNotFound
	}
	now := s.cfg.Now()
	invoice.expire(now)
	if p.Asset == "" && invoice.CurrencyType == CurrencyCrypto {
		p.Asset = invoice.Asset
	} else if p.Asset == "" {
		p.Asset = invoice.AcceptedAssets[0]
	}
	if err := invoice.takes(p); err != nil {
		return Invoice{}, err
	}
	s.settle(invoice, p.Asset)
	invoice.Comment, invoice.PaidAnonymously = p.Comment, p.Anonymous
	if p.Swap {
		s.swap(invoice)
	}
	invoice.Status, invoice.PaidAt = StatusPaid, Timestamp{now}
	if err := s.announce(invoice); err != nil {
		return Invoice{}, err
	}
	return invoice.snapshot(), nil
}

// takes says why the invoice cannot be paid so.
func (i *Invoice) takes(p Payment) error {
	switch {
	case i.Status == StatusPaid:
		return ErrPaid
	case i.Status == StatusExpired:
		return ErrExpired
	case !i.accepts(p.Asset):
		return ErrAsset
	case p.Comment != "" && (!i.AllowComments || utf8.RuneCountInString(p.Comment) > maxComment):
		return ErrComment
	case p.Anonymous && !i.AllowAnonymous:
		return ErrAnonymous
	}
	return nil
}

// settle fills what was paid, at which rates, and the fee, which is charged in
// the paid asset.
func (s *Server) settle(invoice *Invoice, asset string) {
	paid := rat(invoice.Amount)
	if invoice.CurrencyType == CurrencyFiat {
		price := s.rates.price(asset, invoice.Fiat)
		paid.Quo(paid, price)
		invoice.PaidFiatRate = decimalText(price, ratePlaces)
	}
	invoice.PaidAsset = asset
	invoice.PaidAmount = amountText(paid)
	fee := new(big.Rat).Mul(rat(invoice.PaidAmount), big.NewRat(feePercent, 100))
	invoice.FeeAsset = asset
	invoice.FeeAmount = amountText(fee)
	inUSD := new(big.Rat).Mul(rat(invoice.FeeAmount), s.rates.assetUSD[asset])
	invoice.FeeInUSD = decimalText(inUSD, places)
	invoice.PaidUSDRate = decimalText(s.rates.assetUSD[asset], ratePlaces)
	if invoice.SwapTo != "" {
		invoice.IsSwapped = new(bool)
	}
}

// swap turns what was paid into what the invoice asks for.
func (s *Server) swap(invoice *Invoice) {
	to := invoice.SwapTo
	if to == "" || to == invoice.PaidAsset || !s.rates.hasAsset(to) {
		return
	}
	swapped := true
	rate := new(big.Rat).Quo(s.rates.assetUSD[invoice.PaidAsset], s.rates.assetUSD[to])
	left := new(big.Rat).Sub(rat(invoice.PaidAmount), rat(invoice.FeeAmount))
	output := new(big.Rat).Mul(left, rate)
	invoice.IsSwapped, invoice.SwappedTo, invoice.SwappedUID = &swapped, to, strconv.FormatInt(invoice.ID, 10)
	invoice.SwappedRate, invoice.SwappedOutput = decimalText(rate, ratePlaces), amountText(output)
	invoice.SwappedUSDRate = decimalText(s.rates.assetUSD[to], ratePlaces)
	invoice.SwappedUSDAmount = decimalText(new(big.Rat).Mul(output, s.rates.assetUSD[to]), places)
}

// amountText writes an amount to eight places, and finer only when those would
// make nothing of it.
func amountText(value *big.Rat) string {
	if text := decimalText(value, places); text != "0" {
		return text
	}
	return decimalText(value, maxPlaces)
}

// Invoice returns the invoice as the API would show it now.
func (s *Server) Invoice(id int64) (Invoice, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	invoice, found := s.invoices[id]
	if !found {
		return Invoice{}, false
	}
	invoice.expire(s.cfg.Now())
	return invoice.snapshot(), true
}

// ByHash returns the invoice whose pay page has the hash.
func (s *Server) ByHash(hash string) (Invoice, bool) {
	for _, invoice := range s.Invoices() {
		if invoice.Hash == hash {
			return invoice, true
		}
	}
	return Invoice{}, false
}

// Invoices returns all invoices that were not deleted, the newest first.
func (s *Server) Invoices() []Invoice {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	result := make([]Invoice, 0, len(s.order))
	for _, id := range slices.Backward(s.order) {
		invoice := s.invoices[id]
		invoice.expire(now)
		result = append(result, invoice.snapshot())
	}
	return result
}
