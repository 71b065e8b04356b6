package xray

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"sallyport/shop"
)

// rounds bounds how often Ensure starts over when somebody else changes the same
// client between its calls.
const rounds = 3

// Ensure makes the node let exactly this access in, with the node's flow; a
// client of the same id with another UUID or flow is replaced. Ids that differ
// only in letter case are one id. An empty id, a malformed one and a nil UUID are
// refused as KindInvalid without asking the node.
func (n *Node) Ensure(ctx context.Context, a shop.Access) error {
	a, err := canonical(a)
	if err == nil && a.UUID == uuid.Nil {
		err = invalid(errors.New("uuid is nil"))
	}
	if err == nil {
		err = n.do(ctx, "ensure", func(ctx context.Context) error { return n.ensure(ctx, a) })
	}
	return aboutAccess(a.ID, err)
}

func (n *Node) ensure(ctx context.Context, want shop.Access) error {
	var refusal error
	for range rounds {
		refusal = n.add(ctx, want)
		if !refused(refusal) {
			return refusal
		}
		got, found, err := n.find(ctx, want.ID)
		switch {
		case err != nil:
			return err
		case found && got == want:
			return nil
		case found:
			if err := n.remove(ctx, want.ID); err != nil && !refused(err) {
				return err
			}
		}
	}
	return refusal
}

// Absent makes the node refuse new connections of this access; the ones that are
// open live on. It succeeds if the access is not there. An empty id and a
// malformed one are refused as KindInvalid without asking the node.
func (n *Node) Absent(ctx context.Context, id shop.AccessID) error {
	a, err := canonical(shop.Access{ID: id})
	if err == nil {
		err = n.do(ctx, "absent", func(ctx context.Context) error { return n.absent(ctx, a.ID) })
	}
	return aboutAccess(a.ID, err)
}

func (n *Node) absent(ctx context.Context, id shop.AccessID) error {
	refusal := n.remove(ctx, id)
	if !refused(refusal) {
		return refusal
	}
	_, found, err := n.find(ctx, id)
	if err != nil {
		return err
	}
	if found {
		return refusal
	}
	return nil
}

// List returns every access that the node lets in now, in no order, ids in lower
// case. A client whose flow is not the node's is there with a nil UUID: it cannot
// use the link it was given, and so never equals the access it should be. The more
// there may be, the longer it may take; an answer that is too long for most is an error,
// and is not read.
func (n *Node) List(ctx context.Context, most int) ([]shop.Access, error) {
	var all []shop.Access
	err := n.named("list", n.cfg.Host.DoWithin(ctx, "list", listBudget+time.Duration(most)*time.Second/listRate, func(ctx context.Context) error {
		var err error
		all, err = n.list(ctx, listBytes+most*listBytesEach)
		return err
	}))
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Count returns how many accesses the node lets in: cheaper than List.
func (n *Node) Count(ctx context.Context) (int, error) {
	var count int
	err := n.do(ctx, "count", func(ctx context.Context) error {
		var err error
		count, err = n.count(ctx)
		return err
	})
	return count, err
}

// Uptime returns how long the node's Xray has been running, in whole seconds.
func (n *Node) Uptime(ctx context.Context) (time.Duration, error) {
	var up time.Duration
	err := n.do(ctx, "uptime", func(ctx context.Context) error {
		var err error
		up, err = n.uptime(ctx)
		return err
	})
	return up, err
}

func aboutAccess(id shop.AccessID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("access %q: %w", id, err)
}

// canonical returns a with its id as Xray compares it. Xray would accept a client
// without an email, and then never list it nor remove it; >>> is the separator of
// its counters.
func canonical(a shop.Access) (shop.Access, error) {
	id := string(a.ID)
	strange := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	switch {
	case id == "":
		return a, invalid(errors.New("id is empty"))
	case !utf8.ValidString(id), strings.ContainsFunc(id, strange), strings.Contains(id, ">>>"):
		return a, invalid(errors.New("id is malformed"))
	}
	a.ID = shop.AccessID(strings.ToLower(id))
	return a, nil
}
