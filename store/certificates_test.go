package store_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/shop"
	"sallyport/store"
)

func appKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func certificates(t *testing.T, s *store.Store, key []byte) *store.Certificates {
	t.Helper()
	c, err := store.NewCertificates(s, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, c *store.Certificates, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := c.Store(t.Context(), key, []byte("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificatesAreKeptByKey(t *testing.T) {
	t.Parallel()
	c := certificates(t, server.Open(t), appKey(1))
	ctx := t.Context()
	put(t, c, "ca/shop.example/shop.example.crt")
	if err := c.Store(ctx, "ca/shop.example/shop.example.crt", []byte("newer")); err != nil {
		t.Fatal(err)
	}
	got, err := c.Load(ctx, "ca/shop.example/shop.example.crt")
	if err != nil || string(got) != "newer" {
		t.Errorf("loaded %q, %v", got, err)
	}
	info, err := c.Stat(ctx, "ca/shop.example/shop.example.crt")
	if err != nil || !info.IsTerminal || info.Size != 5 || time.Since(info.Modified) > time.Minute {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err = c.Stat(ctx, "ca/shop.example"); err != nil || info.IsTerminal {
		t.Errorf("%+v, %v", info, err)
	}
	for _, key := range []string{"ca/shop", "ca/shop.example/", "none"} {
		if _, err := c.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("load %s: %v", key, err)
		}
	}
	if _, err := c.Stat(ctx, "ca/shop"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %v", err)
	}
	if _, err := c.List(ctx, "none", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list: %v", err)
	}
}

// The characters that LIKE gives a meaning stand in names; none may match another.
func TestAPathIsAPrefixByWholeNames(t *testing.T) {
	t.Parallel()
	c := certificates(t, server.Open(t), appKey(1))
	ctx := t.Context()
	put(t, c, "a_b/one/1.crt", "a_b/one/1.key", "a_b/two", "axb/one", "a_bc/one", "a%/one", "a_b2")
	for _, list := range []struct {
		dir       string
		recursive bool
		want      []string
	}{
		{"a_b", false, []string{"a_b/one", "a_b/two"}},
		{"a_b/", false, []string{"a_b/one", "a_b/two"}},
		{"a_b", true, []string{"a_b/one/1.crt", "a_b/one/1.key", "a_b/two"}},
		{"a%", true, []string{"a%/one"}},
		{"", false, []string{"a%", "a_b", "a_b2", "a_bc", "axb"}},
	} {
		got, err := c.List(ctx, list.dir, list.recursive)
		if diff := cmp.Diff(list.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", list.dir, err, diff)
		}
	}
	for key, want := range map[string]bool{"a_b": true, "a_b/one": true, "a_b/two": true, "a_": false, "a_b/on": false, "%": false} {
		if got := c.Exists(ctx, key); got != want {
			t.Errorf("%s exists: %v", key, got)
		}
	}
	for _, key := range []string{"a_b", "never/was"} {
		if err := c.Delete(ctx, key); err != nil {
			t.Error(err)
		}
	}
	left, err := c.List(ctx, "", true)
	if diff := cmp.Diff([]string{"a%/one", "a_b2", "a_bc/one", "axb/one"}, left); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestNoValueLiesOpenInTheTable(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	c := certificates(t, s, appKey(1))
	put(t, c, "shop.key", "other.key")
	put(t, c, "shop.key")
	if n := count(t, s, `SELECT count(*) FROM tls_files WHERE position('value of' IN encode(value, 'escape')) > 0`); n != 0 {
		t.Errorf("%d values lie open", n)
	}
	for _, broken := range []struct{ what, sql string }{
		{"changed", `UPDATE tls_files SET value = set_byte(value, octet_length(value) - 1, get_byte(value, octet_length(value) - 1) # 1)`},
		{"cut", `UPDATE tls_files SET value = substring(value FOR 3)`},
		{"empty", `UPDATE tls_files SET value = ''`},
	} {
		if _, err := s.Pool().Exec(t.Context(), broken.sql); err != nil {
			t.Fatal(err)
		}
		if value, err := c.Load(t.Context(), "shop.key"); err == nil || errors.Is(err, fs.ErrNotExist) || value != nil {
			t.Errorf("%s: loaded %q, %v", broken.what, value, err)
		}
		put(t, c, "shop.key", "other.key")
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE tls_files SET value = (SELECT value FROM tls_files WHERE key = 'other.key')`); err != nil {
		t.Fatal(err)
	}
	if value, err := c.Load(t.Context(), "shop.key"); err == nil {
		t.Errorf("moved from another key: loaded %q", value)
	}
	if value, err := c.Load(t.Context(), "other.key"); err != nil {
		t.Errorf("%q, %v", value, err)
	}
}

func TestAnotherKeyOpensNothing(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	put(t, certificates(t, s, appKey(1)), "shop.key")
	value, err := certificates(t, s, appKey(2)).Load(t.Context(), "shop.key")
	if err == nil || errors.Is(err, fs.ErrNotExist) || value != nil {
		t.Errorf("loaded %q, %v", value, err)
	}
	if _, err := store.NewCertificates(s, appKey(1)[:31]); err == nil {
		t.Error("a short key was accepted")
	}
}

func TestALockIsOnesAlone(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	var inside, most atomic.Int32
	var replicas sync.WaitGroup
	for range 3 {
		c := certificates(t, s, appKey(1))
		replicas.Go(func() {
			for range 3 {
				if err := c.Lock(ctx, "order"); err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				if err := c.Unlock(ctx, "order"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	replicas.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
	if n := count(t, s, `SELECT count(*) FROM tls_locks`); n != 0 {
		t.Errorf("%d locks left", n)
	}
}

func TestALockThatRanOutIsTakenOver(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	dead, alive := certificates(t, s, appKey(1)), certificates(t, s, appKey(1))
	if ours, err := dead.TryLock(ctx, "order"); !ours || err != nil {
		t.Fatal(ours, err)
	}
	if ours, err := alive.TryLock(ctx, "order"); ours || err != nil {
		t.Errorf("taken from one who is alive: %v", err)
	}
	if ours, err := alive.TryLock(ctx, "another order"); !ours || err != nil {
		t.Errorf("another lock: %v %v", ours, err)
	}
	waiting, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	if err := alive.Lock(waiting, "order"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited with %v", err)
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE tls_locks SET leased_until = now() - interval '1 second' WHERE name = 'order'`); err != nil {
		t.Fatal(err)
	}
	if err := alive.Lock(ctx, "order"); err != nil {
		t.Fatal(err)
	}
	if err := dead.Unlock(ctx, "order"); err != nil {
		t.Errorf("the dead one's unlock: %v", err)
	}
	if n := count(t, s, `SELECT count(*) FROM tls_locks WHERE name = 'order'`); n != 1 {
		t.Error("the dead one gave back what was no longer its own")
	}
	for _, name := range []string{"order", "another order"} {
		if err := alive.Unlock(ctx, name); err != nil {
			t.Error(err)
		}
	}
}

func TestALockOfAClockThatWasAheadKeepsNobodyOff(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	dead, alive := certificates(t, s, appKey(1)), certificates(t, s, appKey(1))
	if ours, err := dead.TryLock(ctx, "order"); !ours || err != nil {
		t.Fatal(ours, err)
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE tls_locks SET leased_until = leased_until + interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	if ours, err := alive.TryLock(ctx, "order"); !ours || err != nil {
		t.Errorf("the dead one's for an hour: %v", err)
	}
	if ours, err := dead.TryLock(ctx, "order"); ours || err != nil {
		t.Errorf("taken from one who is alive: %v", err)
	}
	for _, c := range []*store.Certificates{dead, alive} {
		if err := c.Unlock(ctx, "order"); err != nil {
			t.Error(err)
		}
	}
}

func TestALockIsRenewedAndGivenBackAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	c := certificates(t, s, appKey(1))
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Lock(ctx, "order"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE tls_locks SET leased_until = now() + interval '7 seconds'`); err != nil {
		t.Fatal(err)
	}
	cancel()
	waitFor(t, func() bool { // the lease was renewed
		return count(t, s, `SELECT count(*) FROM tls_locks WHERE leased_until > now() + interval '8 seconds'`) > 0
	})
	if err := c.Unlock(ctx, "order"); err != nil {
		t.Error(err)
	}
	if n := count(t, s, `SELECT count(*) FROM tls_locks`); n != 0 {
		t.Errorf("%d locks left", n)
	}
	if err := c.Unlock(t.Context(), "order"); err == nil {
		t.Error("unlocked twice")
	}
}

func TestCertificatesAreNotTouchedWhileHolding(t *testing.T) {
	t.Parallel()
	c := certificates(t, server.Open(t), appKey(1))
	held := shop.Hold(t.Context(), "a transaction")
	if _, err := c.Load(held, "x"); !errors.Is(err, shop.ErrHoldsResource) {
		t.Error(err)
	}
	if err := c.Lock(held, "x"); !errors.Is(err, shop.ErrHoldsResource) {
		t.Error(err)
	}
}
