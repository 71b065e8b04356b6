package store_test

import (
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
