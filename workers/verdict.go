package workers

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"

	"sallyport/shop"
)

// verdicts is the one table that turns the shop's errors into the queue's verdicts.
type verdicts struct {
	log   *zap.Logger
	jobs  *prometheus.HistogramVec
	hands *hands

	mu   sync.Mutex
	said map[string]time.Time // when a failing tick was logged last
}

func newVerdicts(cfg Config) *verdicts {
	v := &verdicts{log: cfg.Logger, hands: cfg.hands, said: make(map[string]time.Time), jobs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "sallyport", Subsystem: "jobs", Name: "duration_seconds",
		Help:    "How long one try of a job took, by kind and outcome.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
	}, []string{"kind", "outcome"})}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(v.jobs)
	}
	return v
}

const (
	// pause is how long a job waits for a dependency that is down: short, because
	// the breaker before each host makes a try cheap, and customers wait for its end.
	pause = 2 * time.Second
	// maxPause is how long it waits when that has lasted for minutes.
	maxPause = 20 * time.Second
	// longestWait is how long it waits at most because it was asked to; then it asks again.
	longestWait = time.Minute
)

// pauseAfter grows with the age of the job, and spreads jobs that failed together.
func pauseAfter(age time.Duration) time.Duration {
	base := min(maxPause, max(pause, age/15))
	return base + rand.N(base/2) //nolint:gosec // spreading retries needs no secret
}

// of returns the verdict on a job's error and leaves one line in the log.
func (v *verdicts) of(ctx context.Context, job *rivertype.JobRow, took time.Duration, err error) error {
	outcome, verdict := decide(job, err)
	v.jobs.WithLabelValues(job.Kind, outcome).Observe(took.Seconds())
	if outcome == "handed_back" && ctx.Err() != nil {
		return verdict
	}
	fields := append(about(job), zap.Duration("dur", took), zap.String("outcome", outcome), zap.NamedError("err", err))
	switch {
	case err == nil:
		v.log.Debug("job done", fields...)
	case outcome == failed:
		v.log.Error("job failed", fields...)
	case outcome != "left_to_next_tick" || v.news(job.Kind+string(job.EncodedArgs)):
		v.log.Warn("job not done", fields...)
	}
	return verdict
}

// about returns the fields that name a job and whom it concerns.
func about(job *rivertype.JobRow) []zap.Field {
	fields := []zap.Field{zap.String("job", job.Kind), zap.Int64("job_id", job.ID), zap.Int("attempt", job.Attempt)}
	var args struct {
		User  int64  `json:"user_id"`
		Order string `json:"order_id"`
		Node  string `json:"node"`
	}
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return fields // the queue says so itself
	}
	if args.User != 0 {
		fields = append(fields, zap.Int64("user_id", args.User))
	}
	if args.Order != "" {
		fields = append(fields, zap.String("order_id", args.Order))
	}
	if args.Node != "" {
		fields = append(fields, zap.String("node", args.Node))
	}
	return fields
}

// news says whether a tick that fails is worth another line: once a minute is.
func (v *verdicts) news(tick string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.said[tick]) < time.Minute {
		return false
	}
	v.said[tick] = time.Now()
	return true
}

// failed is the outcome of a try that failed for a fault of ours.
const failed = "failed"

func decide(job *rivertype.JobRow, err error) (outcome string, verdict error) {
	switch kind := shop.KindOf(err); {
	case err == nil:
		return "done", nil
	case errors.Is(err, context.Canceled):
		return "handed_back", err
	case job.MaxAttempts == 1 && kind == shop.KindInternal:
		return failed, river.JobCancel(err)
	case job.MaxAttempts == 1:
		return "left_to_next_tick", river.JobCancel(err)
	case kind == shop.KindLimited:
		return "waiting", river.JobSnooze(retryAfter(err))
	case kind == shop.KindUnavailable:
		return "waiting", river.JobSnooze(pauseAfter(time.Since(job.CreatedAt)))
	case kind == shop.KindInternal:
		return failed, err
	default:
		return "dropped", river.JobCancel(err)
	}
}

// retryAfter is how long a job waits because it was asked to, or a little longer, so
// that not all come back at once.
func retryAfter(err error) time.Duration {
	known, _ := errors.AsType[*shop.Error](err)
	base := max(time.Second, min(known.RetryAfter, longestWait))
	return base + rand.N(base/8) //nolint:gosec // spreading retries needs no secret
}
