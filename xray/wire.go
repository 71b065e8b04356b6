package xray

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"sallyport/shop"
	"sallyport/xray/xrayapi"
)

// The names that travel on the wire: upstream's, unlike our messages' own.
const (
	methodAlter  = "/xray.app.proxyman.command.HandlerService/AlterInbound"
	methodUsers  = "/xray.app.proxyman.command.HandlerService/GetInboundUsers"
	methodCount  = "/xray.app.proxyman.command.HandlerService/GetInboundUsersCount"
	methodUptime = "/xray.app.stats.command.StatsService/GetSysStats"

	typeAdd     = "xray.app.proxyman.command.AddUserOperation"
	typeRemove  = "xray.app.proxyman.command.RemoveUserOperation"
	typeAccount = "xray.proxy.vless.Account"
)

const (
	// listBudget is how long an answer to List may take, and listRate how many clients
	// make it a second longer: a hundred thousand take a node 0.3 s, and us as long.
	listBudget = 3 * time.Second
	listRate   = 20_000
	// listBytes and listBytesEach are how long it may be: a client takes some 100 bytes.
	listBytes     = 1 << 20
	listBytesEach = 256
)

func (n *Node) add(ctx context.Context, a shop.Access) error {
	account, err := typed(typeAccount, &xrayapi.VlessAccount{Id: a.UUID.String(), Flow: n.cfg.Flow})
	if err != nil {
		return err
	}
	return n.alter(ctx, typeAdd, &xrayapi.AddUserOperation{
		User: &xrayapi.User{Email: string(a.ID), Account: account},
	})
}

func (n *Node) remove(ctx context.Context, id shop.AccessID) error {
	return n.alter(ctx, typeRemove, &xrayapi.RemoveUserOperation{Email: string(id)})
}

func (n *Node) alter(ctx context.Context, name string, operation proto.Message) error {
	op, err := typed(name, operation)
	if err != nil {
		return err
	}
	in := &xrayapi.AlterInboundRequest{Tag: n.cfg.Inbound, Operation: op}
	return n.call(ctx, methodAlter, in, &xrayapi.Empty{})
}

// find returns the client of this id. Xray answers for a missing one with a
// client whose every field is empty.
func (n *Node) find(ctx context.Context, id shop.AccessID) (shop.Access, bool, error) {
	in := &xrayapi.GetInboundUserRequest{Tag: n.cfg.Inbound, Email: string(id)}
	var out xrayapi.GetInboundUserResponse
	if err := n.call(ctx, methodUsers, in, &out); err != nil {
		return shop.Access{}, false, err
	}
	users := out.GetUsers()
	if len(users) != 1 || users[0].GetEmail() == "" {
		return shop.Access{}, false, nil
	}
	a, err := n.access(users[0])
	return a, err == nil, err
}

func (n *Node) list(ctx context.Context, limit int) ([]shop.Access, error) {
	in := &xrayapi.GetInboundUserRequest{Tag: n.cfg.Inbound}
	var out xrayapi.GetInboundUserResponse
	if err := n.call(ctx, methodUsers, in, &out, grpc.MaxCallRecvMsgSize(limit)); err != nil {
		return nil, err
	}
	all := make([]shop.Access, 0, len(out.GetUsers()))
	for _, u := range out.GetUsers() {
		a, err := n.access(u)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (n *Node) count(ctx context.Context) (int, error) {
	var out xrayapi.GetInboundUsersCountResponse
	err := n.call(ctx, methodCount, &xrayapi.GetInboundUserRequest{Tag: n.cfg.Inbound}, &out)
	return int(out.GetCount()), err
}

func (n *Node) uptime(ctx context.Context) (time.Duration, error) {
	var out xrayapi.SysStatsResponse
	err := n.call(ctx, methodUptime, &xrayapi.Empty{}, &out)
	return time.Duration(out.GetUptime()) * time.Second, err
}

func (n *Node) call(ctx context.Context, method string, in, out proto.Message, opts ...grpc.CallOption) error {
	if err := n.conn.Invoke(ctx, method, in, out, opts...); err != nil {
		return n.classify(ctx, err)
	}
	return nil
}

// access reads a client that Xray returned. One of another flow gets a nil UUID.
func (n *Node) access(u *xrayapi.User) (shop.Access, error) {
	a := shop.Access{ID: shop.AccessID(strings.ToLower(u.GetEmail()))}
	if a.ID == "" {
		return a, fault(errors.New("the node lists a client without an id"))
	}
	if got := u.GetAccount().GetType(); got != typeAccount {
		return a, fault(fmt.Errorf("client %q has an account of type %q", a.ID, got))
	}
	var account xrayapi.VlessAccount
	err := proto.Unmarshal(u.GetAccount().GetValue(), &account)
	if err == nil {
		a.UUID, err = uuid.Parse(account.GetId())
	}
	if err != nil {
		return a, fault(fmt.Errorf("client %q has an account that cannot be read", a.ID))
	}
	if account.GetFlow() != n.cfg.Flow {
		a.UUID = uuid.Nil
	}
	return a, nil
}

func typed(name string, m proto.Message) (*xrayapi.TypedMessage, error) {
	value, err := proto.Marshal(m)
	if err != nil {
		return nil, fault(fmt.Errorf("encode %s: %w", name, err))
	}
	return &xrayapi.TypedMessage{Type: name, Value: value}, nil
}
