// Package shoptest has stand-ins for what the shop reaches outside: nodes, a
// payment provider and a messenger. The storage has none: tests use the real one.
package shoptest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/shop"
)

// ErrDown is what everything here answers while it is down.
var ErrDown = shop.Unavailable(errors.New("down"))

// Node is a VPN server in memory.
type Node struct {
	name string

	mu    sync.Mutex
	down  bool
	users map[shop.AccessID]shop.Access
	now   func() time.Time
	boot  time.Time
	mute  error           // what List answers; nil: the users
	lists int             // calls of List
	stall <-chan struct{} // until it is closed nothing is ensured; nil: at once
	first func()          // called once before the next Absent
	gone  int             // how often Absent was asked
}

// NewNode returns a node that is up and empty.
func NewNode(name string) *Node {
	return &Node{name: name, users: make(map[shop.AccessID]shop.Access), now: time.Now, boot: time.Now()}
}

// SetDown makes every call fail, or ends that.
func (n *Node) SetDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

// BeforeAbsent has do called once, before the next Absent takes effect.
func (n *Node) BeforeAbsent(do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.first = do
}

// Mute makes List alone fail, or ends that.
func (n *Node) Mute(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = err
}

// Lists returns how often List was called.
func (n *Node) Lists() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lists
}

// Stall makes every Ensure wait until the channel is closed.
func (n *Node) Stall(until <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stall = until
}

// Restart empties the node, as a restart of Xray does.
func (n *Node) Restart() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.users)
	n.boot = n.now().Add(time.Hour) // far enough to be noticed at once
}

// Follow makes the node age by a clock of the test's.
func (n *Node) Follow(clock func() time.Time) *Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now, n.boot = clock, clock()
	return n
}

// Put lets an access in without anybody's asking.
func (n *Node) Put(a shop.Access) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.users[a.ID] = a
}

// Has says whether the node lets exactly this access in.
func (n *Node) Has(a shop.Access) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.users[a.ID] == a
}

func (n *Node) do(ctx context.Context, what func()) error {
	if err := shop.Free(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return ErrDown
	}
	what()
	return nil
}

// Name implements shop.Node.
func (n *Node) Name() string { return n.name }

// Ensure implements shop.Node.
func (n *Node) Ensure(ctx context.Context, a shop.Access) error {
	n.mu.Lock()
	stall := n.stall
	n.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return n.do(ctx, func() { n.users[a.ID] = a })
}

// Absent implements shop.Node.
func (n *Node) Absent(ctx context.Context, id shop.AccessID) error {
	n.mu.Lock()
	first := n.first
	n.first, n.gone = nil, n.gone+1
	n.mu.Unlock()
	if first != nil {
		first()
	}
	return n.do(ctx, func() { delete(n.users, id) })
}

// Absences returns how often the node was asked to refuse somebody.
func (n *Node) Absences() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

// List implements shop.Node.
func (n *Node) List(ctx context.Context, most int) (list []shop.Access, err error) {
	err = n.do(ctx, func() { list = slices.Collect(maps.Values(n.users)) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists++
	switch {
	case err != nil:
		return nil, err
	case n.mute != nil:
		return nil, n.mute
	case len(list) > most:
		return nil, fmt.Errorf("%d users are more than %d", len(list), most)
	}
	return list, nil
}

// Count implements shop.Node.
func (n *Node) Count(ctx context.Context) (count int, err error) {
	err = n.do(ctx, func() { count = len(n.users) })
	return count, err
}

// Uptime implements shop.Node.
func (n *Node) Uptime(ctx context.Context) (up time.Duration, err error) {
	err = n.do(ctx, func() { up = n.now().Sub(n.boot) })
	return up, err
}

// Link implements shop.Node.
func (n *Node) Link(a shop.Access) string { return "vless://" + a.UUID.String() + "@" + n.name }

// Gateway is a payment provider in memory.
type Gateway struct {
	Down      atomic.Bool
	LoseReply atomic.Bool // the next invoice is made, but its answer is lost
	Refuse    atomic.Bool // to make invoices
	made      atomic.Int64
	provider  shop.Provider
	before    atomic.Pointer[func()]

	mu       sync.Mutex
	invoices map[string]shop.Order // by external id
	paid     map[string]bool
}

// NewGateway returns a provider without invoices.
func NewGateway(p shop.Provider) *Gateway {
	return &Gateway{provider: p, invoices: make(map[string]shop.Order), paid: make(map[string]bool)}
}

// Made returns how many invoices were made.
func (g *Gateway) Made() int { return int(g.made.Load()) }

// Pay pays the order's invoice and returns the provider's word of it.
func (g *Gateway) Pay(o shop.Order) shop.PaymentEvent {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, known := range g.invoices {
		if known.ID == o.ID {
			g.paid[id] = true
			return g.event(id, known)
		}
	}
	return g.event("none", o)
}

// Forget has the provider's list tell of no payment so far.
func (g *Gateway) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.paid)
}

func (g *Gateway) event(id string, o shop.Order) shop.PaymentEvent {
	e := shop.PaymentEvent{
		Provider: g.provider, ExternalID: id, OrderRef: o.ID.String(), Invoiced: o.Quote.Total,
		PaidAt: time.Now(), Raw: []byte(`{}`),
	}
	if g.provider == shop.CryptoBot {
		e.PaidAsset, e.PaidAmount = "USDT", "1"
	}
	return e
}

func (g *Gateway) invoice(id string, o shop.Order) shop.Invoice {
	return shop.Invoice{Provider: g.provider, ExternalID: id, OrderID: o.ID, URL: "https://pay.example/" + id, ExpiresAt: o.ExpiresAt}
}

func (g *Gateway) free(ctx context.Context) error {
	if err := shop.Free(ctx); err != nil {
		return err
	}
	if g.Down.Load() {
		return ErrDown
	}
	return nil
}

// BeforeInvoice has do called once, when the next invoice is asked for and not made yet.
func (g *Gateway) BeforeInvoice(do func()) { g.before.Store(&do) }

// CreateInvoice implements shop.Gateway.
func (g *Gateway) CreateInvoice(ctx context.Context, o shop.Order, _ string) (shop.Invoice, error) {
	if err := g.free(ctx); err != nil {
		return shop.Invoice{}, err
	}
	if do := g.before.Swap(nil); do != nil {
		(*do)()
	}
	if g.Refuse.Load() {
		return shop.Invoice{}, errors.New("refused")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	id := fmt.Sprint(g.made.Add(1))
	g.invoices[id] = o
	if g.LoseReply.Swap(false) {
		return shop.Invoice{}, ErrDown
	}
	return g.invoice(id, o), nil
}

// FindInvoice implements shop.Gateway.
func (g *Gateway) FindInvoice(ctx context.Context, id shop.OrderID) (shop.Invoice, bool, error) {
	if err := g.free(ctx); err != nil {
		return shop.Invoice{}, false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for external, o := range g.invoices {
		if o.ID == id {
			return g.invoice(external, o), true, nil
		}
	}
	return shop.Invoice{}, false, nil
}

// PaidInvoices implements shop.Poller.
func (g *Gateway) PaidInvoices(ctx context.Context, ids []string) ([]shop.PaymentEvent, error) {
	return g.events(ctx, func(id string) bool { return slices.Contains(ids, id) })
}

// RecentPaid implements shop.Gateway.
func (g *Gateway) RecentPaid(ctx context.Context, _ int) (events []shop.PaymentEvent, more bool, err error) {
	events, err = g.events(ctx, func(string) bool { return true })
	return events, false, err
}

func (g *Gateway) events(ctx context.Context, wanted func(string) bool) (events []shop.PaymentEvent, err error) {
	if err := g.free(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.paid {
		if wanted(id) {
			events = append(events, g.event(id, g.invoices[id]))
		}
	}
	return events, nil
}

// Messenger keeps what it is given.
type Messenger struct {
	mu   sync.Mutex
	err  error
	sent []shop.Message
}

// Fail makes every delivery end with err; nil ends that.
func (m *Messenger) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// Sent returns the notices that were delivered, in order.
func (m *Messenger) Sent() (sent []shop.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.sent)
}

// Describe implements shop.Messenger.
func (m *Messenger) Describe(_ shop.Language, p shop.Plan, _ time.Duration) string {
	return string(p.ID)
}

// Tell implements shop.Messenger.
func (m *Messenger) Tell(ctx context.Context, msg shop.Message) error {
	if err := shop.Free(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.sent = append(m.sent, msg)
	return nil
}

// Providers describes Crypto Pay, which is paid in USDT, and Telegram in Stars.
func Providers(cryptoPay, stars shop.Gateway) []shop.Descriptor {
	return []shop.Descriptor{
		{Provider: shop.CryptoBot, Currency: "RUB", Assets: []string{"USDT"}, Gateway: cryptoPay},
		{Provider: shop.Stars, Currency: shop.XTR, Gateway: stars},
	}
}

// By describes one of them; it is zero for a provider that is none of them.
func By(p shop.Provider) shop.Descriptor {
	for _, d := range Providers(nil, nil) {
		if d.Provider == p {
			return d
		}
	}
	return shop.Descriptor{}
}
