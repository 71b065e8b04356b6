package shop

import (
	"context"
	"time"
)

// Retention says how long is kept what the shop itself does not need any more.
type Retention struct {
	Handled    time.Duration // updates, without their bodies: a redelivery is known for what it is
	Unpaid     time.Duration // orders that nobody paid, and their invoices
	Reviewed   time.Duration // dead updates and dead letters that an operator has looked at, since then
	Unreviewed time.Duration // those that nobody has looked at
	Evidence   time.Duration // a provider's own bytes of a payment; of a flagged one since it was reviewed
	Silent     time.Duration // customers who never bought, since they were last shown something
}

const (
	keepHandled    = 72 * time.Hour
	keepUnpaid     = 30 * 24 * time.Hour
	keepReviewed   = 7 * 24 * time.Hour
	keepUnreviewed = 90 * 24 * time.Hour
	keepEvidence   = 90 * 24 * time.Hour
	keepSilent     = 90 * 24 * time.Hour
)

// Kept returns how long the shop keeps what it does not need any more.
func Kept() Retention {
	return Retention{
		Handled: keepHandled, Unpaid: keepUnpaid, Reviewed: keepReviewed, Unreviewed: keepUnreviewed,
		Evidence: keepEvidence, Silent: keepSilent,
	}
}

// CleanUp removes what has been kept long enough, by the storage's clock. While this
// process's own does not agree, one of them has leapt, and nothing goes.
func (s *Shop) CleanUp(ctx context.Context) error {
	if _, err := s.clock(ctx); err != nil {
		return err
	}
	return s.store.CleanUp(ctx, Kept())
}
