package cryptopay

import (
	"math/big"
	"slices"
)

// feePercent is what the service keeps of a payment.
const feePercent = 3

// Pay is a person paying an invoice in the bot. The invoice turns from active
// to paid and the signed webhook is sent in the background, again and again
// until it is answered with 2xx. An empty asset means the invoice's own, or
// the first accepted. The errors are ErrNotFound, ErrExpired, ErrPaid and
// ErrAsset.
func (s *Server) Pay(invoiceID int64, asset string) (Invoice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	invoice, found := s.invoices[invoiceID]
	if !found {
		return Invoice{}, ErrNotFound
	}
	now := s.cfg.Now()
	invoice.expire(now)
	switch invoice.Status {
	case StatusPaid:
		return Invoice{}, ErrPaid
	case StatusExpired:
		return Invoice{}, ErrExpired
	}
	if asset == "" && invoice.CurrencyType == CurrencyCrypto {
		asset = invoice.Asset
	} else if asset == "" {
		asset = invoice.AcceptedAssets[0]
	}
	if !invoice.accepts(asset) {
		return Invoice{}, ErrAsset
	}
	s.settle(invoice, asset)
	invoice.Status, invoice.PaidAt = StatusPaid, Timestamp{now}
	if err := s.announce(invoice); err != nil {
		return Invoice{}, err
	}
	return invoice.snapshot(), nil
}

// settle fills what was paid, at which rates, and the fee, which is charged in
// the paid asset. No swap is ever made: the real one is not guaranteed either.
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
