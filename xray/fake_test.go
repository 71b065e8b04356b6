package xray_test

import (
	"cmp"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"sallyport/xray/xrayapi"
)

// fakeXray answers as Xray 26.3.27 does: same paths, same codes, same words.
type fakeXray struct {
	api string

	mu     sync.Mutex
	users  map[string]*xrayapi.User // by email in lower case
	calls  []string                 // methods, in order
	before func(method string) error
}

// newFakeXray serves on a unix socket until the test ends.
func newFakeXray(t testing.TB) *fakeXray {
	t.Helper()
	path := filepath.Join(shortDir(t), "api.sock")
	return serveFakeXray(t, "unix", path, "unix://"+path)
}

// serveFakeXray serves on address, which api names as the driver does.
func serveFakeXray(t testing.TB, network, address, api string, opts ...grpc.ServerOption) *fakeXray {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if api == "" {
		api = listener.Addr().String()
	}
	f := &fakeXray{api: api, users: map[string]*xrayapi.User{}}
	server := f.server(opts...)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fakeXray) server(opts ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(opts...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "xray.app.proxyman.command.HandlerService",
		Methods: []grpc.MethodDesc{
			method(f, "AlterInbound", f.alter),
			method(f, "GetInboundUsers", f.get),
			method(f, "GetInboundUsersCount", f.count),
		},
	}, nil)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "xray.app.stats.command.StatsService",
		Methods: []grpc.MethodDesc{method(f, "GetSysStats", func(*xrayapi.Empty) (*xrayapi.SysStatsResponse, error) {
			return &xrayapi.SysStatsResponse{Uptime: 90}, nil
		})},
	}, nil)
	return server
}

func method[In, Out any](f *fakeXray, name string, answer func(*In) (Out, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(In)
			if err := decode(in); err != nil {
				return nil, err
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.calls = append(f.calls, name)
			if f.before != nil {
				if err := f.before(name); err != nil {
					return nil, err
				}
			}
			return answer(in)
		},
	}
}

func unknown(message string) error { return status.Error(codes.Unknown, message) }

func (f *fakeXray) handler(tag string) error {
	switch tag {
	case "vless-reality":
		return nil
	case "api-in":
		return unknown("app/proxyman/command: proxy is not a UserManager")
	}
	return unknown("app/proxyman/command: failed to get handler: " + tag +
		" > app/proxyman/inbound: handler not found: " + tag)
}

func (f *fakeXray) alter(in *xrayapi.AlterInboundRequest) (*xrayapi.Empty, error) {
	if err := f.handler(in.GetTag()); err != nil {
		return nil, err
	}
	value := in.GetOperation().GetValue()
	switch in.GetOperation().GetType() {
	case "xray.app.proxyman.command.AddUserOperation":
		var op xrayapi.AddUserOperation
		return &xrayapi.Empty{}, cmp.Or(proto.Unmarshal(value, &op), f.add(op.GetUser()))
	case "xray.app.proxyman.command.RemoveUserOperation":
		var op xrayapi.RemoveUserOperation
		return &xrayapi.Empty{}, cmp.Or(proto.Unmarshal(value, &op), f.remove(op.GetEmail()))
	}
	return nil, unknown("app/proxyman/command: unknown operation > proto: not found")
}

func (f *fakeXray) add(u *xrayapi.User) error {
	if _, there := f.users[strings.ToLower(u.GetEmail())]; there {
		return unknown("proxy/vless: User " + u.GetEmail() + " already exists.")
	}
	f.users[strings.ToLower(u.GetEmail())] = u
	return nil
}

func (f *fakeXray) remove(email string) error {
	if _, there := f.users[strings.ToLower(email)]; !there {
		return unknown("proxy/vless: User " + email + " not found.")
	}
	delete(f.users, strings.ToLower(email))
	return nil
}

func (f *fakeXray) get(in *xrayapi.GetInboundUserRequest) (*xrayapi.GetInboundUserResponse, error) {
	if err := f.handler(in.GetTag()); err != nil {
		return nil, err
	}
	if in.GetEmail() != "" {
		u := cmp.Or(f.users[strings.ToLower(in.GetEmail())], &xrayapi.User{})
		return &xrayapi.GetInboundUserResponse{Users: []*xrayapi.User{u}}, nil
	}
	out := &xrayapi.GetInboundUserResponse{}
	for _, u := range f.users {
		out.Users = append(out.Users, u)
	}
	return out, nil
}

func (f *fakeXray) count(in *xrayapi.GetInboundUserRequest) (*xrayapi.GetInboundUsersCountResponse, error) {
	return &xrayapi.GetInboundUsersCountResponse{Count: int64(len(f.users))}, f.handler(in.GetTag())
}

// put gives the fake a client behind the driver's back.
func (f *fakeXray) put(t testing.TB, email, accountType string, account *xrayapi.VlessAccount) {
	t.Helper()
	value, err := proto.Marshal(account)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[strings.ToLower(email)] = &xrayapi.User{
		Email: email, Account: &xrayapi.TypedMessage{Type: accountType, Value: value},
	}
}

func (f *fakeXray) made() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// shortDir is a temporary directory whose path leaves room for a socket's name,
// which t.TempDir does not promise.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "xr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
