package shop

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Eraser is what the shop asks of the storage to forget a customer.
type Eraser interface {
	// OpenMatters returns what keeps a customer from being forgotten.
	OpenMatters(ctx context.Context, id UserID) (OpenMatters, error)
	// Forget removes all that tells who the customer is, in one transaction. It returns
	// ErrMattersOpen, and changes nothing, if something is open, or if they are let in.
	Forget(ctx context.Context, id UserID) (Forgotten, error)
}

// OpenMatters counts what is not done yet between a customer and the shop.
type OpenMatters struct {
	Updates     int // that wait to be handled
	Jobs        int // that run
	Orders      int // that can still be paid
	Undelivered int // orders that are paid and not delivered
	Unreviewed  int // flagged payments, dead updates and dead letters about them
}

// None says that nothing is open.
func (m OpenMatters) None() bool { return m == OpenMatters{} }

// String says what is open and what ends it.
func (m OpenMatters) String() string {
	var lines []string
	for _, matter := range []struct {
		n    int
		what string
	}{
		{m.Updates, "of their updates wait to be handled: try again in a moment"},
		{m.Jobs, "jobs for them run: try again in a moment"},
		{m.Orders, "of their orders can still be paid: wait for half an hour, or have them cancel and wait"},
		{m.Undelivered, "of their orders are paid and not delivered: deliver them, see payments_undelivered"},
		{m.Unreviewed, "flagged payments, dead updates or dead letters about them are not reviewed: see payments_flagged and inbox_dead"},
	} {
		if matter.n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s", matter.n, matter.what))
		}
	}
	return strings.Join(lines, "\n")
}

// Forgotten says what was done to forget a customer.
type Forgotten struct {
	Until   time.Time // until when they had access; zero if they had none
	Orders  int       // that stay in the books
	Name    UserID    // under which those stay: a negative number that is nobody's; zero if there are none
	Removed int       // rows that went: the customer, their subscription and dialog, unpaid orders, jobs
	Emptied int       // rows that stay without what told of them: updates, letters, payments
}

// Forget removes a customer on their wish. Their access ends on every node first; what
// the books must keep stays under a number that is nobody's. It may be repeated: what is
// not there any more is no error. While a matter is open it returns ErrMattersOpen and
// changes nothing; while a node does not answer, it has ended the access and no more.
func (s *Shop) Forget(ctx context.Context, id UserID) (Forgotten, error) {
	open, err := s.store.OpenMatters(ctx, id)
	if err != nil {
		return Forgotten{}, err
	}
	if !open.None() {
		return Forgotten{}, fmt.Errorf("%w:\n%s", ErrMattersOpen, open)
	}
	sub, err := s.store.Subscription(ctx, id)
	if err != nil {
		return Forgotten{}, err
	}
	if err := s.shutOut(ctx, sub); err != nil {
		return Forgotten{}, err
	}
	forgotten, err := s.store.Forget(ctx, id)
	if sub.Granted() {
		forgotten.Until = sub.ExpiresAt
	}
	return forgotten, err
}

// shutOut ends an access for good: in the storage, and then on every node.
func (s *Shop) shutOut(ctx context.Context, sub Subscription) (err error) {
	if sub.Access.ID == "" {
		return nil
	}
	if sub.Granted() {
		sub, err = do(ctx, s.store, "shut out", func(ctx context.Context, tx Tx) (Subscription, error) {
			locked, err := tx.LockSubscription(ctx, sub.UserID)
			if err != nil {
				return sub, err
			}
			return locked.Expire(), tx.SaveSubscriptions(ctx, locked.Expire())
		})
		if err != nil {
			return err
		}
	}
	t := s.tell(ctx, sub)
	defer t.end()
	t.wait(0)
	if err := t.failure(); err != nil {
		return fmt.Errorf("the access has ended and a node does not know yet: %w", err)
	}
	return nil
}
