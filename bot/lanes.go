package bot

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"sallyport/shop"
)

// Inbox holds the updates that were received.
type Inbox interface {
	// ClaimUpdate begins a turn or goes on with it, and returns the lane's first waiting
	// update, if it is due and nobody else holds the lane.
	ClaimUpdate(ctx context.Context, turn shop.Turn, lease time.Duration) (shop.Update, bool, error)
	// ReleaseLane ends the turn and reports whether an update came in meanwhile.
	ReleaseLane(ctx context.Context, turn shop.Turn) (more bool, err error)
	// CloseUpdate ends an update in the turn as "done", "stale" or "dead".
	CloseUpdate(ctx context.Context, turn shop.Turn, id int64, state, reason string) error
	// CloseLane does that and ends the turn, at once.
	CloseLane(ctx context.Context, turn shop.Turn, id int64, state, reason string) (more bool, err error)
	// RetryUpdate lets an update wait in the turn; fault counts the try as one that failed
	// for a fault of ours.
	RetryUpdate(ctx context.Context, turn shop.Turn, id int64, after time.Duration, fault bool, reason string) error
	// IdleLanes returns at most limit lanes that have due updates and no worker: first
	// those that have an urgent one.
	IdleLanes(ctx context.Context, limit int) (urgent, others []int64, err error)
	// HastenUpdates has updates tried now whose next try is at most so far away.
	HastenUpdates(ctx context.Context, within time.Duration) error
}

// LanesConfig is what Lanes are made of.
type LanesConfig struct {
	Inbox   Inbox
	Handle  func(context.Context, shop.Update) error
	Holder  string        // names this process; no other may bear it
	Workers int           // lanes worked at once; default 32
	Stop    time.Duration // that updates in hand get to finish before they are handed back
	// Recovered tells that Telegram is back: what failed meanwhile is tried at once.
	Recovered <-chan struct{}
	Logger    *zap.Logger
	Metrics   prometheus.Registerer
}

const (
	// claimBudget bounds the taking of one update, handleBudget one try of it,
	// storeBudget the storing of what became of it.
	claimBudget  = 2 * time.Second
	handleBudget = 7 * time.Second
	storeBudget  = 2 * time.Second
	// lease is how long a lane stays ours without our renewing it: longer than the
	// budgets together, so that no lane is worked twice at once, and no longer than
	// a customer should wait after a crash.
	lease = 12 * time.Second
	// turnLength is how many updates of a lane are handled before others get their turn.
	turnLength = 16
	// sweepEvery is how often lanes that nobody works are looked for; half as often while
	// there are none.
	sweepEvery = 500 * time.Millisecond
	// sweepBatch bounds how many of them are taken at a time.
	sweepBatch = 500
)

// Lanes handle updates: in order within a lane, lanes in parallel on a fixed
// number of workers, first those in which something urgent waits. What does not fit into
// memory waits in the inbox.
type Lanes struct {
	cfg     LanesConfig
	urgent  chan int64
	queue   chan int64 // of all others
	handled *prometheus.HistogramVec
	waited  prometheus.Histogram
	turns   atomic.Int64 // that were begun

	mu    sync.Mutex
	lanes map[int64]*place // lanes queued or worked here
}

// place is where a lane is, and whether it was woken again meanwhile.
type place struct {
	worked        bool // else it is queued
	hurried       bool // it stands in the urgent queue
	woken, urgent bool
}

// NewLanes returns Lanes; Run makes them work.
func NewLanes(cfg LanesConfig) *Lanes {
	if cfg.Workers == 0 {
		cfg.Workers = 32
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	buckets := prometheus.ExponentialBuckets(0.001, 3, 10)
	l := &Lanes{
		cfg: cfg, urgent: make(chan int64, 1024), queue: make(chan int64, 1024), lanes: make(map[int64]*place),
		handled: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sallyport", Subsystem: "updates", Name: "duration_seconds",
			Help: "How long one try of an update took, by kind and outcome.", Buckets: buckets,
		}, []string{"kind", "outcome"}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "sallyport", Subsystem: "updates", Name: "wait_seconds",
			Help: "How long an update waited in the inbox before its first try.", Buckets: buckets,
		}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(l.handled, l.waited)
	}
	return l
}

// Wake has a lane worked soon, before others if it is urgent. It never blocks: when the
// queue is full the lane is left to the sweep.
func (l *Lanes) Wake(lane int64, urgent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.lanes[lane]
	if known {
		p.woken, p.urgent = true, p.urgent || urgent
		if p.worked || p.hurried || !urgent {
			return
		}
	}
	queue := l.queue
	if urgent {
		queue = l.urgent
	}
	select {
	case queue <- lane:
		if !known {
			p = &place{}
			l.lanes[lane] = p
		}
		p.hurried = urgent
	default:
	}
}

// Run works until ctx ends, and then until the updates in hand are finished, or
// handed back when they take too long.
func (l *Lanes) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() {
		if sleep(hard, l.cfg.Stop) == nil {
			cancel()
		}
	})
	var g errgroup.Group
	for range l.cfg.Workers {
		g.Go(func() error { l.worker(ctx, hard); return nil })
	}
	g.Go(func() error { l.sweep(ctx); return nil })
	return g.Wait()
}

// sweep wakes what a crash, a full queue or another replica left, and what waited for
// Telegram to be back.
func (l *Lanes) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	swept := false // a moment ago, and there was nothing
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if swept {
				swept = false
				continue
			}
		case <-l.cfg.Recovered:
			if err := l.cfg.Inbox.HastenUpdates(ctx, maxPause); err != nil {
				l.cfg.Logger.Warn("updates not hastened", zap.NamedError("err", err)) // they are tried in their time
			}
		}
		urgent, others, err := l.cfg.Inbox.IdleLanes(ctx, sweepBatch)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("inbox not swept", zap.NamedError("err", err))
		}
		swept = err == nil && len(urgent)+len(others) == 0
		for _, lane := range urgent {
			l.Wake(lane, true)
		}
		for _, lane := range others {
			l.Wake(lane, false)
		}
	}
}

func (l *Lanes) worker(ctx, hard context.Context) {
	for {
		lane, ok := l.take(ctx)
		if !ok {
			return
		}
		if l.begin(lane) {
			l.work(ctx, hard, lane)
		}
	}
}

// take waits for the next lane, the urgent ones first; false once ctx has ended.
func (l *Lanes) take(ctx context.Context) (lane int64, ok bool) {
	select {
	case lane = <-l.urgent:
		return lane, true
	default:
	}
	select {
	case <-ctx.Done():
		return 0, false
	case lane = <-l.urgent:
	case lane = <-l.queue:
	}
	return lane, true
}

// begin notes that the lane is worked. It is false if that has begun already: a lane
// that became urgent stands in both queues.
func (l *Lanes) begin(lane int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.lanes[lane]
	if !known || p.worked {
		return false
	}
	p.worked = true
	return true
}

// work handles the lane's first update, and those that come meanwhile, until none is
// due or ctx ends; what is in hand then goes on until hard ends. What else waits shows
// when the lane is given back.
func (l *Lanes) work(ctx, hard context.Context, lane int64) {
	turn := shop.Turn{Lane: lane, Holder: l.cfg.Holder, Number: l.turns.Add(1)}
	left := laneHeld
	for n := 1; left == laneHeld; n++ {
		left = l.next(ctx, hard, turn, n == turnLength)
	}
	switch left {
	case laneLost:
		l.forget(lane) // its lease runs out by itself
	case laneGiven, laneDue:
		l.rest(lane, left == laneDue)
	default:
		l.rest(lane, l.release(ctx, turn))
	}
}

// next handles the lane's first update, and keeps the lane if there is more to do and
// this is not its last for now.
func (l *Lanes) next(ctx, hard context.Context, turn shop.Turn, last bool) laneState {
	if ctx.Err() != nil {
		return laneIdle
	}
	u, ok := l.claim(hard, turn)
	if !ok {
		return laneIdle
	}
	return l.try(hard, turn, u, func() bool { return !last && ctx.Err() == nil && l.woken(turn.Lane) })
}

// laneState says what a try leaves of the lane.
type laneState int

const (
	laneHeld  laneState = iota // ours, and there is more to do
	laneIdle                   // ours, and nothing is due
	laneGiven                  // given back
	laneDue                    // given back, though more has come
	laneLost                   // what became of the update could not be stored
)

// claim takes the lane's first update.
func (l *Lanes) claim(ctx context.Context, turn shop.Turn) (shop.Update, bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, claimBudget, errors.New("no answer from the inbox"))
	defer cancel()
	u, ok, err := l.cfg.Inbox.ClaimUpdate(ctx, turn, lease)
	if err != nil {
		l.cfg.Logger.Warn("lane not claimed", zap.NamedError("err", err))
	}
	return u, ok
}

// release gives the lane back, also when ctx has ended, and reports whether it has more.
func (l *Lanes) release(ctx context.Context, turn shop.Turn) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeBudget)
	defer cancel()
	more, err := l.cfg.Inbox.ReleaseLane(ctx, turn)
	if err != nil {
		l.cfg.Logger.Warn("lane not released", zap.NamedError("err", err)) // its lease runs out by itself
	}
	return more
}

// woken says whether an update of the lane has come since the last look, and takes note.
func (l *Lanes) woken(lane int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.lanes[lane]
	woken := p.woken
	p.woken, p.urgent = false, false
	return woken
}

// rest puts the lane at the end of its queue if it was woken meanwhile or has more; if
// not, the next Wake queues it. What is urgent may stand behind what was handled.
func (l *Lanes) rest(lane int64, more bool) {
	l.mu.Lock()
	p := l.lanes[lane]
	delete(l.lanes, lane)
	l.mu.Unlock()
	if p.woken || more {
		l.Wake(lane, p.urgent || p.hurried)
	}
}

func (l *Lanes) forget(lane int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lanes, lane)
}
