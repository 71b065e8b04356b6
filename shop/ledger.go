package shop

import "errors"

// Account is one account of the double-entry ledger.
type Account string

const (
	// SalesAccount is what was earned; it grows on the credit side.
	SalesAccount Account = "sales"
	// SuspenseAccount is money that came and fits no order, less what was given back,
	// until somebody decides.
	SuspenseAccount Account = "suspense"
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
	earned := Money{Minor: -o.Price.Minor, Currency: o.Price.Currency}
	return Posting{Kind: "sale", OrderID: o.ID, Entries: []Entry{
		{Account: providerAccount(e.Provider), Amount: o.Price},
		{Account: SalesAccount, Amount: earned},
	}}
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
	kind, came, owed := SuspenseKind, e.Invoiced, Money{Minor: -e.Invoiced.Minor, Currency: e.Invoiced.Currency}
	if errors.Is(reason, ErrRefunded) {
		kind, came, owed = "refund", owed, came
	}
	return Posting{Kind: kind, Reference: e.Reference(), Entries: []Entry{
		{Account: providerAccount(e.Provider), Amount: came},
		{Account: SuspenseAccount, Amount: owed},
	}}, true
}

// Reference names the payment in the ledger.
func (e PaymentEvent) Reference() string { return string(e.Provider) + ":" + e.ExternalID }
