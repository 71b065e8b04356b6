package shop

import (
	"context"
	"time"
)

// Purpose is what an order buys. It alone says what changes when the order is paid.
type Purpose interface {
	// owed is the account to which the money of a paid order goes.
	owed() Account
	// fulfil gives what was bought, in the transaction that pays the order, and stores the
	// jobs that follow.
	fulfil(ctx context.Context, tx Tx, o Order) error
}

// BuyAccess is the purpose of an order of a plan for a period.
type BuyAccess struct {
	Plan     PlanID
	PeriodID PeriodID
	Period   time.Duration
}

func (BuyAccess) owed() Account { return SalesAccount }

// fulfil extends the customer's subscription, and has the nodes and the customer hear of it.
func (p BuyAccess) fulfil(ctx context.Context, tx Tx, o Order) error {
	sub, err := tx.LockSubscription(ctx, o.UserID)
	if err != nil {
		return err
	}
	if err := tx.SaveSubscriptions(ctx, sub.Extend(p.Plan, p.Period, o.PaidAt)); err != nil {
		return err
	}
	return tx.Enqueue(ctx, ConvergeUser{UserID: o.UserID})
}

// UnknownPurpose is one that a newer program has placed an order for. Whoever meets it
// leaves the order to that program.
type UnknownPurpose struct{ Kind string }

func (UnknownPurpose) owed() Account { return SuspenseAccount }

// fulfil returns ErrUnknownPurpose: the payment is kept, and tried again by each sweep.
func (UnknownPurpose) fulfil(context.Context, Tx, Order) error { return ErrUnknownPurpose }
