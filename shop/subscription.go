package shop

import (
	"context"
	"errors"
	"slices"
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
}

// Extend returns the subscription after a period of plan was paid for. Time
// already paid for is kept, and the customer waits until a node has confirmed.
func (s Subscription) Extend(plan PlanID, period time.Duration, now time.Time) Subscription {
	from := now
	if s.Granted() && (s.Status == SubscriptionWaiting || s.ExpiresAt.After(now)) {
		from = s.ExpiresAt
	}
	if s.Status != SubscriptionWaiting {
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
	s.Status, s.WaitingSince, s.DelayTold = SubscriptionActive, time.Time{}, false
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

// Subscriptions is what the shop asks of the storage about entitlements.
type Subscriptions interface {
	// Subscription returns the user's subscription; a new one if they have
	// bought nothing yet.
	Subscription(ctx context.Context, id UserID) (Subscription, error)
	// Subscriptions returns those that these users have.
	Subscriptions(ctx context.Context, ids []UserID) ([]Subscription, error)
	// ChangeSubscription stores what change makes of the locked subscription,
	// together with the jobs it returns. Nothing is stored when change returns
	// the subscription as it was and no job.
	ChangeSubscription(ctx context.Context, id UserID, change func(Subscription) (Subscription, []Job)) error
	// ChangeSubscriptions gives change the locked subscriptions of those users who have
	// one, and stores those that it returns, together with the jobs.
	ChangeSubscriptions(ctx context.Context, ids []UserID, change func([]Subscription) ([]Subscription, []Job)) error
	// Deliver stores what arrive makes of the locked subscription and marks the
	// user's paid orders delivered; each that was not so before gets the job
	// that announce returns, in the same transaction.
	Deliver(ctx context.Context, id UserID, arrive func(Subscription) Subscription, announce func(OrderID) Job) error
	// WaitingUsers returns at most limit users who paid and still wait.
	WaitingUsers(ctx context.Context, limit int) ([]UserID, error)
	// DueSubscriptions returns at most limit users whose subscription is due.
	DueSubscriptions(ctx context.Context, now time.Time, limit int) ([]UserID, error)
}

const (
	// expireBatch bounds how many subscriptions end in one transaction: it should hold
	// its connection for a few milliseconds.
	expireBatch = 50
	// expireLook bounds how many that are due are looked up at once: each look passes
	// those that have just ended.
	expireLook = 20 * expireBatch
)

// ExpireDue ends every subscription that is due, a batch at a time; the end of a batch,
// their removal from the nodes and the word to each are one transaction.
// It returns how many it ended, and may be repeated safely; one that fails does not
// keep the others from their end. Between two batches it leaves the database and the
// nodes to others for twice as long as a batch takes.
func (s *Shop) ExpireDue(ctx context.Context) (ended int, err error) {
	for {
		due, readErr := s.store.DueSubscriptions(ctx, s.now(), expireLook)
		if err = errors.Join(err, readErr); readErr != nil {
			return ended, err
		}
		for batch := range slices.Chunk(due, expireBatch) {
			began := time.Now()
			n, batchErr := s.expireEach(ctx, batch)
			ended, err = ended+n, errors.Join(err, batchErr)
			if len(batch) < expireBatch {
				return ended, err
			}
			if waitErr := pause(ctx, 2*time.Since(began)); waitErr != nil {
				return ended, errors.Join(err, waitErr)
			}
		}
		if err != nil || len(due) < expireLook {
			return ended, err
		}
	}
}

// pause waits, but not beyond ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return Unavailable(context.Cause(ctx))
	}
}

// expireEach ends the subscriptions of these users together or, if that fails, one by one.
func (s *Shop) expireEach(ctx context.Context, ids []UserID) (ended int, err error) {
	if ended, err = s.expire(ctx, ids...); err == nil {
		return ended, nil
	}
	err = nil // what is wrong with one was wrong with all
	for _, id := range ids {
		n, oneErr := s.expire(ctx, id)
		ended, err = ended+n, errors.Join(err, oneErr)
	}
	return ended, err
}

// expire ends the subscriptions of these users, if they are due.
func (s *Shop) expire(ctx context.Context, ids ...UserID) (ended int, err error) {
	err = s.store.ChangeSubscriptions(ctx, ids, func(subs []Subscription) (after []Subscription, jobs []Job) {
		var users []UserID
		for _, sub := range subs {
			if sub.Due(s.now()) {
				after, users = append(after, sub.Expire()), append(users, sub.UserID)
				jobs = append(jobs, Notify{UserID: sub.UserID, Notice: NoticeExpired})
			}
		}
		if ended = len(users); ended > 0 {
			jobs = append(jobs, ConvergeUsers{UserIDs: users})
		}
		return after, jobs
	})
	if err != nil {
		return 0, err
	}
	return ended, nil
}

// Profile is what a customer sees of their own.
type Profile struct {
	User         User
	Subscription Subscription
	Plan         Plan
	Links        []Link
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
	if sub.Granted() {
		profile.Links = s.links(sub.Access)
	}
	return profile, nil
}
