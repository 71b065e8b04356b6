package shop

import (
	"context"
	"errors"
	"time"
)

// Checkout is a provider's question, before it charges the payer, whether an order
// may be paid.
type Checkout struct {
	ID       string // the provider's own: asked again, it is the same checkout
	OrderRef string // what we gave the provider to know the order by, as it came back
	Payer    UserID
	Amount   Money
}

// checkoutLasts is how long after our consent a payment may still be made. Until then a
// checkout keeps others off, and after that until the provider has told us of all payments
// up to then: we may have been away when it did.
const checkoutLasts = 2 * time.Minute

const (
	// consentSlack is how soon after a payment its update may come before we have noted
	// that the provider took our consent: both are on their way at once.
	consentSlack = 2 * time.Second
	// consentPause is how soon to look for the note again.
	consentPause = 250 * time.Millisecond
)

// Checkouts is what the shop asks of the storage about checkouts.
type Checkouts interface {
	// BeginCheckout notes on an open order that this checkout is about to be agreed to;
	// again says that this was noted before. It reports false, and changes nothing, if
	// another was begun that may still be paid: for so long, and then until a sweep that
	// began later has not found its payment; or if this one has been agreed to before.
	BeginCheckout(ctx context.Context, id OrderID, checkout string, now time.Time, lasts time.Duration) (begun, again bool, err error)
	// EndCheckout notes that the provider took our consent to this checkout, or removes
	// the note of it.
	EndCheckout(ctx context.Context, id OrderID, checkout string, taken bool) error
}

// CheckCheckout returns nil if this payer may be charged this amount for the
// order now, or the rule that forbids it.
func (o Order) CheckCheckout(c Checkout, now time.Time) error {
	switch {
	case o.UserID != c.Payer:
		return ErrWrongPayer
	case !o.Payable(now):
		return ErrNotPayable
	case c.Amount != o.Quote.Total:
		return ErrWrongAmount
	}
	return nil
}

// BeginCheckout returns nil if the provider may be told to charge the payer, or the
// rule that forbids it: ErrBeingPaid while another checkout of the order may still be
// paid, so that an order is charged for once; then the provider's list is read soon.
// EndCheckout follows when the provider has answered. again says that the provider was,
// or may have been, told so before.
func (s *Shop) BeginCheckout(ctx context.Context, c Checkout) (again bool, err error) {
	id, err := ParseOrderID(c.OrderRef)
	if err != nil {
		return false, err
	}
	o, err := s.store.Order(ctx, id)
	if err != nil {
		return false, err
	}
	now := s.now()
	if err := o.CheckCheckout(c, now); err != nil {
		return false, err
	}
	begun, again, err := s.store.BeginCheckout(ctx, id, c.ID, now, checkoutLasts)
	if err == nil && !begun {
		return false, errors.Join(ErrBeingPaid, s.store.Enqueue(ctx, SweepPayments{Provider: o.Provider}))
	}
	return again, err
}

// EndCheckout notes what the provider said to our consent: it took it, so the payment
// is about to come, or refused it, so the customer may try again at once.
func (s *Shop) EndCheckout(ctx context.Context, c Checkout, taken bool) error {
	id, err := ParseOrderID(c.OrderRef)
	if err != nil {
		return err
	}
	return s.store.EndCheckout(ctx, id, c.ID, taken)
}

// Credit takes the word of an update that an order was paid. It is settled by that
// alone if the provider took our consent to its checkout, which nobody can forge who
// can only send us updates. Right after the payment that may not be noted yet: then it is
// KindLimited. Otherwise it is a hint: the provider is asked soon for its own list, and
// what is there is settled.
func (s *Shop) Credit(ctx context.Context, e PaymentEvent) error {
	agreed, err := s.agreed(ctx, e.OrderRef)
	switch {
	case err != nil:
		return err
	case !agreed && s.now().Sub(e.PaidAt).Abs() < consentSlack:
		return Limited(consentPause, errors.New("the consent to the payment is not noted yet"))
	case !agreed:
		return s.store.Enqueue(ctx, SweepPayments{Provider: e.Provider})
	}
	_, err = s.Settle(ctx, e)
	return err
}

// agreed says whether there is an order with a checkout to which the provider took
// our consent.
func (s *Shop) agreed(ctx context.Context, ref string) (bool, error) {
	id, err := ParseOrderID(ref)
	if err != nil {
		return false, nil
	}
	o, err := s.store.Order(ctx, id)
	if errors.Is(err, ErrUnknownOrder) {
		return false, nil
	}
	return o.Agreed, err
}
