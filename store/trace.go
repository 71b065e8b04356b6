package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// longHold is how long a connection may be held before its holder is logged.
const longHold = time.Second

// poolTracer measures every acquire of a pool, the job queue's own included: how
// long it waited and how long the connection was held.
type poolTracer struct {
	log  *zap.Logger
	wait prometheus.Observer
	hold prometheus.Observer

	mu   sync.Mutex
	held map[*pgx.Conn]holding
}

type holding struct {
	op    string
	since time.Time
}

type (
	opKey    struct{}
	startKey struct{}
)

func withOp(ctx context.Context, op string) context.Context {
	return context.WithValue(ctx, opKey{}, op)
}

func newPoolTracer(cfg Config) *poolTracer {
	metric := func(name, help string) prometheus.Observer {
		return shared(cfg.Metrics, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sallyport", Subsystem: "pool", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"pool"})).WithLabelValues(cfg.Name)
	}
	return &poolTracer{
		log:  cfg.Logger.With(zap.String("pool", cfg.Name)),
		wait: metric("acquire_wait_seconds", "How long an acquire waited for a connection."),
		hold: metric("hold_seconds", "How long a connection was held."),
		held: make(map[*pgx.Conn]holding),
	}
}

// TraceQueryStart implements pgx.QueryTracer, which a pool tracer must.
func (t *poolTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t *poolTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceAcquireStart notes when the wait began.
func (t *poolTracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return context.WithValue(ctx, startKey{}, time.Now())
}

// TraceAcquireEnd measures the wait and notes the holder.
func (t *poolTracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	if start, ok := ctx.Value(startKey{}).(time.Time); ok {
		t.wait.Observe(time.Since(start).Seconds())
	}
	if data.Err != nil {
		return
	}
	op, _ := ctx.Value(opKey{}).(string)
	if op == "" {
		op = "job queue"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held[data.Conn] = holding{op: op, since: time.Now()}
}

// TraceRelease measures the hold and logs one that was too long.
func (t *poolTracer) TraceRelease(_ *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	t.mu.Lock()
	h, ok := t.held[data.Conn]
	delete(t.held, data.Conn)
	t.mu.Unlock()
	if !ok {
		return
	}
	took := time.Since(h.since)
	t.hold.Observe(took.Seconds())
	if took > longHold {
		t.log.Warn("connection held long", zap.String("op", h.op), zap.Duration("dur", took))
	}
}
