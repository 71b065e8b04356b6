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
	waitFor(t, func() bool { return count(t, s, lockWaiters) == 1 })
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
