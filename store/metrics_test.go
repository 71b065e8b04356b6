package store_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"sallyport/shop"
	"sallyport/store"
)

// pools opens both pools of a process over one database, and returns what reads
// the counters of a family.
func pools(t *testing.T) (web, work *store.Store, counted func(family string) map[string]float64) {
	t.Helper()
	url, registry := server.Database(t), prometheus.NewRegistry()
	open := func(name string) *store.Store {
		s, err := store.Open(t.Context(), store.Config{URL: url, Name: name, Metrics: registry})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	return open("web"), open("work"), func(family string) map[string]float64 { return readCounters(t, registry, family) }
}

// readCounters returns the counters of a family by their labels' values.
func readCounters(t *testing.T, registry *prometheus.Registry, family string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			if f.GetName() == family {
				found[strings.Join(labels, " ")] = m.GetCounter().GetValue()
			}
		}
	}
	return found
}

func TestBooksCountWhatWasCommittedInEitherPool(t *testing.T) {
	t.Parallel()
	web, work, counted := pools(t)
	orders := map[string]float64{"placed": 0, "paid": 0, "cancelled": 0, "expired": 0, "delivered": 0}
	check := func(what string, change map[string]float64) {
		t.Helper()
		maps.Copy(orders, change)
		if diff := cmp.Diff(orders, counted("sallyport_orders_total")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("at the start", nil)
	placed(t, web)
	check("an order", map[string]float64{"placed": 1})
	second := placed(t, web)
	check("another in its place", map[string]float64{"placed": 2, "cancelled": 1})
	if _, err := settle(t, work, paymentOf(second)); err != nil {
		t.Fatal(err)
	}
	check("paid", map[string]float64{"paid": 1})
	deliver(t, work)
	deliver(t, work)
	check("delivered twice, once in truth", map[string]float64{"delivered": 1})
	third := placed(t, web)
	if _, err := web.CloseOrder(t.Context(), third.ID, shop.OrderCancelled); err != nil {
		t.Fatal(err)
	}
	if _, err := web.CloseOrder(t.Context(), third.ID, shop.OrderCancelled); err != nil {
		t.Fatal(err)
	}
	check("one given up", map[string]float64{"placed": 3, "cancelled": 2})
	placed(t, web)
	must(t, work, `UPDATE orders SET expires_at = now() WHERE status = 'open'`)
	if err := shopOf(work).Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("one run out", map[string]float64{"placed": 4, "expired": 1})
}

func deliver(t *testing.T, s *store.Store) {
	t.Helper()
	if err := shopOf(s).Converge(t.Context(), buyer); err != nil {
		t.Fatal(err)
	}
}

func TestPostingsAreCountedOnceWhateverIsRepeated(t *testing.T) {
	t.Parallel()
	web, work, counted := pools(t)
	o := placed(t, web)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := settle(t, []*store.Store{web, work}[i%2], paymentOf(o)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want := map[string]float64{"sales RUB": 1, "exchange RUB": 1, "exchange USDT": 1, "provider:cryptobot USDT": 1}
	if diff := cmp.Diff(want, counted("sallyport_ledger_postings_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsRolledBackIsNotCounted(t *testing.T) {
	t.Parallel()
	web, _, counted := pools(t)
	e := paymentOf(placed(t, web))
	err := web.Do(t.Context(), "unbalanced", func(ctx context.Context, tx shop.Tx) error {
		o, err := tx.LockOrderOf(ctx, e)
		if err != nil {
			return err
		}
		return errors.Join(tx.AddSettled(ctx, e, o.ID), tx.Post(ctx, shop.Posting{
			Kind: "sale", OrderID: o.ID, Entries: []shop.Entry{{Account: shop.SalesAccount, Amount: o.Quote.Total}}, // the database refuses it at the commit
		}))
	})
	if err == nil {
		t.Fatal("an unbalanced posting was taken")
	}
	if paid := counted("sallyport_orders_total")["paid"]; paid != 0 || len(counted("sallyport_ledger_postings_total")) != 0 {
		t.Errorf("%v paid, postings %v", paid, counted("sallyport_ledger_postings_total"))
	}
	e.Invoiced.Minor++
	if outcome, err := settle(t, web, e); err != nil || outcome != shop.Flagged {
		t.Fatalf("a wrong payment: %q, %v", outcome, err)
	}
	if paid := counted("sallyport_orders_total")["paid"]; paid != 0 {
		t.Errorf("%v paid after a flagged payment", paid)
	}
}
