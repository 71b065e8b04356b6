package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/store"
)

// Everything about many lanes comes at once, from several holders: each lane has one
// holder, each update ends once, and only by its lane's holder.
func TestManyLanesAreWorkedTogether(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	const lanes, holders = 150, 3
	for lane := range int64(lanes) {
		add(t, s, lane+1, lane)
	}
	var wins [lanes]atomic.Int32
	var wg sync.WaitGroup
	for n := range int64(lanes * holders) {
		wg.Go(func() {
			lane, holder := n%lanes, fmt.Sprint("holder ", n/lanes)
			u, ok, err := s.ClaimUpdate(t.Context(), turn(lane, holder), time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			closed := s.CloseUpdate(t.Context(), turn(lane, holder), lane+1, "done", "")
			if !ok {
				if !errors.Is(closed, shop.ErrLaneLost) {
					t.Errorf("%s, without lane %d, ended its update: %v", holder, lane, closed)
				}
				return
			}
			wins[lane].Add(1)
			if closed != nil || u.ID != lane+1 || u.Lane != lane {
				t.Errorf("lane %d: got update %d of %d and %v", lane, u.ID, u.Lane, closed)
			}
		})
	}
	wg.Wait()
	for lane := range wins {
		if n := wins[lane].Load(); n != 1 {
			t.Errorf("lane %d had %d holders", lane, n)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM inbox WHERE state = 'done'`); n != lanes {
		t.Errorf("%d updates are done", n)
	}
}

// Lanes that are given back at once report, each for itself, whether more has come; who
// does not hold a lane gives nothing back.
func TestManyLanesAreGivenBackTogether(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	const lanes = 100
	for lane := range int64(lanes) {
		if _, _, err := s.ClaimUpdate(t.Context(), turn(lane, "one"), time.Minute); err != nil {
			t.Fatal(err)
		}
		if lane%2 == 0 {
			add(t, s, lane+1, lane)
		}
	}
	var wg sync.WaitGroup
	for lane := range int64(lanes) {
		for _, holder := range []string{"one", "two"} {
			wg.Go(func() {
				more, err := s.ReleaseLane(t.Context(), turn(lane, holder))
				if want := holder == "one" && lane%2 == 0; err != nil || more != want {
					t.Errorf("lane %d of %s: more is %t, %v", lane, holder, more, err)
				}
			})
		}
	}
	wg.Wait()
	if n := count(t, s, `SELECT count(*) FROM lanes`); n != 0 {
		t.Errorf("%d lanes are still held", n)
	}
}

// The end of an update and of its holder's turn are one: only who holds the lane ends
// either, and hears what has come meanwhile.
func TestAnUpdateAndItsLaneEndTogether(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	add(t, s, 1, 5)
	add(t, s, 2, 5)
	hold(t, s, 5, "one")
	if more, err := s.CloseLane(ctx, turn(5, "two"), 1, "done", ""); more || !errors.Is(err, shop.ErrLaneLost) {
		t.Errorf("two, without the lane: %t, %v", more, err)
	}
	if more, err := s.CloseLane(ctx, turn(5, "one"), 1, "done", ""); !more || err != nil {
		t.Errorf("one, with another waiting: %t, %v", more, err)
	}
	if n := count(t, s, `SELECT count(*) FROM lanes`); n != 0 {
		t.Errorf("%d lanes are still held", n)
	}
	hold(t, s, 5, "two")
	if more, err := s.CloseLane(ctx, turn(5, "two"), 2, "dead", "why"); more || err != nil {
		t.Errorf("two, with none waiting: %t, %v", more, err)
	}
	if n := count(t, s, `SELECT count(*) FROM inbox WHERE state = 'done' AND update_id = 1 OR state = 'dead' AND error = 'why'`); n != 2 {
		t.Errorf("%d of 2 updates are ended as they should", n)
	}
}

func hold(t *testing.T, s *store.Store, lane int64, holder string) {
	t.Helper()
	if _, ok, err := s.ClaimUpdate(t.Context(), turn(lane, holder), time.Minute); !ok || err != nil {
		t.Fatalf("%s claims lane %d: %t, %v", holder, lane, ok, err)
	}
}

// The end of an update is begun by PostgreSQL and stands still until its caller has given
// up and the same process works the lane in its next turn: nothing comes of the end.
func TestALateEndOfATurnDoesNotEndTheNext(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 7)
	add(t, s, 2, 7)
	first, next := turn(7, "us"), shop.Turn{Lane: 7, Holder: "us", Number: 2}
	hold(t, s, 7, "us")
	move := standStill(t, s, `LOCK TABLE inbox IN SHARE MODE`, func(ctx context.Context) error {
		_, err := s.CloseLane(ctx, first, 1, "done", "")
		return err
	})
	if u, ok, err := s.ClaimUpdate(t.Context(), next, time.Minute); !ok || err != nil || u.ID != 1 {
		t.Fatalf("the next turn gets %d, %t, %v", u.ID, ok, err)
	}
	move()
	if err := s.CloseUpdate(t.Context(), first, 2, "done", ""); !errors.Is(err, shop.ErrLaneLost) {
		t.Errorf("a turn that is over ended an update: %v", err)
	}
	if err := s.RetryUpdate(t.Context(), first, 2, 0, true, "odd"); !errors.Is(err, shop.ErrLaneLost) {
		t.Errorf("a turn that is over put an update off: %v", err)
	}
	if more, err := s.ReleaseLane(t.Context(), first); more || err != nil {
		t.Errorf("a turn that is over ended once more: %t, %v", more, err)
	}
	if _, ok, err := s.ClaimUpdate(t.Context(), first, time.Minute); ok || err != nil {
		t.Errorf("a turn that is over goes on: %v", err)
	}
	if n := count(t, s, `SELECT count(*) FROM lanes JOIN inbox USING (lane) WHERE turn = 2 AND state = 'waiting' AND attempt = 0`); n != 2 {
		t.Errorf("the next turn has %d of 2 updates", n)
	}
	if more, err := s.CloseLane(t.Context(), next, 1, "done", ""); !more || err != nil {
		t.Errorf("the next turn ends: %t, %v", more, err)
	}
}

// The end of an update is under way when its caller gives up: the next turn begins after
// it, and gets the next update.
func TestATurnBeginsWhenTheEndBeforeItIsDone(t *testing.T) {
	t.Parallel()
	for _, gives := range []bool{true, false} {
		s := server.Open(t)
		add(t, s, 1, 7)
		add(t, s, 2, 7)
		first, next := turn(7, "us"), shop.Turn{Lane: 7, Holder: "us", Number: 2}
		hold(t, s, 7, "us")
		move := standStill(t, s, `SELECT FROM inbox WHERE update_id = 1 FOR UPDATE`, func(ctx context.Context) (err error) {
			if gives {
				_, err = s.CloseLane(ctx, first, 1, "done", "")
				return err
			}
			return s.CloseUpdate(ctx, first, 1, "done", "")
		})
		var claimed atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			u, _, err := s.ClaimUpdate(t.Context(), next, time.Minute)
			if err != nil {
				t.Error(err)
			}
			claimed.Store(u.ID)
		})
		waitFor(t, func() bool { return claimed.Load() != 0 || count(t, s, lockWaiters) == 2 })
		move()
		wg.Wait()
		if id := claimed.Load(); id != 2 {
			t.Errorf("the next turn gets update %d", id)
		}
		if n := count(t, s, `SELECT count(*) FROM lanes WHERE lane = 7 AND turn = 2`); n != 1 {
			t.Error("the lane was given away")
		}
	}
}

// The program before, which numbers no turns, works lanes of the same customers.
func TestTurnsBesideAProgramThatNumbersNone(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 7)
	before := func() {
		must(t, s, `
			INSERT INTO lanes (lane, holder, leased_until) VALUES (7, 'before', now() + interval '1 minute')
			ON CONFLICT (lane) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until`)
	}
	expire := func() { must(t, s, `UPDATE lanes SET leased_until = now() - interval '1 second'`) }
	hold(t, s, 7, "us")
	expire()
	before() // over ours, whose number stays
	if _, err := s.CloseLane(t.Context(), turn(7, "us"), 1, "done", ""); !errors.Is(err, shop.ErrLaneLost) {
		t.Errorf("a turn that is over ended an update: %v", err)
	}
	if _, ok := claim(t, s, 7, "us", longLease); ok {
		t.Error("the lane of another was taken")
	}
	expire()
	hold(t, s, 7, "us") // over theirs
	must(t, s, `DELETE FROM lanes WHERE lane = 7 AND holder = 'before'`)
	if _, err := s.CloseLane(t.Context(), turn(7, "us"), 1, "done", ""); err != nil {
		t.Errorf("our turn ends: %v", err)
	}
	before()
	if n := count(t, s, `SELECT count(*) FROM lanes WHERE lane = 7 AND holder = 'before' AND turn = 0`); n != 1 {
		t.Error("the program before cannot take a lane")
	}
}

// lockWaiters counts who waits for what another has locked.
const lockWaiters = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

// standStill begins what then waits for a lock, and has its caller give up. It goes on,
// and has ended, when the returned function returns.
func standStill(t *testing.T, s *store.Store, lock string, do func(context.Context) error) (move func()) {
	t.Helper()
	tx, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	given := make(chan error, 1)
	go func() { given <- do(ctx) }()
	waitFor(t, func() bool { return count(t, s, lockWaiters) == 1 })
	giveUp()
	if err := <-given; shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("who gave up: %v", err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			return count(t, s, `
				SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
				WHERE datname = current_database() AND relation = 'inbox'::regclass AND mode = 'RowExclusiveLock'`) == 0
		})
	}
}
