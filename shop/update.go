package shop

import "time"

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
