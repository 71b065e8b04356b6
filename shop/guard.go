package shop

import (
	"context"
	"fmt"
)

type holdKey struct{}

// Hold marks ctx as holding what: a database connection, a transaction, a lock.
// No network call and no second acquire may happen under a marked context.
func Hold(ctx context.Context, what string) context.Context {
	return context.WithValue(ctx, holdKey{}, what)
}

// Free returns nil if ctx holds nothing, else ErrHoldsResource naming what is
// held. Every outbound transport and every acquire asks it first.
func Free(ctx context.Context) error {
	if what, held := ctx.Value(holdKey{}).(string); held {
		return fmt.Errorf("%w: %s", ErrHoldsResource, what)
	}
	return nil
}
