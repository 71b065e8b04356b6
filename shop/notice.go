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
	NoticeClosed  Notice = "closed"  // the time to pay an order is over
	NoticeMissed  Notice = "missed"  // where they stand, after notices that could not be sent
)

// Awaited says whether the customer waits for it, so that it goes before what nobody
// asked for.
func (n Notice) Awaited() bool {
	return n == NoticeInvoice || n == NoticeReady || n == NoticeMissed
}

// Message is a notice with all that its text needs.
type Message struct {
	Notice  Notice
	Profile Profile
	Order   Order // zero if the notice is about none
	// OrderPlan is what the order buys; it is zero if that is sold no more.
	OrderPlan Plan
	Invoice   Invoice // of the order; zero if it has none
	Trouble   Trouble // of the order
}

// Messenger carries messages to customers. It returns KindForbidden if the
// customer has blocked us, KindLimited or KindUnavailable if it must be tried again.
type Messenger interface {
	Tell(ctx context.Context, m Message) error
	// Describe says in a few plain words what an order buys.
	Describe(l Language, p Plan, period time.Duration) string
}

// Notify tells the customer what still holds. A customer who has blocked the bot is
// noted as such, and told nothing until they come back: then, where they stand.
func (s *Shop) Notify(ctx context.Context, n Notify) error {
	m, err := s.message(ctx, n)
	if err != nil || !m.holds() {
		return err
	}
	if !m.Profile.User.Reachable {
		kept, err := s.keepForReturn(ctx, n)
		if err != nil || kept {
			return err
		}
	}
	err = s.messenger.Tell(ctx, m)
	switch {
	case err == nil && n.Notice == NoticeMissed:
		return s.store.Told(ctx, n.UserID)
	case err == nil || KindOf(err) != KindForbidden:
		return err
	}
	if err := s.store.SetReachable(ctx, n.UserID, false); err != nil {
		return err
	}
	kept, err := s.keepForReturn(ctx, n)
	if err == nil && !kept {
		return Unavailable(errors.New("the customer has come back meanwhile"))
	}
	return err
}

// keepForReturn sees that a customer who has blocked the bot is told where they stand
// when they come back. It reports false if they have come back already.
func (s *Shop) keepForReturn(ctx context.Context, n Notify) (bool, error) {
	if n.Notice == NoticeInvoice || n.Notice == NoticeClosed { // they will look at the order, or never
		return true, nil
	}
	return s.store.Miss(ctx, n.UserID)
}

// holds says whether what the message says is still true: it may have waited long.
func (m Message) holds() bool {
	switch m.Notice {
	case NoticeDelayed:
		return m.Profile.Subscription.Status == SubscriptionWaiting
	case NoticeExpired:
		return m.Profile.Subscription.Status == SubscriptionExpired
	case NoticeReady, NoticeInvoice, NoticeClosed:
		return true
	default:
		return false
	}
}

// standing returns the notice that says where the customer stands; none if they have
// never bought.
func (s Subscription) standing() Notice {
	switch {
	case s.LetIn():
		return NoticeReady
	case s.Status == SubscriptionWaiting:
		return NoticeDelayed
	case s.Status == SubscriptionExpired:
		return NoticeExpired
	default:
		return ""
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
	if n.Notice == NoticeMissed {
		m.Notice = ""
		if profile.User.Missed {
			m.Notice = profile.Subscription.standing()
		}
	}
	if n.OrderID == (OrderID{}) {
		return m, nil
	}
	if m.Order, err = s.store.Order(ctx, n.OrderID); err != nil {
		return Message{}, err
	}
	m.OrderPlan = s.PlanOf(m.Order.Access().Plan)
	m.Invoice, err = s.store.Invoice(ctx, n.OrderID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Message{}, err
	}
	m.Trouble, err = s.store.Trouble(ctx, n.OrderID)
	return m, err
}

// rank sorts what is first before what is not.
func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}
