package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// OrderID names an order. Payment providers carry it as the invoice's payload.
type OrderID struct{ uuid.UUID }

// NewOrderID returns a fresh id; ids grow with time.
func NewOrderID() OrderID { return OrderID{uuid.Must(uuid.NewV7())} }

// ParseOrderID reads an id as String writes it, or returns ErrUnknownOrder.
func ParseOrderID(s string) (OrderID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return OrderID{}, fmt.Errorf("order id: %w", ErrUnknownOrder)
	}
	return OrderID{id}, nil
}

// OrderStatus is where an order is in its life.
type OrderStatus string

// The life of an order: open -> paid | expired | cancelled. A payment that comes
// late is still a payment: expired and cancelled orders become paid too.
const (
	OrderOpen      OrderStatus = "open"
	OrderPaid      OrderStatus = "paid"
	OrderExpired   OrderStatus = "expired"
	OrderCancelled OrderStatus = "cancelled"
)

// OrderLifetime is how long a customer has to pay.
const OrderLifetime = 30 * time.Minute

// Order is a customer's wish to buy something. Everything that the purchase means
// is fixed in it when it is placed.
type Order struct {
	ID        OrderID
	UserID    UserID
	Purpose   Purpose
	Provider  Provider
	Quote     Quote    // what it costs
	Assets    []string // in which it may be paid; nil if the settings say so
	Status    OrderStatus
	CreatedAt time.Time
	ExpiresAt time.Time
	PaidAt    time.Time // zero until paid
	Agreed    bool      // whether the provider took our consent to charge for it
}

// NewOrder returns an open order for the offer at its price of today, or ErrNoOffer
// if the provider does not sell it.
func NewOrder(user UserID, offer Offer, by Descriptor, now time.Time) (Order, error) {
	quote, err := offer.Price(by)
	return Order{
		ID: NewOrderID(), UserID: user, Provider: by.Provider, Assets: by.Assets, Quote: quote,
		Purpose: BuyAccess{Plan: offer.Plan.ID, PeriodID: offer.Period.ID, Period: offer.Period.Length},
		Status:  OrderOpen, CreatedAt: now, ExpiresAt: now.Add(OrderLifetime),
	}, err
}

// Payable says whether the customer may start to pay this order now.
func (o Order) Payable(now time.Time) bool {
	return o.Status == OrderOpen && o.ExpiresAt.After(now)
}

// same says whether both orders are the same wish: what, how paid, at what price.
func (o Order) same(other Order) bool {
	return o.Purpose == other.Purpose && o.Provider == other.Provider && o.Quote == other.Quote
}

// Access returns the access that the order buys; it is zero if it buys something else.
func (o Order) Access() BuyAccess {
	access, _ := o.Purpose.(BuyAccess)
	return access
}

// CheckPayment returns nil if the payment is what the order asks for, or the rule
// it breaks. How late the payment is does not matter. acceptedAssets are those of today,
// for an order that names none.
func (o Order) CheckPayment(e PaymentEvent, acceptedAssets []string) error {
	if o.Assets != nil {
		acceptedAssets = o.Assets
	}
	switch {
	case o.Status == OrderPaid:
		return ErrOrderPaid
	case o.UserID <= 0:
		return ErrForgotten
	case e.Invoiced != o.Quote.Total:
		return ErrWrongAmount
	case e.PaidAsset != "" && !slices.Contains(acceptedAssets, e.PaidAsset):
		return ErrWrongAsset
	}
	return nil
}

// Orders is what the shop asks of the storage about orders and their invoices.
type Orders interface {
	// OrdersSince returns how many orders the user has placed since then.
	OrdersSince(ctx context.Context, id UserID, since time.Time) (int, error)
	// Order returns the order, or ErrUnknownOrder.
	Order(ctx context.Context, id OrderID) (Order, error)
	// CloseOrder moves an open order to status; it reports whether it was open.
	CloseOrder(ctx context.Context, id OrderID, status OrderStatus) (bool, error)
	// RequestInvoice records that an invoice is about to be asked for, by nobody else
	// for as long as the lease, and reports whether it was asked for before. It returns
	// KindLimited while another has the lease.
	RequestInvoice(ctx context.Context, id OrderID, provider Provider, lease time.Duration) (again bool, err error)
	// ReleaseInvoice ends the lease: the provider has said that it made none.
	ReleaseInvoice(ctx context.Context, id OrderID, provider Provider) error
	// SaveInvoice stores the invoice of an order with the jobs that follow.
	SaveInvoice(ctx context.Context, i Invoice, jobs []Job) error
	// RefuseInvoice ends the lease, and notes that the provider has refused to make the
	// order's invoice; with the second refusal it stores the jobs.
	RefuseInvoice(ctx context.Context, id OrderID, provider Provider, jobs []Job) error
	// Trouble returns what is wrong with the payment of an order.
	Trouble(ctx context.Context, id OrderID) (Trouble, error)
	// Invoice returns the invoice of an order, or ErrNotFound.
	Invoice(ctx context.Context, id OrderID) (Invoice, error)
	// UnpaidInvoices returns the external ids of at most limit invoices made since
	// then whose order is not paid, newest first.
	UnpaidInvoices(ctx context.Context, provider Provider, since time.Time, limit int) ([]string, error)
}

// OrderTx is what a transaction does with orders.
type OrderTx interface {
	// LockOpenOrder returns the user's open order, locked, or ErrNotFound.
	LockOpenOrder(ctx context.Context, user UserID) (Order, error)
	// AddOrder stores an order that is open.
	AddOrder(ctx context.Context, o Order) error
	// CancelOrder closes an order that is open and locked.
	CancelOrder(ctx context.Context, id OrderID) error
	// ExpireOrders closes at most limit open orders that were not paid in time, and
	// returns them.
	ExpireOrders(ctx context.Context, now time.Time, limit int) ([]Order, error)
	// LockUndelivered returns the user's paid orders whose access no node has confirmed,
	// locked.
	LockUndelivered(ctx context.Context, user UserID) ([]OrderID, error)
	// DeliverOrders notes that a node has confirmed their access.
	DeliverOrders(ctx context.Context, ids []OrderID) error
}

// Price returns what the offer costs by way of a provider, or ErrNoOffer if it is not sold so.
func (s *Shop) Price(offer Offer, p Provider) (Quote, error) { return offer.Price(s.described(p)) }

// PlaceOrder makes the customer's order for an offer, to be paid by way of a
// provider, and sees to its invoice. The same wish repeated while its order is open
// returns that order; another wish replaces it. It returns ErrNoOffer for what is
// not sold, and ErrPrepaid or ErrManyOrders for what is beyond the catalogue's limits.
func (s *Shop) PlaceOrder(ctx context.Context, user UserID, plan PlanID, period PeriodID, p Provider) (Order, error) {
	offer, err := s.Catalogue().Offer(plan, period)
	if err != nil {
		return Order{}, err
	}
	now := s.now()
	fresh, err := NewOrder(user, offer, s.described(p), now)
	if err != nil {
		return Order{}, err
	}
	beyond := s.withinLimits(ctx, fresh)
	return do(ctx, s.store, "place order", func(ctx context.Context, tx Tx) (Order, error) {
		if _, err := tx.LockUser(ctx, user); err != nil {
			return Order{}, err
		}
		open, err := tx.LockOpenOrder(ctx, user)
		isOpen := err == nil
		switch {
		case isOpen && open.Payable(now) && open.same(fresh):
			return open, nil
		case !isOpen && !errors.Is(err, ErrNotFound):
			return Order{}, err
		case beyond != nil:
			return Order{}, beyond
		}
		if isOpen {
			if err := tx.CancelOrder(ctx, open.ID); err != nil {
				return Order{}, err
			}
		}
		if err := tx.AddOrder(ctx, fresh); err != nil {
			return Order{}, err
		}
		return fresh, tx.Enqueue(ctx, OpenInvoice{OrderID: fresh.ID, Provider: fresh.Provider})
	})
}

// withinLimits returns nil if the customer may place the order.
func (s *Shop) withinLimits(ctx context.Context, fresh Order) error {
	limits := s.Catalogue().Limits
	if limits.Prepaid > 0 {
		sub, err := s.store.Subscription(ctx, fresh.UserID)
		if err != nil {
			return err
		}
		if access := fresh.Access(); sub.Extend(access.Plan, access.Period, fresh.CreatedAt).ExpiresAt.After(fresh.CreatedAt.Add(limits.Prepaid)) {
			return ErrPrepaid
		}
	}
	if limits.Orders > 0 {
		placed, err := s.store.OrdersSince(ctx, fresh.UserID, fresh.CreatedAt.Add(-time.Hour))
		if err != nil {
			return err
		}
		if placed >= limits.Orders {
			return ErrManyOrders
		}
	}
	return nil
}

// OrderOf returns the customer's own order; a stranger's is ErrUnknownOrder.
func (s *Shop) OrderOf(ctx context.Context, user UserID, id OrderID) (Order, error) {
	o, err := s.store.Order(ctx, id)
	if err != nil {
		return Order{}, err
	}
	if o.UserID != user {
		return Order{}, ErrUnknownOrder
	}
	return o, nil
}

// PlanOf returns the plan with this id; one that is sold no more is known by its id
// alone, and has no name.
func (s *Shop) PlanOf(id PlanID) Plan {
	plan, err := s.Catalogue().Plan(id)
	if err != nil {
		return Plan{ID: id}
	}
	return plan
}

// InvoiceOf returns the invoice by which an order is paid, or ErrNotFound while
// there is none yet.
func (s *Shop) InvoiceOf(ctx context.Context, id OrderID) (Invoice, error) {
	return s.store.Invoice(ctx, id)
}

// Trouble is what is wrong with the payment of an order.
type Trouble struct {
	Refused  bool // the provider has refused its invoice, more than once
	Doubtful bool // money came for it that is flagged, and no operator has looked at it yet
}

// TroubleOf returns what is wrong with the payment of an order.
func (s *Shop) TroubleOf(ctx context.Context, id OrderID) (Trouble, error) {
	return s.store.Trouble(ctx, id)
}

// CancelOrder closes the customer's open order. ErrOrderClosed says that it was
// closed already.
func (s *Shop) CancelOrder(ctx context.Context, user UserID, id OrderID) error {
	if _, err := s.OrderOf(ctx, user, id); err != nil {
		return err
	}
	closed, err := s.store.CloseOrder(ctx, id, OrderCancelled)
	if err == nil && !closed {
		return ErrOrderClosed
	}
	return err
}
