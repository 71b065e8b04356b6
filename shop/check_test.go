package shop_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// A node that cannot be compared is not asked for all of its users each second: it is
// tried ever more rarely. It counts as reached, who waits is let in, and health sees for
// how long no comparison has succeeded.
func TestComparisonsThatFailBecomeRarer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	w.must(w.CheckNode(ctx, "de1"))
	w.node.Mute(shop.Unavailable(errors.New("no answer in 3s")))
	w.pass(10 * time.Minute)
	w.buy()
	began := w.node.Lists()
	const seconds = 20 * 60
	for range seconds {
		if err := w.CheckNode(ctx, "de1"); err != nil && shop.KindOf(err) != shop.KindUnavailable {
			t.Fatal(err)
		}
		w.pass(time.Second)
	}
	if n := w.node.Lists() - began; n < 8 || n > 16 { // 1, 1, 2, 4 ... 256 s and then every 5 min
		t.Errorf("listed %d times in %d checks", n, seconds)
	}
	if sub := w.sub(); sub.Status != shop.SubscriptionActive || !w.node.Has(sub.Access) {
		t.Errorf("who waited still waits: %+v", sub)
	}
	state, err := w.store.NodeState(ctx, "de1")
	w.must(err)
	if since := w.now().Sub(state.CheckedAt); since > 2*time.Second {
		t.Errorf("it seems not to be reached for %s", since)
	}
	if since := w.now().Sub(state.FailingSince); since < 19*time.Minute {
		t.Errorf("it seems to fail for only %s", since)
	}
	w.node.Mute(nil)
	w.pass(5 * time.Minute)
	w.must(w.CheckNode(ctx, "de1"))
	if state, err = w.store.NodeState(ctx, "de1"); err != nil || !state.FailingSince.IsZero() || !state.SyncAfter.IsZero() {
		t.Errorf("after one that succeeded: %+v, %v", state, err)
	}
}

// However long comparisons have failed, a restart of Xray is answered at once.
func TestARestartDoesNotWaitForAComparisonThatFailed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	w.buy()
	w.must(w.Converge(ctx, anna))
	w.must(w.CheckNode(ctx, "de1"))
	w.node.Mute(shoptest.ErrDown)
	for range 2 {
		w.pass(10 * time.Minute)
		if err := w.CheckNode(ctx, "de1"); shop.KindOf(err) != shop.KindUnavailable {
			t.Fatal(err)
		}
	}
	w.node.Mute(nil)
	w.node.Restart()
	w.must(w.CheckNode(ctx, "de1"))
	if !w.node.Has(w.sub().Access) {
		t.Error("not let in")
	}
}

// A process that is killed by a comparison does not start over when it is back.
func TestAComparisonThatEndsTheProcessIsPutOff(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx, kill := context.WithCancel(t.Context())
	w.have(1, 10000, time.Hour)
	w.node.Stall(make(chan struct{}))
	done := make(chan error)
	go func() { done <- w.CheckNode(ctx, "de1") }()
	for w.node.Lists() == 0 {
		select {
		case err := <-done:
			t.Fatalf("ended before it compared: %v", err)
		default:
		}
	}
	kill()
	if err := <-done; err == nil {
		t.Fatal("not killed")
	}
	w.must(w.CheckNode(t.Context(), "de1"))
	if n := w.node.Lists(); n != 1 {
		t.Errorf("listed %d times", n)
	}
}

// A node that lists far more than it counts is not read to the end.
func TestANodeThatListsMoreThanItCountsIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	lying := lyingNode{w.node}
	s := w.shopWith(lying)
	if err := s.CheckNode(t.Context(), "de1"); err == nil || lying.Lists() != 1 {
		t.Errorf("%v", err)
	}
}

// lyingNode counts none, and lists as many as it is let.
type lyingNode struct{ *shoptest.Node }

func (n lyingNode) List(ctx context.Context, most int) ([]shop.Access, error) {
	for i := range most + 1 {
		n.Put(shop.Access{ID: shop.AccessID(time.Duration(i).String())})
	}
	return n.Node.List(ctx, most)
}

func (lyingNode) Count(context.Context) (int, error) { return 0, nil }

// Whichever process gets the tick, a node that has not restarted is not compared.
func TestProcessesWhoseClocksDifferSeeOneNode(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	node := shoptest.NewNode("de1") // as old as it is by the right clock
	var full atomic.Int64
	shopOff := func(off time.Duration) *shop.Shop {
		var c atomic.Pointer[shop.Catalogue]
		sold := catalogue()
		c.Store(&sold)
		return shop.New(shop.Config{
			Store: w.store, Catalogue: &c, Nodes: func() []shop.Node { return []shop.Node{node} }, Messenger: w.messenger,
			Now: func() time.Time { return time.Now().Add(off) },
			Checked: func(c shop.NodeCheck) {
				if c.Full {
					full.Add(1)
				}
			},
		})
	}
	shops := []*shop.Shop{shopOff(0), shopOff(5 * time.Second), shopOff(-time.Hour), shopOff(48 * time.Hour)}
	for range 5 {
		for _, s := range shops {
			w.must(s.CheckNode(ctx, "de1"))
		}
	}
	if n := full.Load(); n != 1 {
		t.Errorf("%d full comparisons", n)
	}
	var age time.Duration
	w.must(w.store.Pool().QueryRow(ctx, `SELECT now() - checked_at FROM nodes`).Scan(&age))
	if age.Abs() > time.Minute {
		t.Errorf("checked %s ago by the database's clock", age)
	}
}
