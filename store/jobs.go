package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"sallyport/shop"
)

// askEvery is how often a provider is asked about payments because somebody asks, at most.
const askEvery = 20 * time.Second

// asked says whether the job is there because somebody asks, which they may do at
// any time, and again and again.
func asked(j shop.Job) bool {
	switch j := j.(type) {
	case shop.PollInvoices:
		return j.Provider != ""
	case shop.SweepPayments:
		return j.Provider != ""
	default:
		return false
	}
}

// JobOpts returns how a job is queued: as its policy says, whoever does it.
func JobOpts(j shop.Job) *river.InsertOpts {
	policy := j.Policy()
	opts := &river.InsertOpts{Queue: string(policy.Queue), MaxAttempts: policy.Tries}
	if policy.Alone {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning,
			rivertype.JobStateRetryable, rivertype.JobStateScheduled,
		}}
	}
	if asked(j) {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByPeriod: askEvery}
	}
	return opts
}

// enqueue stores jobs together with what caused them. What is asked for is done at
// once, unless it was done a moment ago, and again when that moment is over: a look
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
