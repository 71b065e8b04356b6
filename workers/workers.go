// Package workers runs the job queue: each kind of job calls one use case of the
// shop, and the shop's errors become the queue's verdicts. It holds no rule of the
// business and does no I/O of its own.
package workers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"sallyport/shop"
)

// Schedule says how often each periodic job runs.
type Schedule struct {
	Expire time.Duration // default 15 s
	Nodes  time.Duration // default 10 s
	Poll   time.Duration // default 15 s
	Sweep  time.Duration // default 10 min
	Clean  time.Duration // default 10 min
}

// Config is what Workers are made of.
type Config struct {
	ID       string // names this process among the replicas
	Pool     *pgxpool.Pool
	Shop     *shop.Shop
	Queues   map[shop.Queue]int               // workers of each
	JobOpts  func(shop.Job) *river.InsertOpts // how a periodic job is queued
	Schedule Schedule                         //
	Stop     time.Duration                    // that running jobs get to finish; default 5 s
	Logger   *zap.Logger                      //
	Metrics  prometheus.Registerer            //

	hands *hands
}

// Workers work the job queue of one process.
type Workers struct {
	client *river.Client[pgx.Tx]
	check  func(node string) *river.PeriodicJob
	hands  *hands

	mu     sync.Mutex
	checks map[string]rivertype.PeriodicJobHandle // by node
}

const (
	// fetchAnyway is how often a queue is asked for jobs of which nobody has told: a sign
	// of life tells of all that are due, every second.
	fetchAnyway = 15 * time.Second
	// fetchSoon is the same for what customers wait for, which should not wait long even
	// while the connection that tells is broken.
	fetchSoon = 5 * time.Second
)

// awaited returns the queues of what customers wait for.
func awaited() []shop.Queue {
	return []shop.Queue{shop.QueueAccess, shop.QueueMessages, shop.QueuePayments, shop.QueueStars}
}

// rescueAfter is when a job that nobody ends is given to another by the queue
// itself, the last resort: what a dead process had in hand is handed back sooner.
const rescueAfter = 30 * time.Second

// New returns Workers ready to start.
func New(cfg Config) (*Workers, error) {
	cfg.Schedule = cfg.Schedule.withDefaults()
	if cfg.Stop == 0 {
		cfg.Stop = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	cfg.hands = &hands{ids: make(map[int64]struct{})}
	for _, q := range shop.Queues() {
		if cfg.Queues[q] == 0 {
			return nil, fmt.Errorf("workers: nobody works the queue %s", q)
		}
	}
	queues := make(map[string]river.QueueConfig, len(cfg.Queues))
	for name, n := range cfg.Queues {
		queues[string(name)] = river.QueueConfig{MaxWorkers: n, FetchPollInterval: fetchAnyway}
		if slices.Contains(awaited(), name) {
			queues[string(name)] = river.QueueConfig{MaxWorkers: n, FetchPollInterval: fetchSoon}
		}
	}
	client, err := river.NewClient(riverpgxv5.New(cfg.Pool), &river.Config{
		ID:                          cfg.ID,
		Queues:                      queues,
		Workers:                     register(cfg),
		PeriodicJobs:                cfg.periodic(),
		JobTimeout:                  rescueAfter, // each job has its own
		RescueStuckJobsAfter:        rescueAfter,
		SoftStopTimeout:             cfg.Stop,
		FetchCooldown:               10 * time.Millisecond,
		FetchPollInterval:           fetchAnyway,
		CompletedJobRetentionPeriod: 6 * time.Hour,
		CancelledJobRetentionPeriod: 6 * time.Hour,
		DiscardedJobRetentionPeriod: 30 * 24 * time.Hour,
		Logger:                      queueLogger(cfg.Logger),
	})
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	return &Workers{client: client, check: cfg.check, hands: cfg.hands, checks: make(map[string]rivertype.PeriodicJobHandle)}, nil
}

// InHand returns the jobs that are tried right now.
func (w *Workers) InHand() []int64 { return w.hands.list() }

// SetNodes says which nodes are checked from now on.
func (w *Workers) SetNodes(names []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, handle := range w.checks {
		if !slices.Contains(names, name) {
			w.client.PeriodicJobs().Remove(handle)
			delete(w.checks, name)
		}
	}
	for _, name := range names {
		if _, known := w.checks[name]; known {
			continue
		}
		handle, err := w.client.PeriodicJobs().AddSafely(w.check(name))
		if err != nil {
			return fmt.Errorf("check node %s: %w", name, err)
		}
		w.checks[name] = handle
	}
	return nil
}

// queueLogger passes on what River says when something is wrong; its hourly life
// is of no use to an operator.
func queueLogger(log *zap.Logger) *slog.Logger {
	if log.Core().Enabled(zap.InfoLevel) { // otherwise it says no more than that already
		log = log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
	}
	return slog.New(zapslog.NewHandler(log.Core(), zapslog.WithName("queue")))
}

// Start begins to work; ctx ends the work at once, Stop ends it gracefully.
func (w *Workers) Start(ctx context.Context) error {
	if err := w.client.Start(ctx); err != nil {
		return fmt.Errorf("start workers: %w", err)
	}
	return nil
}

// Stop takes no more jobs and lets the running ones finish; those that do not in
// time are handed back and run again elsewhere.
func (w *Workers) Stop(ctx context.Context) error {
	if err := w.client.Stop(ctx); err != nil {
		return fmt.Errorf("stop workers: %w", err)
	}
	return nil
}

func (s Schedule) withDefaults() Schedule {
	set := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	set(&s.Expire, 15*time.Second)
	set(&s.Nodes, 10*time.Second)
	set(&s.Poll, 15*time.Second)
	set(&s.Sweep, 10*time.Minute)
	set(&s.Clean, 10*time.Minute)
	return s
}

// periodic returns the jobs that the leader among the replicas queues.
func (c Config) periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{
		c.every(c.Schedule.Expire, shop.ExpireDue{}),
		c.every(c.Schedule.Poll, shop.PollInvoices{}),
		c.every(c.Schedule.Sweep, shop.SweepPayments{}),
		c.every(c.Schedule.Clean, shop.CleanUp{}),
	}
}

func (c Config) check(node string) *river.PeriodicJob {
	return c.every(c.Schedule.Nodes, shop.CheckNode{Node: node})
}

func (c Config) every(interval time.Duration, j shop.Job) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval),
		func() (river.JobArgs, *river.InsertOpts) { return j, c.JobOpts(j) },
		&river.PeriodicJobOpts{RunOnStart: true})
}

func register(cfg Config) *river.Workers {
	s := cfg.Shop
	v := newVerdicts(cfg)
	w := river.NewWorkers()
	add(w, v, func(ctx context.Context, j shop.ConvergeUser) error { return s.Converge(ctx, j.UserID) })
	add(w, v, func(ctx context.Context, j shop.ConvergeUsers) error { return s.ConvergeAll(ctx, j.UserIDs) })
	add(w, v, func(ctx context.Context, j shop.ConvergeNode) error { return s.ConvergeNode(ctx, j.UserID, j.Node) })
	add(w, v, func(ctx context.Context, j shop.OpenInvoice) error { return s.OpenInvoice(ctx, j.OrderID) })
	add(w, v, func(ctx context.Context, j shop.Notify) error { return s.Notify(ctx, j) })
	add(w, v, func(ctx context.Context, j shop.CheckNode) error { return s.CheckNode(ctx, j.Node) })
	add(w, v, func(ctx context.Context, j shop.PollInvoices) error { return s.PollInvoices(ctx, j.Provider) })
	add(w, v, func(ctx context.Context, j shop.SweepPayments) error { return s.SweepPayments(ctx, j.Provider) })
	add(w, v, func(ctx context.Context, _ shop.ExpireDue) error { return s.Expire(ctx) })
	add(w, v, func(ctx context.Context, _ shop.CleanUp) error { return s.CleanUp(ctx) })
	return w
}

// worker runs one kind of job.
type worker[T shop.Job] struct {
	river.WorkerDefaults[T]
	do       func(context.Context, T) error
	verdicts *verdicts
}

func add[T shop.Job](w *river.Workers, v *verdicts, do func(context.Context, T) error) {
	var kind T
	v.jobs.WithLabelValues(kind.Kind(), failed) // there from the start, so that the first failure is seen to be one more
	river.AddWorker(w, &worker[T]{do: do, verdicts: v})
}

// Work runs the use case and returns the queue's verdict on its error.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error {
	start := time.Now()
	w.verdicts.hands.take(job.ID)
	defer w.verdicts.hands.leave(job.ID)
	err := w.do(ctx, job.Args)
	return w.verdicts.of(ctx, job.JobRow, time.Since(start), err)
}

// Timeout bounds one try.
func (w *worker[T]) Timeout(job *river.Job[T]) time.Duration { return job.Args.Policy().Time }
