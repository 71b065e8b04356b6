package store_test

import (
	"context"
	"testing"
	"time"

	"sallyport/shop"
)

// The database stands still for longer than anybody waits. What was given up meanwhile is
// not done when it moves again: the same process may long work the lane once more.
func TestALaneIsNotGivenAwayLongAfter(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 7)
	claim(t, s, 7, "us", longLease)
	lock, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.Background()) }()
	if _, err := lock.Exec(t.Context(), `LOCK TABLE lanes`); err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := s.ReleaseLane(t.Context(), turn(99, "us")) // the one that is begun, of another lane
		first <- err
	}()
	waitFor(t, func() bool {
		return count(t, s, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.ReleaseLane(soon, turn(7, "us")); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("while the database stands still: %v", err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := s.ReleaseLane(t.Context(), turn(98, "us")); err != nil { // whatever waited is done now
		t.Error(err)
	}
	if n := count(t, s, `SELECT count(*) FROM lanes WHERE lane = 7 AND holder = 'us'`); n != 1 {
		t.Error("the lane was given away")
	}
}

// turn is the only one of holder in the lane.
func turn(lane int64, holder string) shop.Turn {
	return shop.Turn{Lane: lane, Holder: holder, Number: 1}
}

// The end of an update takes longer than its caller waits, and in the next turn the same
// process works the lane again. When the end is done after all, the lane stays with the next turn.
func TestALateEndOfATurnDoesNotEndTheNext(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 7)
	add(t, s, 2, 7)
	first, next := turn(7, "us"), shop.Turn{Lane: 7, Holder: "us", Number: 2}
	claim(t, s, 7, "us", longLease)
	lock, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.Background()) }()
	if _, err := lock.Exec(t.Context(), `SELECT FROM inbox WHERE update_id = 1 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	impatient, giveUp := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := s.CloseLane(impatient, first, 1, "done", "")
		given <- err
	}()
	waitFor(t, func() bool {
		return count(t, s, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	giveUp()
	if err := <-given; shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("who gave up: %v", err)
	}
	if u, ok, err := s.ClaimUpdate(t.Context(), next, longLease); !ok || err != nil || u.ID != 1 {
		t.Fatal(u.ID, ok, err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		return count(t, s, `SELECT count(*) FROM inbox WHERE update_id = 1 AND state = 'done'`) == 1
	})
	if err := s.CloseUpdate(t.Context(), first, 2, "done", ""); err == nil { // behind what was late
		t.Error("a turn that is over ended an update")
	}
	if more, err := s.ReleaseLane(t.Context(), first); more || err != nil {
		t.Error(more, err)
	}
	if _, ok, err := s.ClaimUpdate(t.Context(), first, longLease); ok || err != nil {
		t.Errorf("a turn that is over goes on: %v", err)
	}
	if n := count(t, s, `SELECT count(*) FROM lanes WHERE lane = 7 AND holder = 'us' AND turn = 2`); n != 1 {
		t.Error("the lane was given away")
	}
	if _, err := s.CloseLane(t.Context(), next, 2, "done", ""); err != nil {
		t.Error(err)
	}
}
