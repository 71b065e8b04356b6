package shop

import (
	"context"
	"sync/atomic"
	"time"
)

// Store is what the shop asks of the storage.
type Store interface {
	Work
	Users
	Orders
	Checkouts
	Payments
	Subscriptions
	Ends
	Inventory
	Janitor
	Eraser
}

// Janitor is what the shop asks of the storage for its housekeeping.
type Janitor interface {
	// Enqueue stores jobs that follow no other fact.
	Enqueue(ctx context.Context, jobs ...Job) error
	// CleanUp does away with what was kept long enough.
	CleanUp(ctx context.Context, keep Retention) error
}

// Config is what a Shop is made of.
type Config struct {
	Store     Store
	Catalogue *atomic.Pointer[Catalogue] // replaced as a whole when it is read anew
	Nodes     func() []Node              // may change from call to call
	Providers []Descriptor               // by way of which customers pay, in the order of their buttons
	Messenger Messenger
	Settled   func(PaymentEvent, Outcome, error) // told of every payment event that was stored, and of the fault of ours that kept it from being settled; may be nil
	Checked   func(NodeCheck)                    // told of every check of a node that ended; may be nil
	Now       func() time.Time                   // default time.Now
}

// Shop holds the use cases. It has no state of its own: any number may run.
type Shop struct {
	store     Store
	catalogue *atomic.Pointer[Catalogue]
	nodes     func() []Node
	providers []Descriptor
	messenger Messenger
	settled   func(PaymentEvent, Outcome, error)
	checked   func(NodeCheck)
	now       func() time.Time
}

// New returns a Shop made of cfg.
func New(cfg Config) *Shop {
	s := &Shop{
		store: cfg.Store, catalogue: cfg.Catalogue, nodes: cfg.Nodes, providers: cfg.Providers,
		messenger: cfg.Messenger, settled: cfg.Settled, checked: cfg.Checked,
		now: cfg.Now,
	}
	if s.settled == nil {
		s.settled = func(PaymentEvent, Outcome, error) {}
	}
	if s.checked == nil {
		s.checked = func(NodeCheck) {}
	}
	if s.now == nil {
		s.now = func() time.Time { return time.Now().UTC() }
	}
	return s
}

// Catalogue returns what is sold now.
func (s *Shop) Catalogue() Catalogue { return *s.catalogue.Load() }

func (s *Shop) links(a Access) []Link {
	nodes := s.nodes()
	links := make([]Link, len(nodes))
	for i, n := range nodes {
		links[i] = Link{Node: n.Name(), URL: n.Link(a)}
	}
	return links
}
