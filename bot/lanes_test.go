package bot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/bot"
	"sallyport/shop"
	"sallyport/store"
	"sallyport/store/storetest"
)

var server *storetest.Server

func TestMain(m *testing.M) { storetest.Main(m, func(s *storetest.Server) { server = s }) }

// desk handles updates and remembers them.
type desk struct {
	mu      sync.Mutex
	handled map[int64][]int64 // update ids by lane
	busy    map[int64]bool
	overlap bool
	answer  func(shop.Update) error
}

func (d *desk) handle(_ context.Context, u shop.Update) error {
	d.mu.Lock()
	if d.busy[u.Lane] {
		d.overlap = true
	}
	d.busy[u.Lane] = true
	d.mu.Unlock()
	var err error
	if d.answer != nil {
		err = d.answer(u)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy[u.Lane] = false
	d.handled[u.Lane] = append(d.handled[u.Lane], u.ID)
	return err
}

func (d *desk) of(lane int64) []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.handled[lane])
}

func newDesk(answer func(shop.Update) error) *desk {
	return &desk{handled: make(map[int64][]int64), busy: make(map[int64]bool), answer: answer}
}

// run works lanes until the returned function, which waits for their end.
func run(t *testing.T, inbox bot.Inbox, d *desk, holder string) (*bot.Lanes, func()) {
	t.Helper()
	l := bot.NewLanes(bot.LanesConfig{Inbox: inbox, Handle: d.handle, Holder: holder, Workers: 8, Stop: time.Second, Metrics: prometheus.NewRegistry()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return l, stop
}

func receive(t *testing.T, s *store.Store, id, lane int64, kind string) {
	t.Helper()
	if _, err := s.AddUpdate(t.Context(), shop.Update{ID: id, Lane: lane, Kind: kind, Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
}

func states(t *testing.T, s *store.Store) map[string]int {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), `SELECT state, count(*) FROM inbox GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := make(map[string]int)
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			t.Fatal(err)
		}
		found[state] = n
	}
	return found
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func TestLanesWorkInOrderAndSideBySide(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	d := newDesk(nil)
	l, _ := run(t, s, d, "a")
	const lanes, each = 10, 20
	for i := range int64(lanes * each) {
		receive(t, s, i+1, i%lanes, "message")
		l.Wake(i%lanes, false)
	}
	eventually(t, "all to be handled", func() bool { return states(t, s)["done"] == lanes*each })
	for lane := range int64(lanes) {
		if ids := d.of(lane); len(ids) != each || !slices.IsSorted(ids) {
			t.Errorf("lane %d: %v", lane, ids)
		}
	}
	if d.overlap {
		t.Error("a lane was worked twice at once")
	}
}

func TestASlowCustomerDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	release := make(chan struct{})
	d := newDesk(func(u shop.Update) error {
		if u.Lane == 1 {
			<-release
		}
		return nil
	})
	l, _ := run(t, s, d, "a")
	t.Cleanup(func() { close(release) })
	for i := range int64(5) {
		receive(t, s, i+1, i+1, "message")
		l.Wake(i+1, false)
	}
	eventually(t, "the others", func() bool { return states(t, s)["done"] == 4 })
}

// While a crowd waits, more than memory holds, money and presses are handled next.
func TestWhatIsUrgentGoesBeforeTheCrowd(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	const crowd, inHand = 1500, 8
	gate := make(chan struct{})
	var mu sync.Mutex
	var order []int64
	d := newDesk(func(u shop.Update) error {
		<-gate
		mu.Lock()
		defer mu.Unlock()
		order = append(order, u.Lane)
		return nil
	})
	l, _ := run(t, s, d, "a")
	for i := range int64(crowd) {
		receive(t, s, i+1, i+1, "message")
		l.Wake(i+1, false)
	}
	for lane, kind := range map[int64]string{
		900: shop.KindPayment, 5001: shop.KindPayment, 5002: shop.KindPress, // 900 stands in the queue already
	} {
		receive(t, s, crowd+lane, lane, kind)
		l.Wake(lane, true)
	}
	close(gate)
	eventually(t, "all to be handled", func() bool { return states(t, s)["done"] == crowd+3 })
	mu.Lock()
	defer mu.Unlock()
	for _, lane := range []int64{900, 5001, 5002} {
		if at := slices.Index(order, lane); at > 3*inHand {
			t.Errorf("lane %d was %d. in line", lane, at+1)
		}
	}
	if d.overlap {
		t.Error("a lane was worked twice at once")
	}
}

func TestWhatMemoryDidNotHoldIsSwept(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	receive(t, s, 1, 1, "message") // and nobody wakes the lane
	d := newDesk(nil)
	run(t, s, d, "a")
	eventually(t, "the sweep", func() bool { return states(t, s)["done"] == 1 })
}

func TestFailuresAreTriedAgainThenPutAside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		err   error
		fails int
		state string
		tries int
	}{
		{"a dependency that comes back", shop.Unavailable(errors.New("down")), 3, "done", 4},
		{"a limit that passes", shop.Limited(time.Millisecond, errors.New("429")), 2, "done", 3},
		{"a fault of ours that passes", errors.New("bug"), 2, "done", 3},
		{"a fault of ours that stays", errors.New("bug"), 99, "dead", 5},
		{"an error in letters that are cut", errors.New(strings.Repeat("я", 400)), 99, "dead", 5},
		{"an error with a zero byte", errors.New("a\x00b"), 99, "dead", 5},
		{"junk", &shop.Error{Kind: shop.KindInvalid, Key: "undecodable"}, 99, "dead", 1},
		{"a customer who blocked us", shop.Forbidden(errors.New("403")), 99, "done", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := server.Open(t)
			left := c.fails
			d := newDesk(func(shop.Update) error {
				if left--; left >= 0 {
					return c.err
				}
				return nil
			})
			l, _ := run(t, s, d, "a")
			receive(t, s, 1, 1, "message")
			l.Wake(1, false)
			eventually(t, "the state "+c.state, func() bool { return states(t, s)[c.state] == 1 })
			if ids := d.of(1); len(ids) != c.tries {
				t.Errorf("tried %d times", len(ids))
			}
		})
	}
}

func TestAPanicEndsOneUpdateOnly(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	d := newDesk(nil)
	d.answer = func(u shop.Update) error {
		if u.ID == 1 {
			d.mu.Lock()
			d.busy[u.Lane] = false
			d.mu.Unlock()
			panic(fmt.Sprint("odd update ", u.ID))
		}
		return nil
	}
	l, _ := run(t, s, d, "a")
	receive(t, s, 1, 1, "message")
	receive(t, s, 2, 1, "message")
	l.Wake(1, false)
	eventually(t, "the next update of the lane", func() bool { return len(d.of(1)) == 1 })
	if got := states(t, s); got["dead"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestOldPressesArePutAside(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	receive(t, s, 1, 1, "callback_query")
	receive(t, s, 2, 1, "message")
	if _, err := s.Pool().Exec(t.Context(), `UPDATE inbox SET received_at = now() - interval '151 seconds'`); err != nil {
		t.Fatal(err)
	}
	d := newDesk(nil)
	run(t, s, d, "a")
	eventually(t, "both", func() bool { return states(t, s)["waiting"] == 0 })
	if got := states(t, s); got["stale"] != 1 || got["done"] != 1 || len(d.of(1)) != 1 {
		t.Errorf("%v, handled %v", got, d.of(1))
	}
}

// Two replicas work one inbox; then one of them dies with updates in hand.
func TestReplicasShareLanesAndTakeOverFromTheDead(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	if _, err := s.Pool().Exec(t.Context(), `INSERT INTO lanes VALUES (3, 'dead', now() + interval '2 seconds')`); err != nil {
		t.Fatal(err)
	}
	d := newDesk(nil) // one desk: it sees overlaps between the replicas
	a, _ := run(t, s, d, "a")
	b, _ := run(t, s, d, "b")
	const lanes, each = 6, 15
	for i := range int64(lanes * each) {
		receive(t, s, i+1, i%lanes, "message")
		a.Wake(i%lanes, false)
		b.Wake(i%lanes, false)
	}
	eventually(t, "all to be handled", func() bool { return states(t, s)["done"] == lanes*each })
	for lane := range int64(lanes) {
		if ids := d.of(lane); len(ids) != each || !slices.IsSorted(ids) {
			t.Errorf("lane %d: %v", lane, ids)
		}
	}
	if d.overlap {
		t.Error("a lane was worked twice at once")
	}
}

func TestStoppingHandsBackWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	entered := make(chan struct{})
	l := bot.NewLanes(bot.LanesConfig{
		Inbox: s, Holder: "a", Workers: 2, Stop: 50 * time.Millisecond,
		Handle: func(ctx context.Context, _ shop.Update) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	receive(t, s, 1, 1, "message")
	l.Wake(1, false)
	<-entered
	cancel()
	<-done
	if got := states(t, s); got["waiting"] != 1 {
		t.Errorf("%v", got)
	}
	u, ok, err := s.ClaimUpdate(t.Context(), shop.Turn{Lane: 1, Holder: "b"}, time.Minute)
	if !ok || err != nil || u.Attempt != 0 {
		t.Errorf("the next process does not get it at once: %+v %v %v", u, ok, err)
	}
}

// What failed while Telegram was away is tried as soon as it is back, however long the
// pause between two tries has become.
func TestWhatFailedIsTriedOnceTelegramIsBack(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	recovered := make(chan struct{})
	var back atomic.Bool
	tried, handled := make(chan struct{}, 1), make(chan struct{}, 1)
	l := bot.NewLanes(bot.LanesConfig{
		Inbox: s, Holder: "a", Workers: 2, Stop: time.Second, Recovered: recovered,
		Handle: func(context.Context, shop.Update) error {
			if !back.Load() {
				tried <- struct{}{}
				return shop.Unavailable(errors.New("telegram is away"))
			}
			handled <- struct{}{}
			return nil
		},
	})
	receive(t, s, 1, 1, "message")
	if _, err := s.Pool().Exec(t.Context(), `UPDATE inbox SET tried_at = now() - interval '1 minute'`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	defer func() { cancel(); <-done }()
	l.Wake(1, false)
	<-tried
	next := func() (at time.Time) {
		if err := s.Pool().QueryRow(t.Context(), `SELECT run_after FROM inbox`).Scan(&at); err != nil {
			t.Error(err)
		}
		return at
	}
	first := next()
	eventually(t, "the pause", func() bool { return next().After(first) })
	back.Store(true)
	later := next() // when it would be tried by itself
	recovered <- struct{}{}
	<-handled
	if at := next(); !at.Before(later) {
		t.Errorf("it was tried at %s, as if Telegram were not back", at)
	}
}

// One customer who floods, held back by a limit, costs the others nothing.
func TestFloodersOccupyNobody(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	d := newDesk(func(u shop.Update) error {
		if u.Lane <= 40 && u.Attempt == 0 {
			return shop.Limited(time.Minute, errors.New("message limit reached"))
		}
		return nil
	})
	l, _ := run(t, s, d, "a")
	for i := range int64(400) {
		receive(t, s, i+1, i%40+1, "message")
		l.Wake(i%40+1, false)
	}
	start := time.Now()
	receive(t, s, 1000, 99, "message")
	l.Wake(99, false)
	eventually(t, "the neighbour", func() bool { return len(d.of(99)) == 1 })
	if took := time.Since(start); took > 30*time.Second { // they are held back for a minute
		t.Errorf("the neighbour waited %s", took)
	}
}

// After a long stop everything is old; that is no reason to give it up at the first
// trouble.
func TestOldUpdatesAreTriedAsLongAsYoungOnes(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	for i, err := range []error{shop.Limited(time.Millisecond, errors.New("message limit reached")), shop.Unavailable(errors.New("telegram is down"))} {
		receive(t, s, int64(i+1), int64(i+1), "message")
		if _, failed := s.Pool().Exec(t.Context(), `UPDATE inbox SET received_at = now() - interval '1 hour'`); failed != nil {
			t.Fatal(failed)
		}
		left := 2
		d := newDesk(func(shop.Update) error {
			if left--; left >= 0 {
				return err
			}
			return nil
		})
		_, stop := run(t, s, d, "a")
		eventually(t, "its end", func() bool { return states(t, s)["done"] == i+1 })
		stop()
	}
}

// Crediting money needs no Telegram: it waits for no message that Telegram holds back,
// whether the payment comes before that is known or after, and whoever finds it.
func TestAPaymentWaitsBehindNothing(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	var tried atomic.Int64
	d := newDesk(func(u shop.Update) error {
		switch {
		case u.Kind == shop.KindPayment:
			return nil
		case u.Lane == 3:
			return shop.Unavailable(errors.New("telegram does not answer"))
		default:
			tried.Add(1)
			return shop.Limited(10*time.Minute, errors.New("429"))
		}
	})
	for lane := range int64(2) {
		receive(t, s, 10*lane, lane, "message")
	}
	receive(t, s, 1, 0, shop.KindPayment)
	l, _ := run(t, s, d, "a")
	eventually(t, "the messages to be held back", func() bool { return tried.Load() >= 2 })
	receive(t, s, 11, 1, shop.KindPayment) // nobody is told: the sweep finds it
	receive(t, s, 12, 1, shop.KindPayment)
	receive(t, s, 30, 3, "message")
	receive(t, s, 31, 3, shop.KindPayment)
	l.Wake(3, true)
	eventually(t, "all payments to be handled", func() bool { return states(t, s)["done"] == 4 })
	if ids := d.of(1); !slices.Equal(slices.DeleteFunc(ids, func(id int64) bool { return id == 10 }), []int64{11, 12}) {
		t.Errorf("payments of one customer: %v", ids)
	}
	if n := states(t, s)["waiting"]; n != 3 {
		t.Errorf("%d messages wait", n)
	}
}

// What Telegram holds back for ever is not tried for ever, and is no fault of ours.
func TestAnAnswerThatIsHeldBackForTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	d := newDesk(func(shop.Update) error { return shop.Limited(time.Minute, errors.New("429")) })
	receive(t, s, 1, 1, "message")
	l, _ := run(t, s, d, "a")
	eventually(t, "the first try", func() bool { return len(d.of(1)) == 1 })
	eventually(t, "it to be put off", func() bool {
		n, err := s.Pool().Exec(t.Context(), `UPDATE inbox SET run_after = now(), tried_at = now() - interval '14 minutes' WHERE run_after > now()`)
		return err == nil && n.RowsAffected() == 1
	})
	l.Wake(1, false)
	eventually(t, "the second try", func() bool { return len(d.of(1)) == 2 })
	eventually(t, "it to be put off", func() bool {
		n, err := s.Pool().Exec(t.Context(), `UPDATE inbox SET run_after = now(), tried_at = now() - interval '16 minutes' WHERE run_after > now()`)
		return err == nil && n.RowsAffected() == 1
	})
	l.Wake(1, false)
	eventually(t, "it to be given up", func() bool { return states(t, s)["stale"] == 1 })
}
