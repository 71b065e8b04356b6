package shop

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what an error means to the one who meets it. Every driver has one
// table that turns a Kind into an answer, a status code or a retry.
type Kind uint8

// The kinds of error. Any error that is not an *Error is KindInternal.
const (
	KindInternal    Kind = iota // a fault of ours: fixed text, retried to a limit, then put aside
	KindInvalid                 // bad input: told to its sender, never retried
	KindNotFound                // the thing does not exist
	KindConflict                // the state forbids it
	KindForbidden               // not theirs, or they blocked us
	KindLimited                 // too fast: try again after RetryAfter
	KindUnavailable             // a dependency is down: retried until it is back
)

// String returns the kind's name as it appears in logs.
func (k Kind) String() string {
	return [...]string{"internal", "invalid", "not_found", "conflict", "forbidden", "limited", "unavailable"}[k]
}

// Error is an error whose meaning the drivers understand. Key names the text
// that a customer reads.
type Error struct {
	Kind       Kind
	Key        string
	RetryAfter time.Duration
	Err        error
}

// Error returns the key and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Key
	}
	return fmt.Sprintf("%s: %v", e.Key, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The errors that a use case answers with when a rule forbids something.
var (
	ErrNotFound     error = &Error{Kind: KindNotFound, Key: "not_found"}
	ErrNoOffer      error = &Error{Kind: KindNotFound, Key: "no_offer"}
	ErrOrderClosed  error = &Error{Kind: KindConflict, Key: "order_closed"}
	ErrNoLanguage   error = &Error{Kind: KindInvalid, Key: "no_language"}
	ErrForged       error = &Error{Kind: KindForbidden, Key: "forged"}
	ErrUndecodable  error = &Error{Kind: KindInvalid, Key: "undecodable"}
	ErrIrrelevant   error = &Error{Kind: KindInvalid, Key: "irrelevant"}
	ErrBeingPaid    error = &Error{Kind: KindConflict, Key: "being_paid"}
	ErrNotPayable   error = &Error{Kind: KindConflict, Key: "not_payable"}
	ErrWrongPayer   error = &Error{Kind: KindForbidden, Key: "wrong_payer"}
	ErrWrongAmount  error = &Error{Kind: KindInvalid, Key: "wrong_amount"}
	ErrWrongAsset   error = &Error{Kind: KindInvalid, Key: "wrong_asset"}
	ErrUnknownOrder error = &Error{Kind: KindNotFound, Key: "unknown_order"}
	ErrOrderPaid    error = &Error{Kind: KindConflict, Key: "order_already_paid"}
	ErrUnsettled    error = &Error{Kind: KindInternal, Key: "unsettled"} // money came, and a fault of ours keeps it from being booked
	ErrRefunded     error = &Error{Kind: KindConflict, Key: "refunded"}
	ErrPrepaid      error = &Error{Kind: KindConflict, Key: "prepaid"}
	ErrManyOrders   error = &Error{Kind: KindConflict, Key: "many_orders"}
	ErrMattersOpen  error = &Error{Kind: KindConflict, Key: "matters_open"}
	// ErrUnknownPurpose says that only a newer program knows what the order buys.
	ErrUnknownPurpose error = &Error{Kind: KindInternal, Key: "unknown_purpose"}
	ErrForgotten      error = &Error{Kind: KindConflict, Key: "forgotten"}
	ErrLaneLost       error = &Error{Kind: KindConflict, Key: "lane_lost"} // another process has taken the lane
	ErrHoldsResource  error = &Error{Kind: KindInternal, Key: "holds_resource"}
)

// Unavailable says that err is the fault of a dependency that may come back.
func Unavailable(err error) error {
	return &Error{Kind: KindUnavailable, Key: "unavailable", Err: err}
}

// Limited says that err asks to wait before the next try.
func Limited(after time.Duration, err error) error {
	return &Error{Kind: KindLimited, Key: "limited", RetryAfter: after, Err: err}
}

// Forbidden says that the other side refuses us for good.
func Forbidden(err error) error {
	return &Error{Kind: KindForbidden, Key: "forbidden", Err: err}
}

// KindOf returns the kind of the first *Error in err's chain.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}
