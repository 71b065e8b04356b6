package shop

import (
	"errors"
	"strings"
)

// Account is one account of the double-entry ledger.
type Account string

const (
	// SalesAccount is what was earned; it grows on the credit side.
	SalesAccount Account = "sales"
	// SuspenseAccount is money that came and fits no order, less what was given back,
	// until somebody decides.
	SuspenseAccount Account = "suspense"
	// ExchangeAccount is where one currency becomes another: who is asked for roubles may pay
	// in coins. It holds what was paid as a debt, and what was asked for.
	ExchangeAccount Account = "exchange"
	// FeesAccount is what providers kept for themselves.
	FeesAccount Account = "fees"
)

// providerAccount is what a payment provider holds for us.
func providerAccount(p Provider) Account { return Account("provider:" + string(p)) }

// Posting is one transaction of the ledger. Its entries sum to zero: the database
// refuses any other.
type Posting struct {
	Kind      string
	OrderID   OrderID // zero if it is of none
	Reference string  // of one of no order: the payment
	Entries   []Entry
}

// Entry moves an amount on one account: positive is debit, negative is credit.
type Entry struct {
	Account Account
	Amount  Money
}

// saleOf books a sale paid through a provider.
func saleOf(o Order, e PaymentEvent) Posting {
	return Posting{Kind: "sale", OrderID: o.ID, Entries: e.entries(o.Quote.Total, o.Purpose.owed())}
}

// entries books that the event brought the price, which is owed to the account: the provider
// holds what was paid, in the asset in which it was, less its fee.
func (e PaymentEvent) entries(price Money, owed Account) []Entry {
	holder := providerAccount(e.Provider)
	entries := []Entry{{holder, price}, {owed, price.negative()}}
	paid, known := coins(e.PaidAmount, e.PaidAsset)
	if !known || paid.Currency == price.Currency {
		paid = price
	} else {
		entries = []Entry{{holder, paid}, {ExchangeAccount, paid.negative()}, {ExchangeAccount, price}, {owed, price.negative()}}
	}
	fee, known := coins(e.FeeAmount, e.FeeAsset)
	if !known {
		return entries
	}
	entries = append(entries, Entry{FeesAccount, fee})
	if fee.Currency != paid.Currency {
		return append(entries, Entry{holder, fee.negative()})
	}
	if entries[0].Amount.Minor -= fee.Minor; entries[0].Amount.Minor == 0 {
		return entries[1:]
	}
	return entries
}

// coins reads what a provider says of an amount, to the last digit that is counted; known is
// false if that is nothing, or more than can be counted, or of no asset: it is in the event alone.
func coins(decimal, asset string) (m Money, known bool) {
	if !isCode(asset) {
		return Money{}, false
	}
	if whole, fraction, _ := strings.Cut(decimal, "."); len(fraction) > decimals(asset) {
		decimal = whole + "." + fraction[:decimals(asset)]
	}
	m, err := ParseMoney(decimal, asset)
	return m, err == nil && m.Minor > 0
}

// isCode says whether the text may be the code of a currency.
func isCode(text string) bool {
	return len(text) >= 2 && len(text) <= 10 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// SuspenseKind is the kind of the posting of a payment that fits no order.
const SuspenseKind = "suspense"

// Suspend books a payment that is flagged for the reason, so that the books show what the
// provider holds; ok is false if it moves no money that is known. What is to be settled once
// a fault of ours is gone is booked then.
func (e PaymentEvent) Suspend(reason error) (p Posting, ok bool) {
	if e.Invoiced.Minor <= 0 || e.Invoiced.Currency == "" || errors.Is(reason, ErrUnsettled) {
		return Posting{}, false
	}
	if errors.Is(reason, ErrRefunded) {
		return Posting{Kind: "refund", Reference: e.Reference(), Entries: []Entry{
			{providerAccount(e.Provider), e.Invoiced.negative()}, {SuspenseAccount, e.Invoiced},
		}}, true
	}
	return Posting{Kind: SuspenseKind, Reference: e.Reference(), Entries: e.entries(e.Invoiced, SuspenseAccount)}, true
}

// Reference names the payment in the ledger.
func (e PaymentEvent) Reference() string { return string(e.Provider) + ":" + e.ExternalID }
