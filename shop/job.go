package shop

import "time"

// Job is work that must follow a fact and is stored together with it. Jobs set
// absolute state, so that doing one twice does no harm.
type Job interface {
	// Kind names the job in the queue.
	Kind() string
	// Policy says how the job is worked, whoever stores it.
	Policy() Policy
}

// Queue is where jobs wait. Each has its own workers, so that work which hangs on one
// outside host starves no other.
type Queue string

// The queues.
const (
	QueueAccess   Queue = "access"   // nodes, for one user
	QueueEnds     Queue = "ends"     // nodes, for many users who need not wait
	QueueSlow     Queue = "slow"     // nodes that are slow, for one user
	QueueMessages Queue = "messages" // Telegram: what somebody waits for
	QueueNotices  Queue = "notices"  // Telegram: what nobody asked for
	QueuePayments Queue = "payments" // Crypto Pay, and all providers by schedule
	QueueStars    Queue = "stars"    // Telegram, about money
	QueueNodes    Queue = "nodes"    // nodes, as a whole
	QueueHouse    Queue = "house"    // the database alone
)

// Queues returns all queues.
func Queues() []Queue {
	return []Queue{QueueAccess, QueueEnds, QueueSlow, QueueMessages, QueueNotices, QueuePayments, QueueStars, QueueNodes, QueueHouse}
}

// Policy is how a job is worked.
type Policy struct {
	Queue Queue
	Tries int           // that may fail for a fault of ours
	Alone bool          // one that waits or runs is enough: no other like it is stored
	Time  time.Duration // that one try may take
	Idle  time.Duration // without a success, of what the schedule stores, before that is a fault; zero if others see to it
}

const (
	// triesOfOne is how often a job that concerns one customer may fail.
	triesOfOne = 12
	// timeOfOne bounds one try of a job that concerns one customer.
	timeOfOne = 12 * time.Second
	// timeOfMany bounds one try of a job that may concern many customers.
	timeOfMany = 2 * time.Minute
)

// forOne is how a job that concerns one customer is worked.
func forOne(q Queue) Policy { return Policy{Queue: q, Tries: triesOfOne, Time: timeOfOne} }

// tick is how a job is worked that the schedule stores: its next tick is the next try.
func tick(q Queue, idle time.Duration) Policy {
	return Policy{Queue: q, Tries: 1, Alone: true, Time: timeOfMany, Idle: idle}
}

// Jobs returns one job of each kind.
func Jobs() []Job {
	return []Job{ConvergeUser{}, ConvergeUsers{}, ConvergeNode{}, OpenInvoice{}, Notify{}, CheckNode{}, PollInvoices{}, SweepPayments{}, ExpireDue{}, CleanUp{}}
}

// ConvergeUser makes every node agree with one user's subscription.
type ConvergeUser struct {
	UserID UserID `json:"user_id"`
}

// ConvergeUsers does that for many whose subscriptions changed together.
type ConvergeUsers struct {
	UserIDs []UserID `json:"user_ids"`
}

// ConvergeNode makes one node, which was slow, agree with one user's subscription.
type ConvergeNode struct {
	UserID UserID `json:"user_id"`
	Node   string `json:"node"`
}

// OpenInvoice gets an order's invoice from the payment provider.
type OpenInvoice struct {
	OrderID  OrderID  `json:"order_id"`
	Provider Provider `json:"provider,omitempty"`
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

// PollInvoices asks the providers about unpaid invoices, by schedule, or one provider,
// because somebody asks.
type PollInvoices struct {
	Provider Provider `json:"provider,omitempty"`
}

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

// Policy says how the job is worked.
func (ConvergeUser) Policy() Policy { return forOne(QueueAccess) }

// Kind names the job in the queue.
func (ConvergeUsers) Kind() string { return "converge_users" }

// Policy says how the job is worked.
func (ConvergeUsers) Policy() Policy {
	return Policy{Queue: QueueEnds, Tries: triesOfOne, Time: timeOfMany}
}

// Kind names the job in the queue.
func (ConvergeNode) Kind() string { return "converge_node" }

// Policy says how the job is worked.
func (ConvergeNode) Policy() Policy { return forOne(QueueSlow) }

// Kind names the job in the queue.
func (OpenInvoice) Kind() string { return "open_invoice" }

// Policy says how the job is worked.
func (j OpenInvoice) Policy() Policy { return forOne(queueOf(j.Provider)) }

// Kind names the job in the queue.
func (Notify) Kind() string { return "notify" }

// Policy says how the job is worked.
func (j Notify) Policy() Policy {
	if j.Notice.Awaited() {
		return forOne(QueueMessages)
	}
	return forOne(QueueNotices)
}

// Kind names the job in the queue.
func (CheckNode) Kind() string { return "check_node" }

// Policy says how the job is worked.
func (CheckNode) Policy() Policy { return tick(QueueNodes, 0) }

// Kind names the job in the queue.
func (PollInvoices) Kind() string { return "poll_invoices" }

// Policy says how the job is worked.
func (j PollInvoices) Policy() Policy { return tick(queueOf(j.Provider), 3*time.Minute) }

// Kind names the job in the queue.
func (SweepPayments) Kind() string { return "sweep_payments" }

// Policy says how the job is worked.
func (j SweepPayments) Policy() Policy { return tick(queueOf(j.Provider), 30*time.Minute) }

// Kind names the job in the queue.
func (ExpireDue) Kind() string { return "expire_due" }

// Policy says how the job is worked.
func (ExpireDue) Policy() Policy { return tick(QueueHouse, time.Minute) }

// Kind names the job in the queue.
func (CleanUp) Kind() string { return "clean_up" }

// Policy says how the job is worked.
func (CleanUp) Policy() Policy { return tick(QueueHouse, 30*time.Minute) }

// queueOf returns the queue of work at a provider: a provider that hangs keeps no other's
// invoices waiting.
func queueOf(p Provider) Queue {
	if p == Stars {
		return QueueStars
	}
	return QueuePayments
}
