package shop_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// process is the world's shop in another process, with a storage and a clock of its own.
func (w *world) process(s shop.Store, now func() time.Time) *shop.Shop {
	var c atomic.Pointer[shop.Catalogue]
	sold := catalogue()
	c.Store(&sold)
	return shop.New(shop.Config{
		Store: s, Catalogue: &c, Nodes: func() []shop.Node { return []shop.Node{w.node} }, Messenger: w.messenger, Now: now,
	})
}

// withClock is the world's shop in a process whose own clock is off the storage's.
func (w *world) withClock(off time.Duration) *shop.Shop {
	return w.process(clocked{w.store, w.now}, func() time.Time { return w.now().Add(off) })
}

// have gives so many customers access that ends after a time, from now on.
func (w *world) have(customers int, first int64, in time.Duration) {
	w.t.Helper()
	_, err := w.store.Pool().Exec(w.t.Context(), `
		WITH known AS (INSERT INTO users (id, language) SELECT $1 + n, 'en' FROM generate_series(0, $2 - 1) n RETURNING id)
		INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT id, 'basic', 'active', $3 FROM known`,
		first, customers, w.now().Add(in))
	w.must(err)
}

func (w *world) granted() (n int) {
	w.t.Helper()
	_, n, err := w.store.CountDue(w.t.Context(), w.now())
	w.must(err)
	return n
}

// Two processes on one database, and the clock of one is wrong: nobody loses a day, no
// order is closed, and nothing is forgotten. The other goes on.
func TestAProcessWhoseClockIsWrongEndsNothing(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{48 * time.Hour, 30 * 24 * time.Hour, -time.Hour, shop.ClockLimit + time.Second} {
		w := setup(t)
		order := w.order()
		w.have(1, 10001, time.Hour)
		w.have(1, 10002, -2*time.Second)
		_, err := w.store.Pool().Exec(t.Context(), `
			INSERT INTO inbox (update_id, lane, kind, body, state, closed_at, received_at) VALUES (1, 1, 'message', '', 'done', now(), now() - interval '2 hours')`)
		w.must(err)
		wrong := w.withClock(off)
		for _, do := range []func(context.Context) error{wrong.Expire, wrong.CleanUp} {
			if err := do(t.Context()); shop.KindOf(err) != shop.KindUnavailable {
				t.Errorf("%s off: %v", off, err)
			}
		}
		if n := w.granted(); n != 2 {
			t.Errorf("%s off: %d of 2 still have access", off, n)
		}
		if o, err := w.store.Order(t.Context(), order.ID); err != nil || o.Status != shop.OrderOpen {
			t.Errorf("%s off: the order is %s, %v", off, o.Status, err)
		}
		var updates int
		w.must(w.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM inbox`).Scan(&updates))
		if updates != 1 {
			t.Errorf("%s off: an update was forgotten", off)
		}
		w.must(w.Expire(t.Context()))
		if n := w.granted(); n != 1 {
			t.Errorf("%s off: with the right clock %d of 1 have access", off, n)
		}
	}
}

func TestAClockThatIsOffALittleEndsByTheDatabases(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.have(1, 10001, 10*time.Second)
	w.have(1, 10002, -time.Second)
	w.must(w.withClock(20 * time.Second).Expire(t.Context()))
	w.must(w.withClock(-20 * time.Second).Expire(t.Context()))
	if n := w.granted(); n != 1 {
		t.Errorf("%d have access", n)
	}
}

// The clock of the whole machine leaps: no process is off the database, and far more
// would end than a look that follows another explains.
func TestEndsThatOnlyALeapOfTheClockExplainsAreHeld(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	w.have(60, 10000, 12*time.Hour)
	w.have(400, 20000, 20*24*time.Hour)
	w.must(w.Expire(ctx))
	w.pass(48 * time.Hour)
	order := w.order()
	w.pass(shop.OrderLifetime + time.Minute)
	for range 2 {
		w.must(w.Expire(ctx))
	}
	if n := w.granted(); n != 460 {
		t.Fatalf("%d of 460 have access", n)
	}
	if o, err := w.store.Order(ctx, order.ID); err != nil || o.Status != shop.OrderExpired {
		t.Errorf("what is held keeps an order %s, %v", o.Status, err)
	}
	if state, err := w.store.EndsState(ctx); err != nil || state.Held != 60 {
		t.Errorf("%+v, %v", state, err)
	}

	w.pass(-48 * time.Hour) // it was a leap
	w.must(w.Expire(ctx))
	if state, err := w.store.EndsState(ctx); err != nil || state.Held != 0 || w.granted() != 460 {
		t.Errorf("with the right clock: %+v, %v, %d of 460 have access", state, err, w.granted())
	}
	if n, err := w.ReleaseEnds(ctx); n != 0 || err != nil {
		t.Errorf("%d released, %v", n, err)
	}

	w.pass(48 * time.Hour) // it was an outage
	w.must(w.Expire(ctx))
	if n, err := w.ReleaseEnds(ctx); n != 60 || err != nil {
		t.Errorf("%d released, %v", n, err)
	}
	w.must(w.Expire(ctx))
	if n := w.granted(); n != 400 {
		t.Errorf("%d of 400 have access", n)
	}
}

// interrupted is a storage on which something happens while a look counts what is due.
type interrupted struct {
	clocked
	meanwhile func()
}

func (i interrupted) CountDue(ctx context.Context, now time.Time) (due, granted int, err error) {
	i.meanwhile()
	return i.clocked.CountDue(ctx, now)
}

// An operator releases what is held while a process looks at it once more: released is
// released, and what was in the mind of the look changes nothing.
func TestALookUndoesNoReleaseThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.have(60, 10000, 12*time.Hour)
	w.must(w.Expire(t.Context()))
	w.pass(48 * time.Hour)
	w.must(w.Expire(t.Context()))
	released := 0
	looking := w.process(interrupted{clocked{w.store, w.now}, func() {
		n, err := w.ReleaseEnds(t.Context())
		w.must(err)
		released += n
	}}, w.now)
	w.must(looking.Expire(t.Context()))
	if released != 60 || w.granted() != 60 {
		t.Errorf("%d released, %d have access", released, w.granted())
	}
	if state, err := w.store.EndsState(t.Context()); err != nil || state.Held != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	w.must(looking.Expire(t.Context()))
	if n := w.granted(); n != 0 {
		t.Errorf("%d have access after the release", n)
	}
}

// A look finds more while an operator releases what is held: they are told how many go on.
func TestAReleaseSaysWhatItReleased(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.have(60, 10000, 12*time.Hour)
	w.must(w.Expire(t.Context()))
	w.pass(48 * time.Hour)
	w.must(w.Expire(t.Context()))
	w.have(10, 20000, -time.Hour)
	var meanwhile sync.Once // after the release has read what is held
	releasing := w.process(clocked{w.store, w.now}, func() time.Time {
		meanwhile.Do(func() { w.must(w.Expire(t.Context())) })
		return w.now()
	})
	if n, err := releasing.ReleaseEnds(t.Context()); n != 70 || err != nil {
		t.Errorf("%d of 70 released, %v", n, err)
	}
	w.must(w.Expire(t.Context()))
	if n := w.granted(); n != 0 {
		t.Errorf("%d have access after the release", n)
	}
}

// However many end between two looks that follow each other, the schedule explains it;
// after an outage it explains few, and a small part of many.
func TestEndsThatTheScheduleExplainsAreNotHeld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		ending, staying int
		after           time.Duration
		stillHaveAccess int
	}{
		{"all at once", 1200, 0, 30 * time.Minute, 0},
		{"few after a week", 20, 0, 7 * 24 * time.Hour, 0},
		{"one in twenty after a day", 50, 950, 24 * time.Hour, 950},
		{"more than that after a day", 51, 949, 24 * time.Hour, 1000},
	} {
		w := setup(t)
		w.have(c.ending, 10000, c.after-time.Second)
		if c.staying > 0 {
			w.have(c.staying, 20000, c.after+time.Hour)
		}
		w.must(w.Expire(t.Context()))
		w.pass(c.after)
		w.must(w.Expire(t.Context()))
		if n := w.granted(); n != c.stillHaveAccess {
			t.Errorf("%s: %d have access", c.name, n)
		}
	}
}

// lame is a storage that cannot end subscriptions, or close orders.
type lame struct {
	clocked
	noOrders, noSubscriptions bool
}

func (l lame) Do(ctx context.Context, op string, do func(context.Context, shop.Tx) error) error {
	if l.noOrders && op == "expire orders" {
		return shoptest.ErrDown
	}
	return l.Store.Do(ctx, op, do)
}

func (l lame) DueSubscriptions(ctx context.Context, now time.Time, limit int) ([]shop.UserID, error) {
	if l.noSubscriptions {
		return nil, shoptest.ErrDown
	}
	return l.Store.DueSubscriptions(ctx, now, limit)
}

func TestAnErrorOfOneKindOfEndKeepsNoOther(t *testing.T) {
	t.Parallel()
	for _, noOrders := range []bool{true, false} {
		w := setup(t)
		order := w.order()
		w.have(1, 10001, shop.OrderLifetime)
		w.pass(shop.OrderLifetime + time.Minute)
		s := w.process(lame{clocked{w.store, w.now}, noOrders, !noOrders}, w.now)
		if err := s.Expire(t.Context()); shop.KindOf(err) != shop.KindUnavailable {
			t.Error(err)
		}
		o, err := w.store.Order(t.Context(), order.ID)
		w.must(err)
		if closed := o.Status == shop.OrderExpired; closed == noOrders {
			t.Errorf("no orders: %t, and the order is %s", noOrders, o.Status)
		}
		if ended := w.granted() == 0; ended != noOrders {
			t.Errorf("no orders: %t, and the subscription has ended: %t", noOrders, ended)
		}
	}
}
