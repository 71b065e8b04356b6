package shop

// Account is one account of the double-entry ledger.
type Account string

// SalesAccount is what was earned; it grows on the credit side.
const SalesAccount Account = "sales"

// providerAccount is what a payment provider holds for us.
func providerAccount(p Provider) Account { return Account("provider:" + string(p)) }

// Posting is one transaction of the ledger. Its entries sum to zero: the database
// refuses any other.
type Posting struct {
	Kind    string
	OrderID OrderID
	Entries []Entry
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
