package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/store"
)

const longLease = time.Minute

func add(t *testing.T, s *store.Store, id, lane int64) {
	t.Helper()
	fresh, err := s.AddUpdate(t.Context(), shop.Update{ID: id, Lane: lane, Kind: "message", Body: []byte(`{}`)})
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
}

// turn is the first one of holder.
func turn(lane int64, holder string) shop.Turn {
	return shop.Turn{Lane: lane, Holder: holder, Number: 1}
}

func claim(t *testing.T, s *store.Store, lane int64, holder string, lease time.Duration) (int64, bool) {
	t.Helper()
	u, ok, err := s.ClaimUpdate(t.Context(), turn(lane, holder), lease)
	if err != nil {
		t.Fatal(err)
	}
	return u.ID, ok
}

func TestInboxKeepsARedeliveryOnce(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 7, 1)
	claim(t, s, 1, "a", longLease)
	fresh, err := s.AddUpdate(t.Context(), shop.Update{ID: 7, Lane: 1, Kind: "message", Body: []byte(`{}`)})
	if fresh || err != nil {
		t.Error(fresh, err)
	}
	if err := s.CloseUpdate(t.Context(), turn(1, "a"), 7, "done", ""); err != nil {
		t.Fatal(err)
	}
	if fresh, _ := s.AddUpdate(t.Context(), shop.Update{ID: 7, Lane: 1, Kind: "message", Body: []byte(`{}`)}); fresh {
		t.Error("a handled update was taken again")
	}
}

func TestLaneIsWorkedInOrderOfArrivalEvenWhenIDsGoBack(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for _, id := range []int64{900, 5, 901} { // after a quiet week Telegram's ids may start anew
		add(t, s, id, 1)
	}
	for _, want := range []int64{900, 5, 901} {
		got, ok := claim(t, s, 1, "a", longLease)
		if !ok || got != want {
			t.Fatalf("claimed %d (%v), want %d", got, ok, want)
		}
		if err := s.CloseUpdate(t.Context(), turn(1, "a"), got, "done", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAClaimTellsHowManyWaitAndWhatTheCustomerSees(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	if _, err := enter(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveDialog(t.Context(), 1, 5, "menu"); err != nil {
		t.Fatal(err)
	}
	for id := range int64(120) {
		add(t, s, id+1, 1)
		add(t, s, id+1001, 2)
	}
	for n, want := range map[int64]int{1: 100, 20: 100, 21: 99, 119: 1, 120: 0} {
		if _, err := s.Pool().Exec(t.Context(), `UPDATE inbox SET state = CASE WHEN update_id < $1 THEN 'done' ELSE 'waiting' END,
			closed_at = CASE WHEN update_id < $1 THEN now() END WHERE lane = 1`, n); err != nil {
			t.Fatal(err)
		}
		u, ok, err := s.ClaimUpdate(t.Context(), turn(1, "a"), longLease)
		if err != nil || !ok || u.ID != n || u.Behind != want || u.Screen != "menu" {
			t.Errorf("update %d: %+v, %v, want %d behind", n, u, err, want)
		}
	}
	if u, _, err := s.ClaimUpdate(t.Context(), turn(2, "a"), longLease); err != nil || u.Screen != "" {
		t.Errorf("who never had a screen sees %q, %v", u.Screen, err)
	}
}

func TestLaneBelongsToOneHolderUntilItsLeaseEnds(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 1)
	if _, ok := claim(t, s, 1, "a", longLease); !ok {
		t.Fatal("a free lane was refused")
	}
	if _, ok := claim(t, s, 1, "b", longLease); ok {
		t.Fatal("two hold one lane")
	}
	if _, ok := claim(t, s, 1, "a", time.Millisecond); !ok {
		t.Fatal("the holder may renew")
	}
	waitFor(t, func() bool { _, ok := claim(t, s, 1, "b", longLease); return ok })
}

func TestLaneGivenBackReportsWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	if _, ok := claim(t, s, 1, "a", longLease); ok {
		t.Fatal("an empty lane had an update")
	}
	add(t, s, 1, 1)
	if more, err := s.ReleaseLane(ctx, turn(1, "a")); !more || err != nil {
		t.Error("the update that came meanwhile was not seen", err)
	}
	if more, err := s.ReleaseLane(ctx, turn(1, "a")); more || err != nil {
		t.Error("who holds no lane has nothing to go on with", err)
	}
}

func TestFailingUpdateHoldsItsLaneButNoOther(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 1)
	add(t, s, 2, 1)
	add(t, s, 3, 2)
	claim(t, s, 1, "a", longLease)
	if err := s.RetryUpdate(t.Context(), turn(1, "a"), 1, time.Minute, false, "telegram is down"); err != nil {
		t.Fatal(err)
	}
	if id, ok := claim(t, s, 1, "a", longLease); ok {
		t.Errorf("update %d overtook the one before it", id)
	}
	urgent, lanes, err := s.IdleLanes(t.Context(), 10)
	if err != nil || len(urgent) != 0 || len(lanes) != 1 || lanes[0] != 2 {
		t.Errorf("idle lanes %v %v, %v", urgent, lanes, err)
	}
}

func TestIdleLanesAreThoseNobodyWorks(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for lane := range int64(3) {
		add(t, s, lane+1, lane)
	}
	claim(t, s, 0, "a", longLease)
	claim(t, s, 1, "crashed", time.Microsecond)
	waitFor(t, func() bool {
		_, lanes, err := s.IdleLanes(t.Context(), 10)
		return err == nil && fmt.Sprint(lanes) == "[1 2]"
	})
}

// Money and presses go before messages, also behind a message of the same customer.
func TestIdleLanesBeginWithTheUrgent(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for i, u := range []shop.Update{
		{Lane: 1, Kind: "message"},
		{Lane: 2, Kind: "message"},
		{Lane: 3, Kind: shop.KindPress},
		{Lane: 2, Kind: shop.KindPayment},
		{Lane: 4, Kind: "my_chat_member"},
	} {
		u.ID, u.Body = int64(i+1), []byte(`{}`)
		if _, err := s.AddUpdate(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	urgent, others, err := s.IdleLanes(t.Context(), 3)
	if err != nil || fmt.Sprint(urgent, others) != "[2 3] [1]" {
		t.Errorf("%v before %v, %v", urgent, others, err)
	}
}

// Who was thought dead and comes back must not end an update that another works.
func TestWhoLostTheLaneCannotEndItsUpdate(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	add(t, s, 1, 1)
	claim(t, s, 1, "slow", time.Microsecond)
	waitFor(t, func() bool { _, ok := claim(t, s, 1, "other", longLease); return ok })
	if err := s.CloseUpdate(t.Context(), turn(1, "slow"), 1, "done", ""); !errors.Is(err, shop.ErrLaneLost) {
		t.Error(err)
	}
	if err := s.RetryUpdate(t.Context(), turn(1, "slow"), 1, 0, true, "x"); !errors.Is(err, shop.ErrLaneLost) {
		t.Error(err)
	}
}

// Three replicas race for the lanes: every update is handled once, in order.
func TestReplicasShareTheLanes(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	const lanes, each = 20, 10
	for i := range int64(lanes * each) {
		add(t, s, i+1, i%lanes)
	}
	var mu sync.Mutex
	handled := make(map[int64][]int64)
	var wg sync.WaitGroup
	for replica := range 3 {
		wg.Go(func() {
			holder := fmt.Sprint("replica ", replica)
			for lane := range int64(lanes) {
				for {
					u, ok, err := s.ClaimUpdate(t.Context(), turn(lane, holder), longLease)
					if err != nil || !ok {
						break
					}
					mu.Lock()
					handled[lane] = append(handled[lane], u.ID)
					mu.Unlock()
					if err := s.CloseUpdate(t.Context(), turn(lane, holder), u.ID, "done", ""); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.ReleaseLane(t.Context(), turn(lane, holder)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for lane := range int64(lanes) {
		for i, id := range handled[lane] {
			if want := lane + 1 + int64(i*lanes); id != want {
				t.Fatalf("lane %d: %v", lane, handled[lane])
			}
		}
		if len(handled[lane]) != each {
			t.Errorf("lane %d: %d of %d", lane, len(handled[lane]), each)
		}
	}
}

func TestNothingIsAcquiredWhileHolding(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	held := shop.Hold(t.Context(), "a connection")
	if _, err := s.User(held, 1); !errors.Is(err, shop.ErrHoldsResource) {
		t.Errorf("a second connection was given: %v", err)
	}
	if err := s.Enqueue(held, shop.PollInvoices{}); !errors.Is(err, shop.ErrHoldsResource) {
		t.Errorf("a second connection was given: %v", err)
	}
}

func TestAnAcquireHasADeadline(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), store.Config{URL: server.Database(t), Name: "small", MaxConns: 1, AcquireTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := s.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err = s.User(t.Context(), 1); shop.KindOf(err) != shop.KindUnavailable { // without a deadline it would wait for ever
		t.Error(err)
	}
}

// waitFor waits until done, which must come true.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatal("did not come true")
		case <-tick.C:
		}
	}
}
