package store

import (
	"github.com/prometheus/client_golang/prometheus"

	"sallyport/shop"
)

// The states that an order reaches, as sallyport_orders_total counts them.
const (
	orderPlaced    = "placed"
	orderPaid      = string(shop.OrderPaid)
	orderCancelled = string(shop.OrderCancelled)
	orderExpired   = string(shop.OrderExpired)
	orderDelivered = "delivered"
)

// books counts what was committed: of what was rolled back nothing is counted.
type books struct {
	orders, postings *prometheus.CounterVec
}

func newBooks(metrics prometheus.Registerer) books {
	b := books{
		orders: shared(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sallyport", Subsystem: "orders", Name: "total", Help: "Orders that reached a state, by state.",
		}, []string{"state"})),
		postings: shared(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sallyport", Subsystem: "ledger", Name: "postings_total",
			Help: "Entries posted to the ledger, by account and currency.",
		}, []string{"account", "currency"})),
	}
	for _, state := range []string{orderPlaced, orderPaid, orderCancelled, orderExpired, orderDelivered} {
		b.orders.WithLabelValues(state) // there from the start, so that the first of each is seen to be one more
	}
	return b
}

// reached counts n orders that reached the state.
func (b books) reached(state string, n int) { b.orders.WithLabelValues(state).Add(float64(n)) }

// posted counts a posting on every account that it touches.
func (b books) posted(p shop.Posting) {
	for _, entry := range p.Entries {
		b.postings.WithLabelValues(string(entry.Account), entry.Amount.Currency).Inc()
	}
}

// shared registers a collector, or returns the one that another pool of the process
// has registered.
func shared[C prometheus.Collector](metrics prometheus.Registerer, c C) C {
	if metrics == nil {
		return c
	}
	if err := metrics.Register(c); err != nil {
		if known, ok := err.(prometheus.AlreadyRegisteredError); ok { //nolint:errorlint // the registry returns it bare
			return known.ExistingCollector.(C)
		}
	}
	return c
}
