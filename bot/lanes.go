package bot

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"sallyport/shop"
)

// Inbox holds the updates that were received.
type Inbox interface {
	// ClaimUpdate takes or renews the lane's lease for holder and returns the
	// lane's first waiting update, if it is due and nobody else holds the lane.
	ClaimUpdate(ctx context.Context, lane int64, holder string, lease time.Duration) (shop.Update, bool, error)
	// ReleaseLane gives the lane back and reports whether an update came in meanwhile.
	ReleaseLane(ctx context.Context, lane int64, holder string) (more bool, err error)
	// CloseUpdate ends an update as "done", "stale" or "dead".
	CloseUpdate(ctx context.Context, id int64, state, reason string) error
	// RetryUpdate counts a failed try and lets the update wait.
	RetryUpdate(ctx context.Context, id int64, after time.Duration, reason string) error
	// IdleLanes returns at most limit lanes that have due updates and no worker.
	IdleLanes(ctx context.Context, limit int) ([]int64, error)
}

// LanesConfig is what Lanes are made of.
type LanesConfig struct {
	Inbox   Inbox
	Handle  func(context.Context, shop.Update) error
	Holder  string        // names this process; no other may bear it
	Workers int           // lanes worked at once; default 32
	Stop    time.Duration // that updates in hand get to finish before they are handed back
	Logger  *zap.Logger
	Metrics prometheus.Registerer
}

const (
	// handleBudget bounds one try of one update.
	handleBudget = 8 * time.Second
	// lease is how long a lane stays ours without our renewing it: longer than
	// handleBudget, so that no lane is ever worked twice at once, and no longer
	// than a customer should wait after a crash.
	lease = 10 * time.Second
	// sweepEvery is how often lanes that nobody works are looked for.
	sweepEvery = 500 * time.Millisecond
	// sweepBatch bounds how many of them are taken at a time.
	sweepBatch = 500
	// pressLife is how long Telegram takes the answer to a pressed button.
	pressLife = 150 * time.Second
	// patience is how long an update that fails for a dependency's sake is tried.
	patience = 15 * time.Minute
	// maxAttempts is how often an update that fails for our own fault is tried.
	maxAttempts = 5
	// maxPause bounds the wait between two tries.
	maxPause = 3 * time.Second
)

// Lanes handle updates: in order within a lane, lanes in parallel on a fixed
// number of workers. What does not fit into memory waits in the inbox.
type Lanes struct {
	cfg     LanesConfig
	queue   chan int64
	handled *prometheus.HistogramVec
	waited  prometheus.Histogram

	mu    sync.Mutex
	lanes map[int64]bool // lanes queued or worked here; true if woken again meanwhile
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
		cfg: cfg, queue: make(chan int64, 1024), lanes: make(map[int64]bool),
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

// Wake has a lane worked soon. It never blocks: when the queue is full the lane is
// left to the sweep.
func (l *Lanes) Wake(lane int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.lanes[lane]; known {
		l.lanes[lane] = true
		return
	}
	select {
	case l.queue <- lane:
		l.lanes[lane] = false
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

// sweep wakes what a crash, a full queue or another replica left.
func (l *Lanes) sweep(ctx context.Context) {
	for sleep(ctx, sweepEvery) == nil {
		lanes, err := l.cfg.Inbox.IdleLanes(ctx, sweepBatch)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("inbox not swept", zap.Error(err))
		}
		for _, lane := range lanes {
			l.Wake(lane)
		}
	}
}

func (l *Lanes) worker(ctx, hard context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case lane := <-l.queue:
			l.work(ctx, hard, lane)
		}
	}
}

// work handles the lane's updates until none is due or ctx ends; what is in hand
// then goes on until hard ends.
func (l *Lanes) work(ctx, hard context.Context, lane int64) {
	for ctx.Err() == nil {
		for ctx.Err() == nil && l.next(hard, lane) {
		}
		more, err := l.cfg.Inbox.ReleaseLane(context.WithoutCancel(ctx), lane, l.cfg.Holder)
		if err != nil {
			l.cfg.Logger.Warn("lane not released", zap.Error(err)) // its lease runs out by itself
		}
		if !l.again(lane, more) {
			return
		}
	}
}

// next handles the lane's first update; it reports whether to go on to another.
func (l *Lanes) next(ctx context.Context, lane int64) bool {
	update, ok, err := l.cfg.Inbox.ClaimUpdate(ctx, lane, l.cfg.Holder, lease)
	if err != nil {
		l.cfg.Logger.Warn("lane not claimed", zap.Error(err))
	}
	return ok && l.try(ctx, update)
}

// again reports whether the lane must be worked once more: it was woken meanwhile.
// If not, the next Wake queues it anew.
func (l *Lanes) again(lane int64, more bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes[lane] || more {
		l.lanes[lane] = false
		return true
	}
	delete(l.lanes, lane)
	return false
}

// try handles one update and stores what became of it; it reports whether the
// lane may go on to the next.
func (l *Lanes) try(ctx context.Context, u shop.Update) bool {
	start := time.Now()
	if u.Attempt == 0 {
		l.waited.Observe(start.Sub(u.ReceivedAt).Seconds())
	}
	state, after, err := l.handle(ctx, u)
	if ctx.Err() != nil {
		return false // handed back: it stays as it was
	}
	l.handled.WithLabelValues(u.Kind, state).Observe(time.Since(start).Seconds())
	l.report(u, state, time.Since(start), err)
	var stored error
	if state == "retry" {
		stored = l.cfg.Inbox.RetryUpdate(ctx, u.ID, after, reasonOf(err))
	} else {
		stored = l.cfg.Inbox.CloseUpdate(ctx, u.ID, state, reasonOf(err))
	}
	if stored != nil {
		l.cfg.Logger.Warn("update outcome not stored", zap.Int64("update_id", u.ID), zap.Error(stored))
	}
	return stored == nil && state != "retry"
}

func (l *Lanes) handle(ctx context.Context, u shop.Update) (state string, after time.Duration, err error) {
	age := time.Since(u.ReceivedAt)
	if u.Kind == "callback_query" && age > pressLife {
		return "stale", 0, errors.New("telegram takes no answer any more")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, handleBudget, errors.New("update not handled in time"))
	defer cancel()
	err = guarded(ctx, u, l.cfg.Handle)
	state, after = verdict(u, age, err)
	return state, after, err
}

// guarded turns a panic into an error: one customer's odd update must not end the
// process for all.
func guarded(ctx context.Context, u shop.Update, handle func(context.Context, shop.Update) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{value: r}
		}
	}()
	return handle(ctx, u)
}

// verdict is the one table from a handler's error to what becomes of the update.
func verdict(u shop.Update, age time.Duration, err error) (state string, after time.Duration) {
	pause := min(maxPause, 250*time.Millisecond<<min(u.Attempt, 10))
	switch kind := shop.KindOf(err); {
	case err == nil, kind == shop.KindForbidden: // who has blocked us needs no answer
		return "done", 0
	case kind == shop.KindLimited && age < patience:
		known, _ := errors.AsType[*shop.Error](err)
		return "retry", max(pause, min(known.RetryAfter, time.Minute))
	case kind == shop.KindUnavailable && age < patience:
		return "retry", pause
	case kind == shop.KindInternal && u.Attempt+1 < maxAttempts:
		return "retry", pause
	default:
		return "dead", 0
	}
}

func (l *Lanes) report(u shop.Update, state string, took time.Duration, err error) {
	fields := []zap.Field{
		zap.Int64("update_id", u.ID), zap.Int64("user_id", u.Lane), zap.String("event", u.Kind),
		zap.String("outcome", state), zap.Int("attempt", u.Attempt), zap.Duration("dur", took),
	}
	switch state {
	case "done":
		l.cfg.Logger.Debug("update handled", fields...)
	case "dead":
		l.cfg.Logger.Error("update put aside", append(fields, zap.Error(err))...)
	default:
		l.cfg.Logger.Warn("update not handled", append(fields, zap.Error(err))...)
	}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	reason := err.Error()
	return reason[:min(len(reason), 500)]
}

// panicError is a panic caught in a handler.
type panicError struct{ value any }

// Error names the panic.
func (p *panicError) Error() string {
	if err, ok := p.value.(error); ok {
		return "panic: " + err.Error()
	}
	return "panic in handler"
}
