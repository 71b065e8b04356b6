package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"sallyport/shop"
)

// The queues. Each has its own workers, so that work which hangs on one outside
// host starves no other.
const (
	QueueAccess   = "access"   // nodes, for one user
	QueueEnds     = "ends"     // nodes, for many users who need not wait
	QueueMessages = "messages" // Telegram: what somebody waits for
	QueueNotices  = "notices"  // Telegram: what nobody asked for
	QueuePayments = "payments" // the payment provider
	QueueNodes    = "nodes"    // nodes, as a whole
	QueueHouse    = "house"    // the database alone
)

// queueOf names the queue of a job.
func queueOf(j shop.Job) string {
	switch j := j.(type) {
	case shop.ConvergeUser:
		return QueueAccess
	case shop.ConvergeUsers:
		return QueueEnds
	case shop.Notify:
		if j.Notice.Awaited() {
			return QueueMessages
		}
		return QueueNotices
	case shop.OpenInvoice, shop.PollInvoices, shop.SweepPayments:
		return QueuePayments
	case shop.CheckNode:
		return QueueNodes
	default:
		return QueueHouse
	}
}

// periodic says whether one of a job's kind in the queue is enough.
func periodic(j shop.Job) bool {
	switch j.(type) {
	case shop.ConvergeUser, shop.ConvergeUsers, shop.Notify, shop.OpenInvoice:
		return false
	default:
		return true
	}
}

// askEvery is how often a provider's list is swept because somebody asks, at most.
const askEvery = 20 * time.Second

// asked says whether the job is there because somebody asks, which they may do at
// any time, and again and again.
func asked(j shop.Job) bool {
	sweep, ok := j.(shop.SweepPayments)
	return ok && sweep.Provider != ""
}

// JobOpts returns how a job is queued.
func JobOpts(j shop.Job) *river.InsertOpts {
	opts := &river.InsertOpts{Queue: queueOf(j)}
	if periodic(j) {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning,
			rivertype.JobStateRetryable, rivertype.JobStateScheduled,
		}}
		opts.MaxAttempts = 1 // the next tick is the retry
	}
	if asked(j) {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByPeriod: askEvery}
	}
	return opts
}

// enqueue stores jobs together with what caused them. What is asked for is done at
// once, unless it was done a moment ago, and again when that moment is over: a sweep
// that has begun may miss what this one is asked for.
func (s *Store) enqueue(ctx context.Context, tx pgx.Tx, jobs []shop.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, 0, len(jobs))
	for _, j := range jobs {
		params = append(params, river.InsertManyParams{Args: j, InsertOpts: JobOpts(j)})
		if asked(j) {
			later := JobOpts(j)
			later.ScheduledAt = time.Now().Truncate(askEvery).Add(askEvery)
			params = append(params, river.InsertManyParams{Args: j, InsertOpts: later})
		}
	}
	_, err := s.jobs.InsertManyTx(ctx, tx, params)
	return err
}

// Enqueue stores jobs that follow no other fact.
func (s *Store) Enqueue(ctx context.Context, jobs ...shop.Job) error {
	return s.tx(ctx, "enqueue", func(ctx context.Context, tx pgx.Tx) error {
		return s.enqueue(ctx, tx, jobs)
	})
}
