package shop

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Notice is what a customer is told without having asked.
type Notice string

// The notices.
const (
	NoticeInvoice Notice = "invoice" // the invoice they asked for is there
	NoticeReady   Notice = "ready"   // what they paid for works now
	NoticeDelayed Notice = "delayed" // paid; access will follow
	NoticeExpired Notice = "expired" // access has ended
)

// Awaited says whether the customer waits for it, so that it goes before what nobody
// asked for.
func (n Notice) Awaited() bool { return n == NoticeInvoice || n == NoticeReady }

// Message is a notice with all that its text needs.
type Message struct {
	Notice  Notice
	Profile Profile
	Order   Order // zero if the notice is about none
	// OrderPlan is what the order buys; it is zero if that is sold no more.
	OrderPlan Plan
	Invoice   Invoice // of the order; zero if it has none
}

// Messenger carries messages to customers. It returns KindForbidden if the
// customer has blocked us, KindLimited or KindUnavailable if it must be tried again.
type Messenger interface {
	Tell(ctx context.Context, m Message) error
	// Describe says in a few plain words what an order buys.
	Describe(l Language, p Plan, period time.Duration) string
}

// Notify tells the customer what still holds. A customer who has blocked the bot is
// noted as such, and told nothing until they come back.
func (s *Shop) Notify(ctx context.Context, n Notify) error {
	m, err := s.message(ctx, n)
	if err != nil || !n.Notice.holds(m.Profile.Subscription) {
		return err
	}
	if !m.Profile.User.Reachable {
		return s.keepForReturn(ctx, n)
	}
	err = s.messenger.Tell(ctx, m)
	if err != nil && KindOf(err) == KindForbidden {
		return errors.Join(s.store.SetReachable(ctx, n.UserID, false), s.keepForReturn(ctx, n))
	}
	return err
}

// keepForReturn sees that a key which could not be sent is sent when the customer
// comes back; their profile shows all else.
func (s *Shop) keepForReturn(ctx context.Context, n Notify) error {
	if n.Notice != NoticeReady {
		return nil
	}
	return s.store.Undeliver(ctx, n.OrderID)
}

// holds says whether what the notice says is still true: it may have waited long.
func (n Notice) holds(sub Subscription) bool {
	switch n {
	case NoticeDelayed:
		return sub.Status == SubscriptionWaiting
	case NoticeExpired:
		return sub.Status == SubscriptionExpired
	default:
		return true
	}
}

func (s *Shop) message(ctx context.Context, n Notify) (Message, error) {
	profile, err := s.Profile(ctx, n.UserID)
	if err != nil {
		return Message{}, err
	}
	slices.SortStableFunc(profile.Links, func(a, b Link) int {
		return cmp.Compare(rank(a.Node == n.Node), rank(b.Node == n.Node))
	})
	m := Message{Notice: n.Notice, Profile: profile}
	if n.OrderID == (OrderID{}) {
		return m, nil
	}
	if m.Order, err = s.store.Order(ctx, n.OrderID); err != nil {
		return Message{}, err
	}
	m.OrderPlan = s.PlanOf(m.Order.Plan)
	m.Invoice, err = s.store.Invoice(ctx, n.OrderID)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return m, err
}

// rank sorts what is first before what is not.
func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}
