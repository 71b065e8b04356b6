package shop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// convergeRounds bounds how often Converge starts over because the subscription
// changed while the nodes were being told.
const convergeRounds = 4

// Converge makes every node agree with the user's subscription. Once one node
// lets the customer in, what they paid for counts as delivered and they are told.
// While none does, the error is KindUnavailable, they are told once that access
// will follow, and the time they wait is not theirs to lose.
func (s *Shop) Converge(ctx context.Context, id UserID) error {
	sub, err := s.store.Subscription(ctx, id)
	for round := 0; err == nil && sub.Status != SubscriptionNew && round < convergeRounds; round++ {
		reached, failed := s.tellNodes(ctx, sub)
		if sub.Granted() && reached == "" {
			return errors.Join(failed, s.store.ChangeSubscription(ctx, id, tellDelay))
		}
		told := sub
		if sub, err = s.store.Subscription(ctx, id); err != nil {
			return err
		}
		if sub.Granted() != told.Granted() || sub.Access != told.Access {
			continue // another purchase or the end came between: the nodes may have heard us in the wrong order
		}
		if sub.Granted() {
			return s.deliver(ctx, id, reached)
		}
		return failed
	}
	return err
}

// ConvergeAll makes every node agree with those of the users whose subscriptions have
// ended, some at once, and converges the others. A node that is down keeps nobody from
// another; the error is the first of each kind of work.
func (s *Shop) ConvergeAll(ctx context.Context, ids []UserID) error {
	subs, err := s.store.Subscriptions(ctx, ids)
	if err != nil {
		return err
	}
	failed := all(subs, func(sub Subscription) error {
		if sub.Granted() {
			return nil
		}
		_, failed := s.tellNodes(ctx, sub)
		return failed
	})
	if subs, err = s.store.Subscriptions(ctx, ids); err != nil {
		return err
	}
	return errors.Join(failed, all(subs, func(sub Subscription) error { // who bought meanwhile is let in again
		if !sub.Granted() {
			return nil
		}
		return s.Converge(ctx, sub.UserID)
	}))
}

// all does the items, some at once, whatever becomes of the others, and returns the
// first error.
func all[T any](items []T, do func(T) error) error {
	var once sync.Once
	var first error
	_ = eachAtOnce(items, func(item T) error {
		if err := do(item); err != nil {
			once.Do(func() { first = err })
		}
		return nil
	})
	return first
}

// tellNodes tells every node at once what the subscription says, and returns one
// that was reached, if any, and the errors of those that were not.
func (s *Shop) tellNodes(ctx context.Context, sub Subscription) (reached string, failed error) {
	nodes := s.nodes()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			if sub.Granted() {
				errs[i] = n.Ensure(ctx, sub.Access)
			} else {
				errs[i] = n.Absent(ctx, sub.Access.ID)
			}
		})
	}
	wg.Wait()
	for i, n := range nodes {
		if errs[i] == nil {
			reached = n.Name()
			break
		}
	}
	return reached, errors.Join(errs...)
}

// deliver marks what the user paid for delivered; node lets them in.
func (s *Shop) deliver(ctx context.Context, id UserID, node string) error {
	arrive := func(sub Subscription) Subscription { return sub.Arrive(s.now()) }
	announce := func(o OrderID) Job {
		return Notify{UserID: id, Notice: NoticeReady, OrderID: o, Node: node}
	}
	return s.store.Deliver(ctx, id, arrive, announce)
}

func tellDelay(sub Subscription) (Subscription, []Job) {
	if sub.Status != SubscriptionWaiting || sub.DelayTold {
		return sub, nil
	}
	sub.DelayTold = true
	return sub, []Job{Notify{UserID: sub.UserID, Notice: NoticeDelayed}}
}

// NodeState is what is remembered of a node between two checks.
type NodeState struct {
	Name      string
	BootAt    time.Time // when its Xray started; zero if it was never reached
	Drifted   bool      // the last check counted other users than it should
	CheckedAt time.Time // the last check that reached the node
	SyncedAt  time.Time // the last full comparison
}

// NodeCheck is what one check of a node found.
type NodeCheck struct {
	Node    string
	Counted bool
	Users   int // that it lets in, if counted
	Desired int // that it should
	Leaving int // that are about to be taken off
	Full    bool
}

// drifts says whether the node lets in others than it should.
func (c NodeCheck) drifts() bool {
	return c.Users < c.Desired || c.Users > c.Desired+c.Leaving
}

const (
	// bootSlack is how far the computed start of Xray may move between two checks
	// without a restart: uptime comes in whole seconds.
	bootSlack = 3 * time.Second
	// syncEvery is how often a node is compared fully even if nothing looks wrong.
	syncEvery = 5 * time.Minute
	// countEvery is how often a node's users are counted while their number is right: to
	// count a hundred thousand takes both sides many milliseconds.
	countEvery = 10 * time.Second
	// orphanGrace keeps a user whose subscription has just changed from being
	// taken for an orphan.
	orphanGrace = 10 * time.Second
	// syncWorkers is how many users are repaired at once on one node.
	syncWorkers = 8
	// deliverBatch bounds how many waiting customers one check lets know.
	deliverBatch = 500
)

// counts says whether a check now counts users: the first in each period does, and
// every one while they are too few or too many.
func (n NodeState) counts(now time.Time) bool {
	return n.Drifted || n.CheckedAt.Before(now.Truncate(countEvery))
}

// observe returns the state after a check, which found another number of users than
// expected or not, and whether the node must be compared fully now.
func (n NodeState) observe(uptime time.Duration, drifts bool, now time.Time) (NodeState, bool) {
	boot := now.Add(-uptime)
	moved := boot.Sub(n.BootAt).Abs() > bootSlack
	full := moved || (drifts && n.Drifted) || now.Sub(n.SyncedAt) > syncEvery
	if moved {
		n.BootAt = boot
	}
	n.Drifted, n.CheckedAt = drifts, now
	return n, full
}

// Inventory is what the shop asks of the storage about nodes and who belongs on them.
type Inventory interface {
	// NodeState returns what is remembered of the node; the zero state if nothing is.
	NodeState(ctx context.Context, name string) (NodeState, error)
	// SaveNodeState remembers it.
	SaveNodeState(ctx context.Context, n NodeState) error
	// GrantedCount returns how many users belong on every node, and how many do not any
	// more and are about to be taken off.
	GrantedCount(ctx context.Context) (granted, leaving int, err error)
	// GrantedAfter returns at most limit of them with an id above after, by id.
	GrantedAfter(ctx context.Context, after AccessID, limit int) ([]Access, error)
	// GrantedAmong returns those of the ids that belong on every node.
	GrantedAmong(ctx context.Context, ids []AccessID) ([]Access, error)
	// Orphans returns those of the ids that belong on no node and have not
	// changed since the time.
	Orphans(ctx context.Context, ids []AccessID, since time.Time) ([]AccessID, error)
}

// CheckNode compares a node with what it should be, and repairs what differs. It asks
// each time whether the node has restarted, now and then for the number of its users,
// and for all of them after a restart, on lasting drift and every few minutes.
func (s *Shop) CheckNode(ctx context.Context, name string) error {
	n, err := s.node(name)
	if err != nil {
		return err
	}
	uptime, err := n.Uptime(ctx)
	if err != nil {
		return err
	}
	state, err := s.store.NodeState(ctx, name)
	if err != nil {
		return err
	}
	check := NodeCheck{Node: name, Counted: state.counts(s.now())}
	if check.Counted {
		if check.Desired, check.Leaving, err = s.store.GrantedCount(ctx); err != nil {
			return err
		}
		if check.Users, err = n.Count(ctx); err != nil { // who has left meanwhile was leaving
			return err
		}
	}
	state.Name = name
	state, check.Full = state.observe(uptime, check.drifts(), s.now())
	if check.Full {
		if err := s.syncNode(ctx, n); err != nil {
			return err
		}
		state.SyncedAt, state.Drifted = s.now(), false
	}
	s.checked(check)
	if err := s.store.SaveNodeState(ctx, state); err != nil {
		return err
	}
	return s.deliverWaiting(ctx, n)
}

func (s *Shop) node(name string) (Node, error) {
	for _, n := range s.nodes() {
		if n.Name() == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("node %q: %w", name, ErrNotFound)
}

// deliverWaiting lets customers in who paid while the node was away, without
// waiting for their own job's next try.
func (s *Shop) deliverWaiting(ctx context.Context, n Node) error {
	waiting, err := s.store.WaitingUsers(ctx, deliverBatch)
	if err != nil {
		return err
	}
	for _, id := range waiting {
		sub, err := s.store.Subscription(ctx, id)
		if err != nil {
			return err
		}
		if err := n.Ensure(ctx, sub.Access); err != nil {
			return err
		}
		if err := s.deliver(ctx, id, n.Name()); err != nil {
			return err
		}
	}
	return nil
}
