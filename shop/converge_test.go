package shop_test

import (
	"errors"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// A node that is away for long leaves no work behind that grows: its check, once it is
// back, shuts out whoever has ended, even if as many have bought meanwhile.
func TestEndsDoNotWaitForANodeThatIsAway(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	away, other := shoptest.NewNode("de2").Follow(w.now), shoptest.NewNode("nl1").Follow(w.now)
	s := w.shopWith(w.node, away, other)
	const many = 100
	w.have(many, 10000, time.Minute)
	for _, node := range []*shoptest.Node{w.node, away, other} {
		w.must(s.CheckNode(ctx, node.Name()))
	}
	away.SetDown(true)
	w.pass(2 * time.Minute)
	w.must(s.Expire(ctx))
	w.have(many, 20000, time.Hour) // the node lacks as many as it has too much
	ids := make([]shop.UserID, many)
	for i := range ids {
		ids[i] = shop.UserID(10000 + i)
	}
	if err := s.ConvergeAll(ctx, ids); err != nil {
		t.Errorf("owed for ever: %v", err)
	}
	if err := s.Converge(ctx, ids[0]); err != nil {
		t.Errorf("one alone: %v", err)
	}
	count := func(n *shoptest.Node) int { t.Helper(); users, err := n.Count(ctx); w.must(err); return users }
	if count(w.node) != 0 || count(other) != 0 {
		t.Errorf("the nodes that are up let %d and %d in", count(w.node), count(other))
	}
	_, err := w.store.Pool().Exec(ctx, `UPDATE subscriptions SET updated_at = updated_at - interval '1 hour'`)
	w.must(err)
	away.SetDown(false)
	w.must(s.CheckNode(ctx, away.Name()))
	if count(away) != many {
		t.Fatalf("it lets %d in, want %d", count(away), many)
	}
	for _, id := range ids {
		sub, err := w.store.Subscription(ctx, id)
		w.must(err)
		if away.Has(sub.Access) {
			t.Fatalf("%d is still let in", id)
		}
	}
}

// The customer has their key as soon as one node lets them in; the slow one hears of it
// in a job of its own, which holds up nobody.
func TestASlowNodeHoldsUpNoBuyer(t *testing.T) {
	t.Parallel()
	for _, slowFirst := range []bool{true, false} {
		w := setup(t)
		ctx := t.Context()
		slow := shoptest.NewNode("de2").Follow(w.now)
		s := w.shopWith(w.node, slow)
		if slowFirst {
			s = w.shopWith(slow, w.node)
		}
		answer := make(chan struct{})
		slow.Stall(answer)
		w.buy()
		w.must(s.Converge(ctx, anna))
		sub := w.sub()
		if sub.Status != shop.SubscriptionActive || !w.node.Has(sub.Access) || w.notices()["ready"] != 1 {
			t.Errorf("the buyer waits: %+v, %v", sub, w.notices())
		}
		if n := w.jobs("converge_node"); n != 1 || slow.Has(sub.Access) {
			t.Errorf("%d jobs for the slow node", n)
		}
		close(answer)
		w.must(s.ConvergeNode(ctx, anna, slow.Name()))
		if !slow.Has(sub.Access) {
			t.Error("the slow node has not heard")
		}
		slow.SetDown(true)
		w.must(s.ConvergeNode(ctx, anna, slow.Name())) // its check does the rest
		if err := s.ConvergeNode(ctx, anna, "gone"); !errors.Is(err, shop.ErrNotFound) {
			t.Error(err)
		}
	}
}

// A node that fails while another lets the buyer in is compared at its next check,
// whatever the numbers say.
func TestANodeThatMissedAPurchaseIsFilledByItsNextCheck(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	away := shoptest.NewNode("de2").Follow(w.now)
	s := w.shopWith(w.node, away)
	away.Put(shop.Access{ID: "z1"}) // a stranger in place of the customer
	w.must(s.CheckNode(ctx, away.Name()))
	away.SetDown(true)
	w.buy()
	w.must(s.Converge(ctx, anna))
	away.SetDown(false)
	w.pass(11 * time.Second)
	w.must(s.CheckNode(ctx, away.Name()))
	if !away.Has(w.sub().Access) {
		t.Error("not let in")
	}
}

func TestWhoNeverBoughtIsNoWork(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.node.SetDown(true)
	w.must(w.Converge(t.Context(), anna))
	w.must(w.Converge(t.Context(), 4711))
}

// Who ended a moment ago is no orphan yet. The comparison that finds them is repeated.
func TestAComparisonThatFindsOneWhoHasJustEndedIsRepeated(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	w.buy()
	w.must(w.Converge(ctx, anna))
	w.have(1, 10000, time.Hour)
	w.must(w.CheckNode(ctx, "de1"))
	key := w.sub().Access
	_, err := w.store.Pool().Exec(ctx, `UPDATE subscriptions SET status = 'expired', updated_at = $2 WHERE user_id = $1`, anna, w.now())
	w.must(err)
	w.have(1, 20000, time.Hour) // so that the numbers are right
	w.must(w.store.OweSync(ctx, []string{"de1"}))
	_, err = w.store.Pool().Exec(ctx, `UPDATE nodes SET synced_at = synced_at - interval '11 seconds'`)
	w.must(err)
	w.must(w.CheckNode(ctx, "de1"))
	if !w.node.Has(key) {
		t.Error("removed within the grace")
	}
	w.pass(11 * time.Second)
	w.must(w.CheckNode(ctx, "de1"))
	if w.node.Has(key) {
		t.Error("still let in")
	}
}
