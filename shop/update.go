package shop

import (
	"slices"
	"time"
)

// The kinds of updates that are told apart; what they are called in the inbox.
const (
	// KindPayment is a message about money, KindPress a pressed button.
	KindPayment = "payment"
	KindPress   = "callback_query"
)

// UrgentKinds are those that go before all others: money, and the presses, which
// Telegram takes an answer to for a short time only, and of which a checkout is made.
func UrgentKinds() []string { return []string{KindPayment, KindPress} }

// Update is something a messenger told us, kept until it is handled. Updates of
// one lane are handled in the order of their arrival; a lane is one user.
type Update struct {
	ID         int64 // the messenger's own: a redelivery bears the same
	Lane       int64
	Kind       string
	Body       []byte
	ReceivedAt time.Time
	Behind     int           // how many of its lane wait behind it, counted up to a hundred
	Screen     string        // what the live screen of its lane's customer shows
	Trying     time.Duration // for how long it has failed, without the time in which nobody tried
	Attempt    int           // tries that failed for a fault of ours
}

// Turn is the time in which one worker works a lane. What it does to the lane names it: of
// what is done late, after the next turn has begun, nothing comes.
type Turn struct {
	Lane   int64
	Holder string // names the process; no other may bear it
	Number int64  // of the process's turns, which it counts upwards
}

// Urgent says whether the update goes before others.
func (u Update) Urgent() bool { return slices.Contains(UrgentKinds(), u.Kind) }
