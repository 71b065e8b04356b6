package shop

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// AccessID names one customer's access on every node. It is given once and never
// reused; Xray knows it as the email of a client.
type AccessID string

// Access is what a node must know to let a customer in. The UUID is the
// customer's secret: it stays the same over renewal and over expiry and return.
type Access struct {
	ID   AccessID
	UUID uuid.UUID
}

// Node is one VPN server. All of its methods may be repeated safely; an error of
// KindUnavailable means that the node could not be asked, never that it is empty.
type Node interface {
	// Name is the node's name in the catalogue.
	Name() string
	// Ensure makes the node let exactly this access in.
	Ensure(ctx context.Context, a Access) error
	// Absent makes the node refuse new connections of this access.
	Absent(ctx context.Context, id AccessID) error
	// List returns every access that the node lets in now. It takes the longer the more
	// there are; more than most are an error.
	List(ctx context.Context, most int) ([]Access, error)
	// Count returns how many there are: cheaper than List.
	Count(ctx context.Context) (int, error)
	// Uptime returns how long the node's Xray has been running.
	Uptime(ctx context.Context) (time.Duration, error)
	// Link returns the vless:// link by which a customer connects.
	Link(a Access) string
}

// Link is one server of a customer's key.
type Link struct {
	Node string
	URL  string
}
