package shop

import "context"

// Work is how the shop changes what is stored.
type Work interface {
	// Do runs do in one transaction: all that do stores by way of tx is there once Do
	// returns nil, and nothing of it otherwise. When the storage breaks a transaction off
	// because of others, do is run again, a few times at most, so it must change nothing
	// else. Its context holds a connection: nothing but tx may be called with it.
	Do(ctx context.Context, op string, do func(ctx context.Context, tx Tx) error) error
}

// Tx is a transaction. What it locks stays so until its end, and everybody locks in the
// same order, lest two wait for each other: user, orders, subscriptions, each by its id.
type Tx interface {
	UserTx
	OrderTx
	PaymentTx
	SubscriptionTx
	// Enqueue stores jobs that follow from what is stored.
	Enqueue(ctx context.Context, jobs ...Job) error
}

// do is Do of a function that returns something.
func do[T any](ctx context.Context, w Work, op string, f func(ctx context.Context, tx Tx) (T, error)) (result T, err error) {
	err = w.Do(ctx, op, func(ctx context.Context, tx Tx) (err error) {
		result, err = f(ctx, tx)
		return err
	})
	return result, err
}
