package shop

import (
	"context"
	"time"
)

// SubscriptionStatus is where a subscription is in its life.
type SubscriptionStatus string

// The life of a subscription: new -> waiting -> active -> expired -> waiting ...
// A renewal waits too, until a node has confirmed it.
const (
	SubscriptionNew     SubscriptionStatus = "new"     // nothing was ever bought
	SubscriptionWaiting SubscriptionStatus = "waiting" // paid, and no node has confirmed it yet
	SubscriptionActive  SubscriptionStatus = "active"  // at least one node lets the customer in
	SubscriptionExpired SubscriptionStatus = "expired" // ran out
)

// Subscription states what a user is entitled to. Each user has exactly one.
type Subscription struct {
	UserID       UserID
	Plan         PlanID
	Access       Access
	Status       SubscriptionStatus
	ExpiresAt    time.Time
	WaitingSince time.Time // zero unless waiting
	DelayTold    bool      // the customer knows that access will follow
	Renewal      bool      // waiting, and let in all the while: time was added to what is active
}

// Extend returns the subscription after a period of plan was paid for. Time
// already paid for is kept, even by one that was ended too early, and the customer
// waits until a node has confirmed.
func (s Subscription) Extend(plan PlanID, period time.Duration, now time.Time) Subscription {
	from := now
	if s.Status == SubscriptionWaiting || s.ExpiresAt.After(now) {
		from = s.ExpiresAt
	}
	if s.Status != SubscriptionWaiting {
		s.Renewal = s.Status == SubscriptionActive && s.ExpiresAt.After(now)
		s.Status, s.WaitingSince, s.DelayTold = SubscriptionWaiting, now, false
	}
	s.Plan, s.ExpiresAt = plan, from.Add(period)
	return s
}

// Arrive returns the subscription after a node has let the customer in: the time
// they waited is added. It changes nothing unless they were waiting.
func (s Subscription) Arrive(now time.Time) Subscription {
	if s.Status != SubscriptionWaiting {
		return s
	}
	s.ExpiresAt = s.ExpiresAt.Add(max(0, now.Sub(s.WaitingSince))) // a clock that is behind must take nothing away
	s.Status, s.WaitingSince, s.DelayTold, s.Renewal = SubscriptionActive, time.Time{}, false, false
	return s
}

// Due says whether the subscription has run out and must be ended. A customer
// who still waits for access loses no time.
func (s Subscription) Due(now time.Time) bool {
	return s.Status == SubscriptionActive && !s.ExpiresAt.After(now)
}

// Expire returns the subscription after its end.
func (s Subscription) Expire() Subscription {
	s.Status = SubscriptionExpired
	return s
}

// Granted says whether nodes should let the customer in.
func (s Subscription) Granted() bool {
	return s.Status == SubscriptionWaiting || s.Status == SubscriptionActive
}

// LetIn says whether nodes let the customer in, as far as is known: who renews need not
// wait until a node has confirmed it.
func (s Subscription) LetIn() bool {
	return s.Status == SubscriptionActive || s.Status == SubscriptionWaiting && s.Renewal
}

// Subscriptions is what the shop asks of the storage about entitlements.
type Subscriptions interface {
	// Subscription returns the user's subscription; a new one if they have
	// bought nothing yet.
	Subscription(ctx context.Context, id UserID) (Subscription, error)
	// Subscriptions returns those that these users have.
	Subscriptions(ctx context.Context, ids []UserID) ([]Subscription, error)
	// WaitingUsers returns at most limit users who paid and still wait.
	WaitingUsers(ctx context.Context, limit int) ([]UserID, error)
}

// SubscriptionTx is what a transaction does with subscriptions.
type SubscriptionTx interface {
	// LockSubscription returns the user's subscription, locked; one that is stored as new
	// if they have bought nothing yet.
	LockSubscription(ctx context.Context, id UserID) (Subscription, error)
	// LockSubscriptions returns those that these users have, locked.
	LockSubscriptions(ctx context.Context, ids []UserID) ([]Subscription, error)
	// SaveSubscriptions stores what was made of subscriptions that are locked.
	SaveSubscriptions(ctx context.Context, subs ...Subscription) error
}

// Profile is what a customer sees of their own.
type Profile struct {
	User         User
	Subscription Subscription
	Plan         Plan
	Links        []Link // none unless nodes let the customer in
}

// Profile returns what the customer owns now.
func (s *Shop) Profile(ctx context.Context, id UserID) (Profile, error) {
	user, err := s.store.User(ctx, id)
	if err != nil {
		return Profile{}, err
	}
	sub, err := s.store.Subscription(ctx, id)
	if err != nil {
		return Profile{}, err
	}
	profile := Profile{User: user, Subscription: sub, Plan: s.PlanOf(sub.Plan)}
	if sub.LetIn() {
		profile.Links = s.links(sub.Access)
	}
	return profile, nil
}
