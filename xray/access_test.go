package xray_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sallyport/shop"
	"sallyport/xray"
	"sallyport/xray/xrayapi"
)

const (
	vless = "xray.proxy.vless.Account"
	alter = "AlterInbound"
	users = "GetInboundUsers"
)

func access(id shop.AccessID, n byte) shop.Access {
	return shop.Access{ID: id, UUID: uuid.UUID{6: 0x40, 8: 0x80, 15: n}}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	want := access("a000123", 1)
	same := &xrayapi.VlessAccount{Id: want.UUID.String(), Flow: xray.Vision}
	for name, tc := range map[string]struct {
		there *xrayapi.VlessAccount
		as    string
		want  shop.Access
		calls []string
	}{
		"a new access takes one call": {want: want, calls: []string{alter}},
		"one that is there already is only read": {
			there: same, as: "a000123", want: want, calls: []string{alter, users},
		},
		"one whose id differs in case is the same one": {
			there: same, as: "A000123", want: want, calls: []string{alter, users},
		},
		"an id in capitals is the same id": {
			there: same, as: "a000123", want: access("A000123", 1), calls: []string{alter, users},
		},
		"another uuid is replaced": {
			there: &xrayapi.VlessAccount{Id: uuid.NewString(), Flow: xray.Vision}, as: "a000123",
			want: want, calls: []string{alter, users, alter, alter},
		},
		"another flow is replaced": {
			there: &xrayapi.VlessAccount{Id: want.UUID.String()}, as: "a000123",
			want: want, calls: []string{alter, users, alter, alter},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeXray(t)
			if tc.there != nil {
				fake.put(t, tc.as, vless, tc.there)
			}
			ensureAndCompare(t, fake, tc.want, tc.calls, want)
		})
	}
}

// ensureAndCompare ensures a, which must take these calls and leave just want.
func ensureAndCompare(t *testing.T, fake *fakeXray, a shop.Access, calls []string, want shop.Access) {
	t.Helper()
	node := dial(t, config(fake.api))
	if err := node.Ensure(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(calls, fake.made()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]shop.Access{want}, listed(t, node)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestEnsureStartsOverWhenTheClientChangesMeanwhile(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	fake.put(t, "a1", vless, &xrayapi.VlessAccount{Id: uuid.NewString(), Flow: xray.Vision})
	removed := false
	fake.before = func(method string) error {
		if method == users && !removed { // somebody else removes it before we read it
			removed = true
			delete(fake.users, "a1")
		}
		return nil
	}
	node := dial(t, config(fake.api))
	if err := node.Ensure(t.Context(), access("a1", 1)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]shop.Access{access("a1", 1)}, listed(t, node)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestEnsureGivesUpOnANodeThatRefusesForNoReason(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	fake.before = func(method string) error {
		if method == alter {
			return unknown("proxy/vless: User a1 already exists.")
		}
		return nil
	}
	err := dial(t, config(fake.api)).Ensure(t.Context(), access("a1", 1))
	if err == nil || shop.KindOf(err) != shop.KindInternal {
		t.Fatalf("got %v, want an internal error", err)
	}
	if got := len(fake.made()); got != 6 {
		t.Errorf("%d calls, want 3 tries of 2", got)
	}
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		id    shop.AccessID
		calls []string
		left  int
	}{
		"one that is there is removed in one call": {"a1", []string{alter}, 1},
		"its id in capitals removes it as well":    {"A1", []string{alter}, 1},
		"one that is not there is read and let be": {"a3", []string{alter, users}, 2},
		"an id that begins like it is another one": {"a", []string{alter, users}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeXray(t)
			fake.put(t, "a1", vless, &xrayapi.VlessAccount{Id: uuid.NewString(), Flow: xray.Vision})
			fake.put(t, "a2", vless, &xrayapi.VlessAccount{Id: uuid.NewString(), Flow: xray.Vision})
			node := dial(t, config(fake.api))
			if err := node.Absent(t.Context(), tc.id); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.calls, fake.made()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if got, err := node.Count(t.Context()); err != nil || got != tc.left {
				t.Errorf("count %d, %v; want %d", got, err, tc.left)
			}
		})
	}
}

func TestAbsentFailsIfTheClientStays(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	fake.put(t, "a1", vless, &xrayapi.VlessAccount{Id: uuid.NewString()})
	fake.before = func(method string) error {
		if method == alter {
			return unknown("proxy/vless: out of order")
		}
		return nil
	}
	err := dial(t, config(fake.api)).Absent(t.Context(), "a1")
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Fatalf("got %v, want Xray's refusal", err)
	}
}

func TestBadAccessIsRefusedBeforeAnyCall(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	node := dial(t, config(fake.api))
	for name, a := range map[string]shop.Access{
		"an empty id":               access("", 1),
		"a blank id":                access("  ", 1),
		"an id with a separator":    access("a>>>b", 1),
		"an id with a line break":   access("a\nb", 1),
		"an id that is not UTF-8":   access("a\xff", 1),
		"an id with an unseen rune": access("a\u200bb", 1),
	} {
		for op, err := range map[string]error{
			"ensure": node.Ensure(t.Context(), a), "absent": node.Absent(t.Context(), a.ID),
		} {
			if shop.KindOf(err) != shop.KindInvalid {
				t.Errorf("%s, %s: got %v, want KindInvalid", name, op, err)
			}
		}
	}
	if err := node.Ensure(t.Context(), shop.Access{ID: "a1"}); shop.KindOf(err) != shop.KindInvalid {
		t.Errorf("a nil uuid: got %v, want KindInvalid", err)
	}
	if calls := fake.made(); len(calls) != 0 {
		t.Errorf("the node was asked: %v", calls)
	}
}

func TestListShowsAForeignFlowAsANilUUID(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	fake.put(t, "A1", vless, &xrayapi.VlessAccount{Id: uuid.NewString()})
	got := listed(t, dial(t, config(fake.api)))
	if diff := cmp.Diff([]shop.Access{{ID: "a1"}}, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestListOfMoreThanGRPCsOwnLimit(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	const bytes, each = 6 << 20, 1 << 10
	for i := range bytes / each {
		email := strings.Repeat("a", each) + strconv.Itoa(i)
		fake.put(t, email, vless, &xrayapi.VlessAccount{Id: uuid.NewString(), Flow: xray.Vision})
	}
	if got := len(listed(t, dial(t, config(fake.api)))); got != bytes/each {
		t.Errorf("listed %d, want %d", got, bytes/each)
	}
}

func TestListFailsRatherThanLeaveAClientOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		email, accountType, id string
	}{
		"an account of another protocol": {"a1", "xray.proxy.trojan.Account", uuid.NewString()},
		"an account without a uuid":      {"a1", vless, ""},
		"a client without an id":         {"", vless, uuid.NewString()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeXray(t)
			fake.put(t, tc.email, tc.accountType, &xrayapi.VlessAccount{Id: tc.id, Flow: xray.Vision})
			all, err := dial(t, config(fake.api)).List(t.Context(), 100_000)
			if err == nil || all != nil || shop.KindOf(err) != shop.KindInternal {
				t.Fatalf("got %v, %v; want no list and an internal error", all, err)
			}
			if tc.id != "" && strings.Contains(err.Error(), tc.id) {
				t.Errorf("the error tells the uuid: %v", err)
			}
		})
	}
}

func TestUptime(t *testing.T) {
	t.Parallel()
	got, err := dial(t, config(newFakeXray(t).api)).Uptime(t.Context())
	if err != nil || got != 90*time.Second {
		t.Errorf("got %s, %v; want 1m30s", got, err)
	}
}

// operations are all that a node can be asked, by name.
func operations(n *xray.Node) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"ensure": func(ctx context.Context) error { return n.Ensure(ctx, access("a1", 1)) },
		"absent": func(ctx context.Context) error { return n.Absent(ctx, "a1") },
		"list":   func(ctx context.Context) error { _, err := n.List(ctx, 100_000); return err },
		"count":  func(ctx context.Context) error { _, err := n.Count(ctx); return err },
		"uptime": func(ctx context.Context) error { _, err := n.Uptime(ctx); return err },
	}
}

func TestTheKindOfAnErrorFollowsItsCode(t *testing.T) {
	t.Parallel()
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		want := shop.KindInternal
		if slices.Contains([]codes.Code{
			codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled, codes.Aborted,
		}, code) {
			want = shop.KindUnavailable
		}
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			fake := newFakeXray(t)
			fake.before = func(string) error { return status.Error(code, "some words") }
			for op, ask := range operations(dial(t, config(fake.api))) {
				err := ask(t.Context())
				if err == nil || shop.KindOf(err) != want {
					t.Errorf("%s: got %v, want %s", op, err, want)
					continue
				}
				for _, part := range []string{"de-1", op, "some words"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: %q does not say %q", op, err, part)
					}
				}
			}
		})
	}
}

func TestAWrongInboundIsAnErrorAndNoOutage(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"nope", "api-in"} {
		cfg := config(newFakeXray(t).api)
		cfg.Inbound = tag
		ops := operations(dial(t, cfg))
		delete(ops, "uptime") // asks no inbound
		for op, ask := range ops {
			if err := ask(t.Context()); err == nil || shop.KindOf(err) != shop.KindInternal {
				t.Errorf("%s on %s: got %v, want an internal error", op, tag, err)
			}
		}
	}
}

func TestNoErrorTellsASecret(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	a := shop.Access{ID: "a1", UUID: uuid.New()}
	bare := strings.ReplaceAll(a.UUID.String(), "-", "")
	for _, code := range []codes.Code{codes.Unknown, codes.Internal, codes.Unavailable, codes.Canceled} {
		fake.mu.Lock()
		fake.before = func(string) error {
			return status.Error(code, "invalid UUID: "+strings.ToUpper(a.UUID.String())+" "+bare+" vless://"+bare+"@h:1?x#y")
		}
		fake.mu.Unlock()
		err := dial(t, config(fake.api)).Ensure(t.Context(), a)
		for e := err; e != nil; e = errors.Unwrap(e) {
			text := strings.ToLower(e.Error())
			if strings.Contains(text, a.UUID.String()) || strings.Contains(text, bare) || strings.Contains(text, "vless:") {
				t.Errorf("%s: %v", code, e)
			}
		}
	}
}

func listed(t testing.TB, n *xray.Node) []shop.Access {
	t.Helper()
	all, err := n.List(t.Context(), 100_000)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b shop.Access) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return all
}

// A node that is compromised, or has gone mad, must not fill our memory.
func TestAListThatIsLongerThanItMayBeIsNotRead(t *testing.T) {
	t.Parallel()
	fake := newFakeXray(t)
	const clients = 20_000
	for i := range clients {
		a := access(shop.AccessID("a"+strconv.Itoa(i)), byte(i))
		fake.put(t, string(a.ID), vless, &xrayapi.VlessAccount{Id: a.UUID.String(), Flow: xray.Vision})
	}
	n := dial(t, config(fake.api))
	if all, err := n.List(t.Context(), clients); err != nil || len(all) != clients {
		t.Errorf("%d of %d, %v", len(all), clients, err)
	}
	if all, err := n.List(t.Context(), 10); err == nil || all != nil {
		t.Errorf("%d clients where there should be 10", len(all))
	}
}
