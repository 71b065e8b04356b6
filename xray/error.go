package xray

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sallyport/shop"
)

// classify says whether the node could not be asked, or did answer and refused.
// The cause is rebuilt from gRPC's with every secret masked, never wrapped.
func (n *Node) classify(ctx context.Context, err error) error {
	s := status.Convert(err)
	cause := status.Error(s.Code(), n.secret.ReplaceAllString(s.Message(), "[secret]"))
	switch s.Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		if ctx.Err() != nil {
			cause = context.Cause(ctx) // says whose time limit it was
		}
		return shop.Unavailable(cause)
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		return shop.Unavailable(cause)
	default:
		return fault(cause)
	}
}

// refused says that the node answered, and with a refusal: of which sort, it tells
// only in words.
func refused(err error) bool {
	s, answered := status.FromError(err)
	return answered && s.Code() == codes.Unknown && shop.KindOf(err) == shop.KindInternal
}

// fault marks err as ours or the node's to mend. It must carry its kind: outbound
// takes an error without one for an outage.
func fault(err error) error {
	return &shop.Error{Kind: shop.KindInternal, Key: "internal", Err: err}
}

func invalid(err error) error {
	return &shop.Error{Kind: shop.KindInvalid, Key: "invalid_access", Err: err}
}
