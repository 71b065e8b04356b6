package shop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Provider names a payment provider.
type Provider string

// The providers.
const (
	CryptoBot Provider = "cryptobot" // Crypto Pay, the payment service of @CryptoBot
	Stars     Provider = "stars"     // Telegram, in its own Stars
)

// Invoice is a provider's demand to pay an order.
type Invoice struct {
	Provider   Provider
	ExternalID string // the provider's own id
	OrderID    OrderID
	URL        string
	ExpiresAt  time.Time
}

// PaymentEvent is a provider's verified word that an invoice was paid.
type PaymentEvent struct {
	Provider   Provider
	ExternalID string // the provider's id of what was paid: one is money once
	OrderRef   string // what we gave the provider to know the order by, as it came back
	Invoiced   Money
	PaidAsset  string // what the customer paid in; empty if the provider did not say
	PaidAmount string // exact decimal in PaidAsset
	FeeAsset   string
	FeeAmount  string
	PaidAt     time.Time
	Refunded   bool   // it was given back: the word is of that
	Raw        []byte // the provider's own bytes, kept as evidence
}

// Outcome is what became of a payment event.
type Outcome string

// The outcomes of Settle. All three mean that the event is stored for good.
const (
	Settled   Outcome = "settled"   // money was booked and the subscription extended
	Duplicate Outcome = "duplicate" // it was settled, or flagged for the same reason, before; nothing changed
	Flagged   Outcome = "flagged"   // kept for an operator; no access was given
)

// Payments is what the shop asks of the storage about money that came in.
type Payments interface {
	// Unsettled returns those of the external ids that no settled event bears.
	Unsettled(ctx context.Context, provider Provider, externalIDs []string) ([]string, error)
	// Unflagged returns those of the external ids that no event bears which is flagged
	// for the reason.
	Unflagged(ctx context.Context, provider Provider, externalIDs []string, reason error) ([]string, error)
	// SaveSweep remembers that a sweep which began then read all of the provider's list.
	SaveSweep(ctx context.Context, provider Provider, began time.Time) error
	// Kept returns at most limit events that are flagged with ErrUnsettled, and that
	// no operator has looked at, the oldest first.
	Kept(ctx context.Context, limit int) ([]PaymentEvent, error)
}

// PaymentTx is what a transaction does with money that came in.
type PaymentTx interface {
	// LockOrderOf returns the order that the event pays, locked: the one that we gave the
	// provider to know it by, or the one that its invoice was made for; or ErrUnknownOrder.
	LockOrderOf(ctx context.Context, e PaymentEvent) (Order, error)
	// IsSettled says whether the payment was settled before.
	IsSettled(ctx context.Context, e PaymentEvent) (bool, error)
	// AddSettled stores an event that settles the order, and that a fault of ours keeps it
	// from that no more. One pair of provider and external id settles at most once.
	AddSettled(ctx context.Context, e PaymentEvent, id OrderID) error
	// AddFlagged keeps an event for an operator, of the order if it is not zero; fresh is
	// false if it was flagged for the same reason before.
	AddFlagged(ctx context.Context, e PaymentEvent, id OrderID, reason error) (fresh bool, err error)
	// PayOrder stores that the order is paid, or returns ErrOrderPaid if it was.
	PayOrder(ctx context.Context, o Order) error
	// Post writes a posting, unless there is one of the same kind and reference.
	Post(ctx context.Context, p Posting) error
	// Release books the other way round what was booked of the payment while it fitted no order.
	Release(ctx context.Context, e PaymentEvent) error
}

// Settle is the one path by which money becomes access. A nil error promises that
// the event is stored: settled, known before, or flagged for an operator. One that a fault
// of ours keeps from being settled is flagged, too, lest its sender repeat it in vain, and
// tried again by each sweep.
func (s *Shop) Settle(ctx context.Context, e PaymentEvent) (Outcome, error) {
	outcome, fault := s.settle(ctx, e)
	err := fault
	if isOurs(fault) {
		if outcome, err = s.keep(ctx, e, ErrUnsettled); err != nil {
			err = errors.Join(fault, err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("settle %s %s: %w", e.Provider, e.ExternalID, err)
	}
	s.settled(e, outcome, fault)
	return outcome, nil
}

// settle stores the event, and all that follows from it if it is what its order asks for.
func (s *Shop) settle(ctx context.Context, e PaymentEvent) (Outcome, error) {
	return do(ctx, s.store, "settle", func(ctx context.Context, tx Tx) (Outcome, error) {
		order, err := tx.LockOrderOf(ctx, e)
		if err == nil {
			settled, readErr := tx.IsSettled(ctx, e)
			if settled || readErr != nil {
				return Duplicate, readErr
			}
			err = order.CheckPayment(e, s.described(e.Provider).Assets)
		}
		switch {
		case isRule(err):
			return flag(ctx, tx, e, order.ID, err)
		case err != nil:
			return "", err
		}
		return Settled, s.pay(ctx, tx, order, e)
	})
}

// pay makes a payment of its order: an event, a paid order, what it bought, and a posting.
func (s *Shop) pay(ctx context.Context, tx Tx, o Order, e PaymentEvent) error {
	if err := tx.AddSettled(ctx, e, o.ID); err != nil {
		return err
	}
	o.Status, o.PaidAt = OrderPaid, s.now()
	if err := tx.PayOrder(ctx, o); err != nil {
		return err
	}
	if err := o.Purpose.fulfil(ctx, tx, o); err != nil {
		return err
	}
	if err := tx.Release(ctx, e); err != nil {
		return err
	}
	return tx.Post(ctx, saleOf(o, e))
}

// flag keeps an event that breaks a rule, and books the money; the same one again is a
// duplicate.
func flag(ctx context.Context, tx Tx, e PaymentEvent, id OrderID, rule error) (Outcome, error) {
	fresh, err := tx.AddFlagged(ctx, e, id, rule)
	if err != nil {
		return "", err
	}
	if !fresh {
		return Duplicate, nil
	}
	if posting, moves := e.Suspend(rule); moves {
		return Flagged, tx.Post(ctx, posting)
	}
	return Flagged, nil
}

// keep keeps an event for an operator and gives nothing; the same one for the same reason
// again is a Duplicate. ErrUnsettled is a reason until it is settled.
func (s *Shop) keep(ctx context.Context, e PaymentEvent, reason error) (Outcome, error) {
	return do(ctx, s.store, "flag", func(ctx context.Context, tx Tx) (Outcome, error) {
		order, err := tx.LockOrderOf(ctx, e)
		if err != nil && !isRule(err) {
			return "", err
		}
		return flag(ctx, tx, e, order.ID, reason)
	})
}

// isRule says whether err is a rule that a payment breaks, not a fault.
func isRule(err error) bool {
	switch KindOf(err) {
	case KindInvalid, KindNotFound, KindConflict, KindForbidden:
		return err != nil
	default:
		return false
	}
}

// isOurs says whether err is a fault that does not go away by trying again.
func isOurs(err error) bool {
	kind := KindOf(err)
	return err != nil && kind != KindUnavailable && kind != KindLimited
}

// Refunded keeps a provider's word that a payment was given back. What it bought
// stays as it is: an operator decides. A nil error promises that the event is stored.
func (s *Shop) Refunded(ctx context.Context, e PaymentEvent) (Outcome, error) {
	outcome, err := s.keep(ctx, e, ErrRefunded)
	if err != nil {
		return "", fmt.Errorf("refund %s %s: %w", e.Provider, e.ExternalID, err)
	}
	s.settled(e, outcome, nil)
	return outcome, nil
}

// Descriptor is what the shop knows of a provider by way of which customers pay.
type Descriptor struct {
	Provider Provider
	Currency string   // of its prices: what has none in it is not sold so
	Assets   []string // in which its invoices are paid; nil if in the currency itself
	Gateway  Gateway
}

// described returns what the shop knows of a provider; it is zero if that is not on.
func (s *Shop) described(p Provider) Descriptor {
	i := slices.IndexFunc(s.providers, func(d Descriptor) bool { return d.Provider == p })
	if i < 0 {
		return Descriptor{}
	}
	return s.providers[i]
}

// Gateway is a payment provider as the shop uses it.
type Gateway interface {
	// CreateInvoice asks the provider for an invoice. It is not safe to repeat:
	// FindInvoice first.
	CreateInvoice(ctx context.Context, o Order, description string) (Invoice, error)
	// FindInvoice returns the invoice that an earlier try made for the order, if
	// another would do harm.
	FindInvoice(ctx context.Context, id OrderID) (Invoice, bool, error)
	// RecentPaid returns a page of the latest payments that the provider knows of,
	// the first is 0, and whether there is another; with an error, those that could
	// be read. A payment may be on two pages.
	RecentPaid(ctx context.Context, page int) (events []PaymentEvent, more bool, err error)
}

// Poller is a Gateway that can be asked about single invoices.
type Poller interface {
	Gateway
	// PaidInvoices returns the payments among these invoices; with an error, those
	// that could be read.
	PaidInvoices(ctx context.Context, externalIDs []string) ([]PaymentEvent, error)
}

const (
	// invoiceBudget bounds how long the provider may take with an invoice.
	invoiceBudget = timeOfOne
	// invoiceLease keeps others from asking for it: they would not find one that the
	// provider is about to make.
	invoiceLease = invoiceBudget + 3*time.Second
)

// OpenInvoice gets the invoice of an order from the provider and sees that the
// customer is shown it. Safe to repeat, and to do twice at once: one asks the provider at
// a time, and an invoice whose answer was lost is found again.
func (s *Shop) OpenInvoice(ctx context.Context, id OrderID) error {
	o, err := s.store.Order(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case o.Status != OrderOpen:
		return nil
	case !o.Payable(s.now()): // it is about to be closed, or our clock is ahead
		return Unavailable(errors.New("the time to pay the order is over"))
	}
	if _, err := s.store.Invoice(ctx, id); !errors.Is(err, ErrNotFound) {
		return err // it is there, and the customer is told of it
	}
	invoice, err := s.invoiceFor(ctx, o)
	if err != nil {
		return err
	}
	return s.store.SaveInvoice(ctx, invoice, []Job{Notify{UserID: o.UserID, Notice: NoticeInvoice, OrderID: o.ID}})
}

func (s *Shop) invoiceFor(ctx context.Context, o Order) (Invoice, error) {
	gateway := s.described(o.Provider).Gateway
	if gateway == nil {
		return Invoice{}, s.refused(ctx, o, fmt.Errorf("order %s: provider %q is not set up", o.ID, o.Provider))
	}
	user, err := s.store.User(ctx, o.UserID)
	if err != nil {
		return Invoice{}, err
	}
	again, err := s.store.RequestInvoice(ctx, o.ID, o.Provider, invoiceLease)
	if err != nil {
		return Invoice{}, err
	}
	calling, cancel := context.WithTimeoutCause(ctx, invoiceBudget, errors.New("no invoice in time"))
	defer cancel()
	if again {
		found, ok, err := gateway.FindInvoice(calling, o.ID)
		if err != nil || ok {
			return found, err
		}
	}
	invoice, err := gateway.CreateInvoice(calling, o, s.messenger.Describe(user.Language, s.PlanOf(o.Access().Plan), o.Access().Period))
	switch kind := KindOf(err); {
	case err == nil || kind == KindUnavailable: // it may be about to make one
		return invoice, err
	case kind == KindLimited:
		return Invoice{}, errors.Join(err, s.store.ReleaseInvoice(ctx, o.ID, o.Provider))
	default:
		return Invoice{}, s.refused(ctx, o, err)
	}
}

// refused notes that the provider makes no such invoice, and returns err: from the second
// time on the customer is shown so.
func (s *Shop) refused(ctx context.Context, o Order, err error) error {
	tell := []Job{Notify{UserID: o.UserID, Notice: NoticeInvoice, OrderID: o.ID}}
	return errors.Join(err, s.store.RefuseInvoice(ctx, o.ID, o.Provider, tell))
}

// AskAboutPayments has the order's provider asked soon whether it was paid.
func (s *Shop) AskAboutPayments(ctx context.Context, o Order) error {
	if _, ok := s.described(o.Provider).Gateway.(Poller); ok {
		return s.store.Enqueue(ctx, PollInvoices{Provider: o.Provider})
	}
	return s.store.Enqueue(ctx, SweepPayments{Provider: o.Provider})
}

const (
	// pollWindow is how long after its making an unpaid invoice is asked about:
	// its life and a margin. What is paid later is found by SweepPayments.
	pollWindow = OrderLifetime + 5*time.Minute
	// pollBatch bounds how many invoices one poll asks about.
	pollBatch = 500
)

// PollInvoices asks the provider, or each if none is named, about unpaid invoices and
// settles what was paid without our hearing of it. Safe to repeat; one provider that
// fails does not stop the others.
func (s *Shop) PollInvoices(ctx context.Context, only Provider) error {
	var errs []error
	for _, d := range s.providers {
		if poller, ok := d.Gateway.(Poller); ok && (only == "" || only == d.Provider) {
			errs = append(errs, s.poll(ctx, d.Provider, poller))
		}
	}
	return errors.Join(errs...)
}

func (s *Shop) poll(ctx context.Context, provider Provider, poller Poller) error {
	ids, err := s.store.UnpaidInvoices(ctx, provider, s.now().Add(-pollWindow), pollBatch)
	if err != nil || len(ids) == 0 {
		return err
	}
	events, err := poller.PaidInvoices(ctx, ids)
	return errors.Join(err, s.settleAll(ctx, events))
}

// SweepPayments goes through the provider's own list of payments, or through that of
// each if none is named, and settles those of which nothing else has told us, and those
// that could not be settled before. Safe to repeat; one provider that fails does not
// stop the others.
func (s *Shop) SweepPayments(ctx context.Context, only Provider) error {
	kept, err := s.store.Kept(ctx, pollBatch)
	errs := []error{err, s.settleAll(ctx, kept)}
	for _, d := range s.providers {
		if d.Gateway != nil && (only == "" || only == d.Provider) {
			errs = append(errs, s.sweep(ctx, d.Provider, d.Gateway))
		}
	}
	return errors.Join(errs...)
}

func (s *Shop) sweep(ctx context.Context, provider Provider, gateway Gateway) error {
	began := s.now()
	var errs []error
	for page, more := 0, true; more; page++ {
		var events []PaymentEvent
		var err error
		events, more, err = gateway.RecentPaid(ctx, page)
		errs = append(errs, err, s.settleMissed(ctx, provider, events))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.store.SaveSweep(ctx, provider, began)
}

// settleMissed settles those of the events that are not settled yet, and keeps those
// refunds of which nobody has told us.
func (s *Shop) settleMissed(ctx context.Context, provider Provider, events []PaymentEvent) error {
	paid, refunds := make(map[string]PaymentEvent), make(map[string]PaymentEvent)
	for _, e := range events {
		if e.Refunded {
			refunds[e.ExternalID] = e
		} else {
			paid[e.ExternalID] = e
		}
	}
	unsettled, err := missed(paid, func(ids []string) ([]string, error) { return s.store.Unsettled(ctx, provider, ids) })
	errs := []error{err, s.settleAll(ctx, unsettled)}
	untold, err := missed(refunds, func(ids []string) ([]string, error) { return s.store.Unflagged(ctx, provider, ids, ErrRefunded) })
	errs = append(errs, err)
	for _, e := range untold {
		_, err := s.Refunded(ctx, e)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// missed returns those of the events, by id, that are among the ids that unknown returns.
func missed(events map[string]PaymentEvent, unknown func(ids []string) ([]string, error)) ([]PaymentEvent, error) {
	if len(events) == 0 {
		return nil, nil
	}
	ids, err := unknown(slices.Sorted(maps.Keys(events)))
	if err != nil {
		return nil, err
	}
	missed := make([]PaymentEvent, len(ids))
	for i, id := range ids {
		missed[i] = events[id]
	}
	return missed, nil
}

// settleAll settles every event; one that fails does not keep the others waiting.
func (s *Shop) settleAll(ctx context.Context, events []PaymentEvent) error {
	var errs []error
	for _, e := range events {
		_, err := s.Settle(ctx, e)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
