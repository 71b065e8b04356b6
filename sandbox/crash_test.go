package sandbox_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/sandbox"
)

var (
	crashRounds = flag.Int("rounds", 5, "how many rounds of kill -9 to play")
	crashSeed   = flag.Uint64("seed", 0, "of the moments of the kills; 0 means a new one")
)

const (
	// recoveryLimit is how long after the last kill of a round everything may take.
	recoveryLimit = 2 * time.Minute
	// stopLimit is how long the product may take to stop in order.
	stopLimit = 12 * time.Second
	// crashWorlds is how many worlds share the rounds.
	crashWorlds = 2
	newcomers   = 2 // of each round, one pays in Stars; besides them, a customer who has bought before
	regulars    = 4 // customers who take turns to come back; Telegram lets nobody be written to too fast
)

// violence is how a round treats the product.
type violence string

const (
	killAnywhere violence = "killed anywhere"
	killAfterPay violence = "killed right after a payment"
	killInStart  violence = "killed, and again while it starts"
	killInStop   violence = "killed while it stops"
	stopInOrder  violence = "stopped in order"
)

// Within these times of the event that a round is about, it strikes.
const (
	afterPay      = 30 * time.Millisecond
	startAndPause = 800 * time.Millisecond
	stopTakes     = 200 * time.Millisecond
)

func violences() []violence {
	return []violence{killAnywhere, killAfterPay, killInStart, killInStop, stopInOrder}
}

func TestKilledAtAnyMomentItLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d -rounds %d", seed, *crashRounds)
	var mu sync.Mutex
	var slowest time.Duration
	var g sync.WaitGroup
	for n := range min(crashWorlds, *crashRounds) {
		g.Go(func() {
			t.Run(fmt.Sprint("world ", n), func(t *testing.T) {
				c := newCrash(t, rand.New(rand.NewPCG(seed, uint64(n))))
				for i := n; i < *crashRounds && !t.Failed(); i += crashWorlds {
					took := c.round(i)
					mu.Lock()
					slowest = max(slowest, took)
					mu.Unlock()
				}
			})
		})
	}
	g.Wait()
	t.Logf("%d rounds; slowest recovery %s, asserted: under %s", *crashRounds, slowest.Round(time.Millisecond), recoveryLimit)
}

// crash is a world whose product is killed in rounds.
type crash struct {
	t       *testing.T
	w       *sandbox.World
	books   *ledgers
	random  *rand.Rand
	regular []*customer
	path    time.Duration // what the path takes, undisturbed
}

func newCrash(t *testing.T, random *rand.Rand) *crash {
	t.Helper()
	w := start(t, sandbox.Config{})
	c := &crash{t: t, w: w, books: newBooks(t, w), random: random}
	for n := range int64(regulars) {
		c.regular = append(c.regular, newCustomer(w, 1000+n))
	}
	c.play(0, func(context.Context, <-chan int64) time.Time { return time.Now() }) // undisturbed
	return c
}

// round plays one round and returns how long everything took from the last kill.
func (c *crash) round(i int) time.Duration {
	c.t.Helper()
	how := violences()[i%len(violences())]
	moment := time.Duration(c.random.Int64N(int64(c.path)))
	if how == killAfterPay {
		moment %= afterPay
	}
	second := time.Duration(c.random.Int64N(int64(startAndPause)))
	hit := c.play(int64(i)+1, func(ctx context.Context, paid <-chan int64) time.Time {
		return c.strike(ctx, how, paid, moment, second)
	})
	took := time.Since(hit)
	c.t.Logf("round %d: %s at %s; everything done after %s", i, how, moment.Round(time.Millisecond), took.Round(time.Millisecond))
	return took
}

// play has everybody buy while strike does its worst, which returns when it did it
// last; then everything owed must be done, and the books must be right.
func (c *crash) play(round int64, strike func(context.Context, <-chan int64) time.Time) time.Time {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), recoveryLimit+10*time.Second)
	defer cancel()
	paid := make(chan int64, newcomers+1)
	people := []*customer{c.regular[round%regulars]}
	for n := range int64(newcomers) {
		p := newCustomer(c.w, 10_000+round*10+n)
		p.stars = n == 0
		people = append(people, p)
	}
	began := time.Now()
	var g errgroup.Group
	for _, p := range people {
		p.pays = func(id int64) { paid <- id }
		g.Go(func() error { return p.buys(ctx) })
	}
	hit := strike(ctx, paid)
	if err := g.Wait(); err != nil {
		c.t.Fatal(err)
	}
	if c.path == 0 {
		c.path = time.Since(began)
	}
	if err := c.books.Settle(ctx); err != nil {
		c.t.Fatal(err)
	}
	if took := time.Since(hit); took > recoveryLimit {
		c.t.Errorf("everything took %s", took)
	}
	for _, p := range people { // the dialogs answer
		if err := p.until(ctx, "Until:", p.writes("/profile")); err != nil {
			c.t.Error(err)
		}
	}
	if err := c.books.Settle(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.books.check()
	return hit
}

// strike waits for the moment and does what the round is about. It returns when
// it struck last.
func (c *crash) strike(ctx context.Context, how violence, paid <-chan int64, moment, second time.Duration) time.Time {
	if how == killAfterPay {
		select {
		case <-paid:
		case <-ctx.Done():
		}
	}
	wait(ctx, moment)
	hit := time.Now()
	switch how {
	case killInStart:
		control(c.t, c.w, "kill")
		wait(ctx, second)
		hit = time.Now()
		control(c.t, c.w, "kill")
	case killInStop:
		stopped := make(chan struct{})
		go func() { defer close(stopped); control(c.t, c.w, "stop") }()
		wait(ctx, second%stopTakes)
		control(c.t, c.w, "kill")
		<-stopped
		control(c.t, c.w, "start")
	case stopInOrder:
		control(c.t, c.w, "stop")
		if took := time.Since(hit); took > stopLimit {
			c.t.Errorf("it took %s to stop", took)
		}
		if tail := c.w.ProductTail(); !strings.Contains(tail[max(0, len(tail)-200):], `"stopped"`) {
			c.t.Errorf("it did not stop in order:\n%s", tail)
		}
		control(c.t, c.w, "start")
	default:
		control(c.t, c.w, "kill")
	}
	return hit
}

// wait lets time pass, but not beyond ctx: the moments of a test are its input.
func wait(ctx context.Context, length time.Duration) {
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
}
