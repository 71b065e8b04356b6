package cryptopay

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// Bounds of getInvoices.
const (
	defaultCount = 100
	maxCount     = 1000
)

// list is the shape of every list method.
type list[T any] struct {
	Items []T `json:"items"`
}

func (s *Server) getMe(params) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := map[string]any{
		"app_id": s.appID, "name": s.cfg.AppName, "payment_processing_bot_username": botUsername,
	}
	if s.hook.url != "" {
		answer["webhook_endpoint"] = s.hook.url
	}
	return answer, nil
}

// deleteInvoice removes an invoice that was not paid. What the real service
// does with a paid one is not published; here it is refused, so that a caller
// which relies on either learns of it.
func (s *Server) deleteInvoice(p params) (any, error) {
	if !p.has("invoice_id") {
		return nil, badRequest("INVOICE_ID_REQUIRED")
	}
	id, err := p.integer("invoice_id", 0, 1, math.MaxInt64, "INVOICE_ID_INVALID")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	invoice, found := s.invoices[id]
	if !found {
		return nil, badRequest("INVOICE_NOT_FOUND")
	}
	if invoice.Status == StatusPaid {
		return nil, badRequest("INVOICE_ALREADY_PAID")
	}
	delete(s.invoices, id)
	s.order = slices.DeleteFunc(s.order, func(other int64) bool { return other == id })
	return true, nil
}

// filter is what getInvoices selects by; an empty field selects all.
type filter struct {
	asset, fiat, status string
	ids                 []int64
	offset, count       int64
}

func (s *Server) readFilter(p params) (filter, error) {
	f := filter{asset: p.text("asset"), fiat: p.text("fiat"), status: p.text("status")}
	switch {
	case f.asset != "" && !s.rates.hasAsset(f.asset):
		return f, badRequest("UNSUPPORTED_ASSET")
	case f.fiat != "" && !s.rates.hasFiat(f.fiat):
		return f, badRequest("UNSUPPORTED_FIAT")
	case f.status != "" && f.status != StatusActive && f.status != StatusPaid:
		return f, badRequest("STATUS_INVALID")
	}
	for _, word := range p.words("invoice_ids") {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return f, badRequest("INVOICE_IDS_INVALID")
		}
		f.ids = append(f.ids, id)
	}
	var err error
	if f.offset, err = p.integer("offset", 0, 0, math.MaxInt64, "OFFSET_INVALID"); err != nil {
		return f, err
	}
	f.count, err = p.integer("count", defaultCount, 1, maxCount, "COUNT_INVALID")
	return f, err
}

func (f filter) takes(invoice Invoice) bool {
	return (f.asset == "" || f.asset == invoice.Asset) &&
		(f.fiat == "" || f.fiat == invoice.Fiat) &&
		(f.status == "" || f.status == invoice.Status) &&
		(f.ids == nil || slices.Contains(f.ids, invoice.ID))
}

func (s *Server) getInvoices(p params) (any, error) {
	f, err := s.readFilter(p)
	if err != nil {
		return nil, err
	}
	items := slices.DeleteFunc(s.Invoices(), func(i Invoice) bool { return !f.takes(i) })
	items = items[min(f.offset, int64(len(items))):]
	items = items[:min(f.count, int64(len(items)))]
	return list[Invoice]{Items: items}, nil
}

func (s *Server) getExchangeRates(params) (any, error) { return s.rates.exchangeRates(), nil }

func (s *Server) getCurrencies(params) (any, error) { return s.rates.currencies(), nil }

// balance is one row of getBalance.
type balance struct {
	CurrencyCode string `json:"currency_code"`
	Available    string `json:"available"`
	Onhold       string `json:"onhold"`
}

// getBalance sums what was paid less the fees.
func (s *Server) getBalance(params) (any, error) {
	sums := map[string]*big.Rat{}
	for _, invoice := range s.Invoices() {
		if invoice.Status != StatusPaid {
			continue
		}
		sum := sums[invoice.PaidAsset]
		if sum == nil {
			sum = new(big.Rat)
			sums[invoice.PaidAsset] = sum
		}
		sum.Add(sum, rat(invoice.PaidAmount)).Sub(sum, rat(invoice.FeeAmount))
	}
	rows := []balance{}
	for _, asset := range s.rates.assets() {
		row := balance{CurrencyCode: asset, Available: "0", Onhold: "0"}
		if sum := sums[asset]; sum != nil {
			row.Available = decimalText(sum, maxPlaces)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// stats is the answer of getStats. The sandbox knows one payer only, so
// unique_users_count is 0 or 1; conversion is in per cent.
type stats struct {
	Volume              json.Number `json:"volume"`
	Conversion          json.Number `json:"conversion"`
	UniqueUsersCount    int         `json:"unique_users_count"`
	CreatedInvoiceCount int         `json:"created_invoice_count"`
	PaidInvoiceCount    int         `json:"paid_invoice_count"`
	StartAt             Timestamp   `json:"start_at"`
	EndAt               Timestamp   `json:"end_at"`
}

// getStats counts the invoices created in a time span, and those of them that
// were paid.
func (s *Server) getStats(p params) (any, error) {
	now := s.cfg.Now()
	start, err := p.instant("start_at", now.Add(-24*time.Hour))
	if err != nil {
		return nil, err
	}
	end, err := p.instant("end_at", now)
	if err != nil {
		return nil, err
	}
	answer := stats{StartAt: Timestamp{start}, EndAt: Timestamp{end}, Conversion: "0"}
	volume := new(big.Rat)
	for _, invoice := range s.Invoices() {
		if invoice.CreatedAt.Before(start) || invoice.CreatedAt.After(end) {
			continue
		}
		answer.CreatedInvoiceCount++
		if invoice.Status == StatusPaid {
			answer.PaidInvoiceCount++
			volume.Add(volume, new(big.Rat).Mul(rat(invoice.PaidAmount), rat(invoice.PaidUSDRate)))
		}
	}
	answer.UniqueUsersCount = min(answer.PaidInvoiceCount, 1)
	answer.Volume = json.Number(decimalText(volume, 2))
	if answer.CreatedInvoiceCount > 0 {
		share := big.NewRat(int64(answer.PaidInvoiceCount)*100, int64(answer.CreatedInvoiceCount))
		answer.Conversion = json.Number(decimalText(share, 2))
	}
	return answer, nil
}

// noItems answers getTransfers and getChecks: none can have been made.
func noItems(params) (any, error) { return list[struct{}]{Items: []struct{}{}}, nil }

// disabled answers the methods that spend money: they are off for a new app.
func disabled(params) (any, error) {
	return nil, &apiError{Code: 403, Name: "METHOD_DISABLED"}
}

// rat reads a decimal that this package wrote.
func rat(text string) *big.Rat {
	value, ok := parsePlain(text)
	if !ok {
		return new(big.Rat)
	}
	return value
}
