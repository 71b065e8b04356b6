package shop

// Job is work that must follow a fact and is stored together with it. Jobs set
// absolute state, so that doing one twice does no harm.
type Job interface {
	// Kind names the job in the queue.
	Kind() string
}

// JobKinds returns the kinds of all jobs.
func JobKinds() []string {
	var kinds []string
	for _, j := range []Job{ConvergeUser{}, ConvergeUsers{}, OpenInvoice{}, Notify{}, CheckNode{}, PollInvoices{}, SweepPayments{}, ExpireDue{}, CleanUp{}} {
		kinds = append(kinds, j.Kind())
	}
	return kinds
}

// ConvergeUser makes every node agree with one user's subscription.
type ConvergeUser struct {
	UserID UserID `json:"user_id"`
}

// ConvergeUsers does that for many whose subscriptions changed together.
type ConvergeUsers struct {
	UserIDs []UserID `json:"user_ids"`
}

// OpenInvoice gets an order's invoice from the payment provider.
type OpenInvoice struct {
	OrderID OrderID `json:"order_id"`
}

// Notify tells a customer something.
type Notify struct {
	UserID  UserID  `json:"user_id"`
	Notice  Notice  `json:"notice"`
	OrderID OrderID `json:"order_id,omitzero"`
	Node    string  `json:"node,omitempty"` // that lets the customer in, of NoticeReady
}

// CheckNode compares one node with what it should be.
type CheckNode struct {
	Node string `json:"node"`
}

// PollInvoices asks the providers about unpaid invoices.
type PollInvoices struct{}

// SweepPayments goes through the providers' lists of payments, by schedule, or through
// one provider's, because somebody asks.
type SweepPayments struct {
	Provider Provider `json:"provider,omitempty"`
}

// ExpireDue ends what has run out: subscriptions and unpaid orders.
type ExpireDue struct{}

// CleanUp removes what has been kept long enough.
type CleanUp struct{}

// Kind names the job in the queue.
func (ConvergeUser) Kind() string { return "converge_user" }

// Kind names the job in the queue.
func (ConvergeUsers) Kind() string { return "converge_users" }

// Kind names the job in the queue.
func (OpenInvoice) Kind() string { return "open_invoice" }

// Kind names the job in the queue.
func (Notify) Kind() string { return "notify" }

// Kind names the job in the queue.
func (CheckNode) Kind() string { return "check_node" }

// Kind names the job in the queue.
func (PollInvoices) Kind() string { return "poll_invoices" }

// Kind names the job in the queue.
func (SweepPayments) Kind() string { return "sweep_payments" }

// Kind names the job in the queue.
func (ExpireDue) Kind() string { return "expire_due" }

// Kind names the job in the queue.
func (CleanUp) Kind() string { return "clean_up" }
