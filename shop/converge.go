package shop

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// convergeRounds bounds how often Converge starts over because the subscription
	// changed while the nodes were being told.
	convergeRounds = 4
	// restWait is how long Converge waits for the other nodes when one lets the customer
	// in: a slow one is left to a job of its own.
	restWait = 500 * time.Millisecond
)

// Converge makes every node agree with the user's subscription. As soon as one node
// lets the customer in, what they paid for counts as delivered and they are told; a node
// that is slow is left to a job of its own, and one that fails to its own check.
// While none lets them in, the error is KindUnavailable, they are told once that access
// will follow, and the time they wait is not theirs to lose.
func (s *Shop) Converge(ctx context.Context, id UserID) error {
	sub, err := s.store.Subscription(ctx, id)
	for round := 0; err == nil && round < convergeRounds; round++ {
		told := sub
		switch {
		case sub.Status == SubscriptionNew:
			return nil // no node has ever heard of them
		case sub.Granted():
			sub, err = s.letIn(ctx, sub)
		default:
			if err = s.takeOff(ctx, sub); err == nil {
				sub, err = s.store.Subscription(ctx, id)
			}
		}
		if err == nil && sub.agrees(told) {
			return nil
		}
		// another purchase or the end came between: the nodes may have heard us in the wrong order
	}
	return err
}

// agrees says whether the nodes should be told the same of both.
func (s Subscription) agrees(other Subscription) bool {
	return s.Granted() == other.Granted() && s.Access == other.Access
}

// letIn tells every node to let the customer in, and delivers when the first does. It
// returns the subscription as it is after every node that answered has heard.
func (s *Shop) letIn(ctx context.Context, sub Subscription) (Subscription, error) {
	t := s.tell(ctx, sub)
	defer t.end()
	node, reached := t.first()
	if !reached {
		return sub, errors.Join(t.failure(), s.tellDelay(ctx, sub.UserID))
	}
	found, err := s.store.Subscription(ctx, sub.UserID)
	if err != nil {
		return found, err
	}
	if found.agrees(sub) {
		if err := s.deliver(ctx, sub.UserID, node); err != nil {
			return found, err
		}
	}
	if len(t.left) > 0 {
		t.wait(restWait)
		if found, err = s.store.Subscription(ctx, sub.UserID); err != nil {
			return found, err
		}
	}
	return found, s.leaveRest(ctx, sub.UserID, t)
}

// leaveRest leaves the nodes that have not answered to jobs of their own, and those that
// failed to their checks.
func (s *Shop) leaveRest(ctx context.Context, id UserID, t *telling) error {
	if err := s.owe(ctx, slices.Collect(maps.Keys(t.failed))); err != nil || len(t.left) == 0 {
		return err
	}
	jobs := make([]Job, 0, len(t.left))
	for _, node := range slices.Sorted(maps.Keys(t.left)) {
		jobs = append(jobs, ConvergeNode{UserID: id, Node: node})
	}
	return s.store.Enqueue(ctx, jobs...)
}

// takeOff tells every node to shut the customer out. A node that is away is no error:
// its check shuts out whoever does not belong there.
func (s *Shop) takeOff(ctx context.Context, sub Subscription) error {
	t := s.tell(ctx, sub)
	defer t.end()
	t.wait(0)
	away, err := t.away()
	return errors.Join(err, s.owe(ctx, away))
}

// owe has the next check of each of the nodes compare it fully.
func (s *Shop) owe(ctx context.Context, nodes []string) error {
	if len(nodes) == 0 {
		return nil
	}
	return s.store.OweSync(ctx, nodes)
}

// ConvergeNode makes one node agree with the user's subscription. If it is away, its
// check does so.
func (s *Shop) ConvergeNode(ctx context.Context, id UserID, node string) error {
	n, err := s.node(node)
	if err != nil {
		return err
	}
	sub, err := s.store.Subscription(ctx, id)
	for round := 0; err == nil && round < convergeRounds; round++ {
		told := sub
		if err = tellNode(ctx, n, sub); KindOf(err) == KindUnavailable {
			return s.owe(ctx, []string{node})
		}
		if err == nil {
			sub, err = s.store.Subscription(ctx, id)
		}
		if err == nil && sub.agrees(told) {
			return nil
		}
	}
	return err
}

// ConvergeAll makes every node agree with those of the users whose subscriptions have
// ended, some at once, and converges the others. A node that is down keeps nobody from
// another, and is left to its own check; the error is the first of each kind of work.
func (s *Shop) ConvergeAll(ctx context.Context, ids []UserID) error {
	subs, err := s.store.Subscriptions(ctx, ids)
	if err != nil {
		return err
	}
	failed := all(subs, func(sub Subscription) error {
		if sub.Granted() {
			return nil
		}
		return s.takeOff(ctx, sub)
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

// telling is the nodes hearing at once what a subscription says. It is one goroutine's.
type telling struct {
	cancel  context.CancelFunc
	answers chan answer
	left    map[string]bool  // nodes that have not answered
	failed  map[string]error // by node
}

// answer is what became of telling a node.
type answer struct {
	node string
	err  error
}

// tell begins to tell every node what the subscription says; the caller must end it.
func (s *Shop) tell(ctx context.Context, sub Subscription) *telling {
	nodes := s.nodes()
	ctx, cancel := context.WithCancel(ctx)
	t := &telling{cancel: cancel, answers: make(chan answer, len(nodes)), left: make(map[string]bool), failed: make(map[string]error)}
	for _, n := range nodes {
		t.left[n.Name()] = true
		go func() {
			t.answers <- answer{n.Name(), caught(func() error { return tellNode(ctx, n, sub) })}
		}()
	}
	return t
}

// tellNode tells a node what the subscription says.
func tellNode(ctx context.Context, n Node, sub Subscription) error {
	if sub.Granted() {
		return n.Ensure(ctx, sub.Access)
	}
	return n.Absent(ctx, sub.Access.ID)
}

// hear notes an answer.
func (t *telling) hear(a answer) {
	delete(t.left, a.node)
	if a.err != nil {
		t.failed[a.node] = a.err
	}
}

// first waits for the first node that heard; there is none if all have failed.
func (t *telling) first() (node string, reached bool) {
	for len(t.left) > 0 {
		a := <-t.answers
		t.hear(a)
		if a.err == nil {
			return a.node, true
		}
	}
	return "", false
}

// wait waits for all answers, but no longer than the limit; zero means no limit.
func (t *telling) wait(limit time.Duration) {
	var over <-chan time.Time
	if limit > 0 {
		over = time.After(limit)
	}
	for len(t.left) > 0 {
		select {
		case a := <-t.answers:
			t.hear(a)
		case <-over:
			return
		}
	}
}

// failure returns what the nodes that failed said.
func (t *telling) failure() error { return errors.Join(slices.Collect(maps.Values(t.failed))...) }

// away returns the nodes that could not be asked, and what the others that failed said.
func (t *telling) away() (away []string, failed error) {
	for node, err := range t.failed {
		if KindOf(err) == KindUnavailable {
			away = append(away, node)
		} else {
			failed = errors.Join(failed, err)
		}
	}
	slices.Sort(away)
	return away, failed
}

// end gives up the calls that are under way, and waits until they have ended.
func (t *telling) end() {
	t.cancel()
	for range t.left {
		<-t.answers
	}
}

// deliver marks what the user paid for delivered, and tells them of each order once; node
// lets them in.
func (s *Shop) deliver(ctx context.Context, id UserID, node string) error {
	return s.store.Do(ctx, "deliver", func(ctx context.Context, tx Tx) error {
		orders, err := tx.LockUndelivered(ctx, id)
		if err != nil {
			return err
		}
		sub, err := tx.LockSubscription(ctx, id)
		if err != nil {
			return err
		}
		if arrived := sub.Arrive(s.now()); arrived != sub {
			if err := tx.SaveSubscriptions(ctx, arrived); err != nil {
				return err
			}
		}
		if err := tx.DeliverOrders(ctx, orders); err != nil {
			return err
		}
		ready := make([]Job, len(orders))
		for i, o := range orders {
			ready[i] = Notify{UserID: id, Notice: NoticeReady, OrderID: o, Node: node}
		}
		return tx.Enqueue(ctx, ready...)
	})
}

// tellDelay tells a customer who waits, once, that their access will follow.
func (s *Shop) tellDelay(ctx context.Context, id UserID) error {
	return s.store.Do(ctx, "tell delay", func(ctx context.Context, tx Tx) error {
		sub, err := tx.LockSubscription(ctx, id)
		if err != nil || sub.Status != SubscriptionWaiting || sub.DelayTold {
			return err
		}
		sub.DelayTold = true
		if err := tx.SaveSubscriptions(ctx, sub); err != nil {
			return err
		}
		return tx.Enqueue(ctx, Notify{UserID: id, Notice: NoticeDelayed})
	})
}
