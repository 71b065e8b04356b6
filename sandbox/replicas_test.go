package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/process"
)

const (
	// takeOver is how long after a kill -9 what the dead had in hand is another's: it is
	// missed for 5 s, which is noticed within another second. The job queue itself would
	// take 30 s.
	takeOver = 20 * time.Second
	// newLeader is how long after the leader's death there may be no new one: besides, the
	// job queue looks for one every 5 to 6 s.
	newLeader = 30 * time.Second
	// firstWalker is the id of the first customer who only looks around.
	firstWalker = 9000
	walkers     = 6
)

// fleet are three products of one world, behind a door that gives each delivery to the
// next of them.
type fleet struct {
	t       *testing.T
	w       *sandbox.World
	books   *ledgers
	turn    atomic.Int64
	watched *httptest.Server // before the Bot API
	talking sync.Map         // chat id -> *atomic.Int64: calls under way for a walker
	overlap atomic.Int64

	mu       sync.Mutex
	replicas []*replica
}

// replica is one product.
type replica struct {
	process *process.Process
	tail    *process.Tail
	port    int
	holder  string // how it names itself in the database
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, w: start(t, sandbox.Config{NoProduct: true, AppPort: port})}
	f.books = newBooks(t, f.w)
	f.watchTelegram()
	f.openDoor(port)
	for range 3 {
		f.add()
	}
	t.Cleanup(func() {
		for _, r := range f.all() {
			if err := r.process.Stop(context.WithoutCancel(t.Context())); err != nil || t.Failed() {
				t.Logf("%v; %s said:\n%s", err, r.holder, r.tail)
			}
		}
	})
	return f
}

func (f *fleet) all() []*replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*replica(nil), f.replicas...)
}

// watchTelegram notes when two calls for one walker's chat are under way at once: their
// lane was worked twice.
func (f *fleet) watchTelegram() {
	f.t.Helper()
	target, err := url.Parse(f.w.Ready().TelegramAPI)
	if err != nil {
		f.t.Fatal(err)
	}
	next := httputil.NewSingleHostReverseProxy(target)
	next.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	f.watched = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		var chat int64
		if _, err := fmt.Sscan(form.Get("chat_id"), &chat); err == nil && chat >= firstWalker {
			made, _ := f.talking.LoadOrStore(chat, new(atomic.Int64))
			calls := made.(*atomic.Int64)
			if calls.Add(1) > 1 {
				f.overlap.Add(1)
			}
			defer calls.Add(-1)
			<-time.After(10 * time.Millisecond) // as a network does
		}
		next.ServeHTTP(w, r)
	}))
	f.t.Cleanup(f.watched.Close)
}

// openDoor gives each delivery to the next replica that takes connections.
func (f *fleet) openDoor(port int) {
	f.t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(f.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		f.t.Fatal(err)
	}
	door := httptest.NewUnstartedServer(http.HandlerFunc(f.deal))
	_ = door.Listener.Close()
	door.Listener = listener
	door.Start()
	f.t.Cleanup(door.Close)
}

func (f *fleet) deal(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	all := f.all()
	first := f.turn.Add(1)
	for n := range int64(len(all)) {
		if passOn(w, r, body, all[(first+n)%int64(len(all))].port) {
			return
		}
	}
	w.WriteHeader(http.StatusBadGateway)
}

// passOn hands a delivery to a replica; it reports whether that answered.
func passOn(w http.ResponseWriter, r *http.Request, body []byte, port int) bool {
	again, err := http.NewRequestWithContext(r.Context(), r.Method, fmt.Sprintf("http://127.0.0.1:%d%s", port, r.URL.Path), bytes.NewReader(body))
	if err != nil {
		return false
	}
	again.Header = r.Header.Clone()
	answer, err := http.DefaultTransport.RoundTrip(again)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // whoever asked may have gone
	return true
}

// add starts one more product and waits until it is ready.
func (f *fleet) add() {
	f.t.Helper()
	r := &replica{tail: new(process.Tail)}
	var err error
	if r.port, err = process.FreePort(); err != nil {
		f.t.Fatal(err)
	}
	known := f.holders()
	r.process, err = process.Start(process.Config{
		Path: program, Args: []string{"serve"}, Dir: f.t.TempDir(), Output: r.tail, Grace: stopLimit,
		Env: append(f.w.Environment(), fmt.Sprintf("LISTEN=127.0.0.1:%d", r.port), "TELEGRAM_API="+f.watched.URL),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.replicas = append(f.replicas, r)
	f.mu.Unlock()
	eventually(f.t, r.ready)
	for holder := range f.holders() {
		if !known[holder] {
			r.holder = holder
		}
	}
}

// ready returns what the replica still lacks.
func (r *replica) ready() error {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", r.port))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", answer.Status)
	}
	return nil
}

// holders are the processes that the database knows.
func (f *fleet) holders() map[string]bool {
	f.t.Helper()
	found := make(map[string]bool)
	if f.books.count(`SELECT count(*) FROM pg_tables WHERE tablename = 'processes'`) == 0 {
		return found
	}
	rows, err := f.books.DB.Query(f.t.Context(), `SELECT holder FROM processes`)
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var holder string
		if err := rows.Scan(&holder); err != nil {
			f.t.Fatal(err)
		}
		found[holder] = true
	}
	return found
}

// remove forgets the eldest replica and returns it.
func (f *fleet) remove() *replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.replicas[0]
	f.replicas = f.replicas[1:]
	return r
}

// leads says whether a process leads the job queue.
func (f *fleet) leads(holder string) bool {
	f.t.Helper()
	return f.books.count(`SELECT count(*) FROM river_leader WHERE leader_id = $1`, holder) == 1
}

// killed ends the eldest with SIGKILL and checks that what it had is taken over in time.
func (f *fleet) killed() {
	f.t.Helper()
	dead := f.remove()
	led := f.leads(dead.holder)
	dead.process.Kill()
	began := time.Now()
	f.add() // as its supervisor would
	eventually(f.t, func() error {
		if n := f.books.count(`SELECT (SELECT count(*) FROM lanes WHERE holder = $1)
			+ (SELECT count(*) FROM processes WHERE holder = $1)
			+ (SELECT count(*) FROM river_job WHERE state = 'running' AND attempted_by[cardinality(attempted_by)] = $1)`, dead.holder); n > 0 {
			return fmt.Errorf("%d things are the dead's", n)
		}
		return nil
	})
	took := time.Since(began)
	if took > takeOver {
		f.t.Errorf("it took %s to take over lanes and jobs", took)
	}
	eventually(f.t, func() error {
		if n := f.books.count(`SELECT count(*) FROM river_leader WHERE leader_id <> $1 AND expires_at > now()`, dead.holder); n != 1 {
			return fmt.Errorf("%d lead", n)
		}
		return nil
	})
	if late := time.Since(began); late > newLeader {
		f.t.Errorf("there was no leader for %s", late)
	}
	f.t.Logf("killed (leader: %t): lanes and jobs taken over after %s, a leader after %s", led, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// load has walkers and buyers use the shop until the returned function, which waits for
// what they wait for.
func (f *fleet) load() (stop func()) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Minute)
	var g sync.WaitGroup
	done := make(chan struct{})
	for n := range int64(walkers) {
		g.Go(func() { f.walk(newCustomer(f.w, firstWalker+n), done) })
	}
	for n := range int64(3) {
		g.Go(func() {
			for id := 100 * (n + 1); ; id++ {
				p := newCustomer(f.w, id)
				p.stars = id%2 == 0
				if err := p.buys(ctx); err != nil {
					f.t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	return func() { close(done); g.Wait(); cancel() }
}

// walk sends three messages at once, again and again.
func (f *fleet) walk(p *customer, done <-chan struct{}) {
	tick := time.NewTicker(4 * time.Second)
	defer tick.Stop()
	for {
		for _, text := range []string{"/start", "/profile", "/menu"} {
			if err := p.Write(text); err != nil {
				f.t.Error(err)
			}
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// checkPeriodic checks that periodic jobs ran once a period, and one at a time.
func (f *fleet) checkPeriodic(began time.Time) {
	f.t.Helper()
	most := int(time.Since(began)/(500*time.Millisecond)) + 2
	for kind, least := range map[string]int{"expire_due": 2, "check_node": 0} { // a node is checked at every tenth tick, perhaps after this
		if n := f.books.count(`SELECT count(*) FROM river_job WHERE kind = $1 AND created_at > $2`, kind, began); n > most || n < least { // fewer than due on a busy machine
			f.t.Errorf("%s was queued %d times, want %d to %d", kind, n, least, most)
		}
	}
	if n := f.books.count(`
		SELECT count(*) FROM river_job a JOIN river_job b USING (kind)
		WHERE kind IN ('expire_due', 'check_node') AND a.id < b.id AND a.state = 'completed' AND b.state = 'completed'
			AND a.attempted_at < b.finalized_at AND b.attempted_at < a.finalized_at`); n != 0 {
		f.t.Errorf("%d periodic jobs ran twice at once", n)
	}
}

// Three processes on one database share all work: no lane is worked twice at once or
// out of order, periodic jobs run once, and neither kill -9 of each nor a rolling
// restart, under load, loses or repeats anything.
func TestThreeReplicasWorkAsOneWhicheverDies(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	began := time.Now()
	stop := f.load()
	wait(t.Context(), 4*time.Second) // undisturbed, to be counted
	f.checkPeriodic(began)
	for range 3 {
		f.killed()
	}
	for range 3 {
		leaving := f.remove()
		if err := leaving.process.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		f.add()
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), recoveryLimit)
	defer cancel()
	if err := f.books.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	f.books.check()
	if n := f.overlap.Load(); n != 0 {
		t.Errorf("lanes were worked twice at once %d times", n)
	}
	t.Logf("%d updates, %d orders paid, in %s", f.books.count(`SELECT count(*) FROM inbox`),
		f.books.count(`SELECT count(*) FROM orders WHERE status = 'paid'`), time.Since(began).Round(time.Second))
}
