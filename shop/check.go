package shop

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// NodeState is what is remembered of a node between two checks. Its times are the
// storage's, so that processes whose clocks differ mean the same by them.
type NodeState struct {
	Name         string
	BootAt       time.Time // when its Xray started; zero if it was never reached
	Drifted      bool      // the last check counted other users than it should
	Owed         bool      // it could not be told of a change: a full comparison is owed
	CheckedAt    time.Time // the last check that reached the node
	SyncedAt     time.Time // the last full comparison that succeeded
	FailingSince time.Time // since when full comparisons fail; zero: they do not
	SyncAfter    time.Time // the next one is not tried before; zero while they do not fail
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

// Drifts says whether the node lets in others than it should.
func (c NodeCheck) Drifts() bool {
	return c.Users < c.Desired || c.Users > c.Desired+c.Leaving
}

const (
	// bootSlack is how far the computed start of Xray may move between two checks
	// without a restart: uptime comes in whole seconds.
	bootSlack = 3 * time.Second
	// syncEvery is how often a node is compared fully even if nothing looks wrong, and how
	// long a comparison that fails waits at most for its next try.
	syncEvery = 5 * time.Minute
	// syncAgain is how long it waits at first.
	syncAgain = time.Second
	// countEvery is how often a node's users are counted while their number is right: to
	// count a hundred thousand takes both sides many milliseconds.
	countEvery = 10 * time.Second
	// orphanGrace keeps a user whose subscription has just changed from being
	// taken for an orphan. A comparison that is owed because one was that young waits as
	// long.
	orphanGrace = 10 * time.Second
	// syncWorkers is how many users are repaired at once on one node.
	syncWorkers = 8
	// deliverBatch bounds how many waiting customers one check lets know.
	deliverBatch = 500
)

// counts says whether a check now counts users: the first in each period does, and
// every one while they are too few or too many.
func (n NodeState) counts(now time.Time) bool {
	return n.Drifted || !n.CheckedAt.Truncate(countEvery).Equal(now.Truncate(countEvery))
}

// sight is what a check sees of a node.
type sight struct {
	boot   time.Time     // when its Xray started
	slack  time.Duration // that boot may be off
	drifts bool          // it lets in other users than it should
}

// observe returns the state after a check, and whether the node must be compared fully
// now. Comparisons that fail become rarer the longer they do, until Xray restarts.
func (n NodeState) observe(seen sight, now time.Time) (NodeState, bool) {
	moved := seen.boot.Sub(n.BootAt).Abs() > seen.slack
	age := now.Sub(n.SyncedAt).Abs()
	due := moved || (seen.drifts && n.Drifted) || (n.Owed && age > orphanGrace) || !n.FailingSince.IsZero() || age > syncEvery
	if moved {
		n.BootAt, n.FailingSince, n.SyncAfter = seen.boot, time.Time{}, time.Time{}
	}
	n.Drifted, n.CheckedAt = seen.drifts, now
	wait := n.SyncAfter.Sub(now)
	return n, due && (wait <= 0 || wait > syncEvery) // a clock that went back must not make it wait for longer
}

// failing returns the state after a full comparison that failed, or did not end.
func (n NodeState) failing(now time.Time) NodeState {
	if n.FailingSince.IsZero() || n.FailingSince.After(now) {
		n.FailingSince = now
	}
	n.SyncAfter = now.Add(min(syncEvery, max(syncAgain, now.Sub(n.FailingSince))))
	return n
}

// synced returns the state after one that succeeded.
func (n NodeState) synced(now time.Time) NodeState {
	n.SyncedAt, n.Drifted, n.FailingSince, n.SyncAfter = now, false, time.Time{}, time.Time{}
	return n
}

// Inventory is what the shop asks of the storage about nodes and who belongs on them.
type Inventory interface {
	// NodeState returns what is remembered of the node; the zero state if nothing is.
	NodeState(ctx context.Context, name string) (NodeState, error)
	// SaveNodeState remembers it, but for what is owed.
	SaveNodeState(ctx context.Context, n NodeState) error
	// OweSync notes that full comparisons of these nodes are owed.
	OweSync(ctx context.Context, nodes []string) error
	// BeginSync remembers the node's state, and that nothing is owed that was before.
	BeginSync(ctx context.Context, n NodeState) error
	// GrantedCount returns how many users belong on every node, and how many do not any
	// more and are about to be taken off.
	GrantedCount(ctx context.Context) (granted, leaving int, err error)
	// GrantedAfter returns at most limit of them with an id above after, by id.
	GrantedAfter(ctx context.Context, after AccessID, limit int) ([]Access, error)
	// GrantedAmong returns those of the ids that belong on every node.
	GrantedAmong(ctx context.Context, ids []AccessID) ([]Access, error)
	// Orphans returns those of the ids that belong on no node and have not
	// changed since the time, by the storage's clock.
	Orphans(ctx context.Context, ids []AccessID, since time.Time) ([]AccessID, error)
}

// CheckNode compares a node with what it should be, and repairs what differs. It asks
// each time whether the node has restarted, now and then for the number of its users,
// and for all of them after a restart, on lasting drift, when it could not be told of a
// change, and every few minutes. Who paid and waits is let in first.
func (s *Shop) CheckNode(ctx context.Context, name string) error {
	n, err := s.node(name)
	if err != nil {
		return err
	}
	seen, now, err := s.sight(ctx, n)
	if err != nil {
		return err
	}
	state, err := s.store.NodeState(ctx, name)
	if err != nil {
		return err
	}
	delivered := s.deliverWaiting(ctx, n)
	check := NodeCheck{Node: name, Counted: state.counts(now)}
	if check.Counted {
		if check.Desired, check.Leaving, err = s.store.GrantedCount(ctx); err != nil {
			return errors.Join(delivered, err)
		}
		if check.Users, err = n.Count(ctx); err != nil { // who has left meanwhile was leaving
			return errors.Join(delivered, err)
		}
	}
	state.Name, seen.drifts = name, check.Drifts()
	state, check.Full = state.observe(seen, now)
	if check.Full {
		err = s.compare(ctx, n, state, now)
	} else {
		err = s.store.SaveNodeState(ctx, state)
	}
	s.checked(check)
	return errors.Join(delivered, err)
}

// sight looks when the node's Xray started, by the storage's clock, and at that clock.
func (s *Shop) sight(ctx context.Context, n Node) (sight, time.Time, error) {
	uptime, err := n.Uptime(ctx)
	if err != nil {
		return sight{}, time.Time{}, err
	}
	asked := time.Now()
	now, err := s.store.Now(ctx)
	took := time.Since(asked)
	return sight{boot: now.Add(-uptime - took), slack: bootSlack + took}, now, err
}

// compare compares the node fully. Until that has succeeded it counts as failing, so that
// neither an error nor the end of the process makes it start over at once.
func (s *Shop) compare(ctx context.Context, n Node, state NodeState, now time.Time) error {
	began := time.Now()
	state = state.failing(now)
	if err := s.store.BeginSync(ctx, state); err != nil {
		return err
	}
	if err := s.syncNode(ctx, n); err != nil {
		return errors.Join(err, s.store.SaveNodeState(ctx, state.failing(now.Add(time.Since(began)))))
	}
	return s.store.SaveNodeState(ctx, state.synced(now.Add(time.Since(began))))
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
