package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

const (
	// maxDeaths is how many processes may die with the same job or update in hand before
	// it is given up: it may be what kills them.
	maxDeaths = 20
	// longestRest bounds how long it is left alone after each, twice as long each time, so
	// that there is time for all else.
	longestRest = time.Minute
)

// Sign is what a process says of itself.
type Sign struct {
	Holder  string
	Age     time.Duration // since it began; what is told first counts
	Clock   time.Time     // what its clock shows
	Webhook [32]byte      // digest of the webhook that it wants
}

// Life is what a sign of life tells.
type Life struct {
	Jobs   int64 // of dead processes, handed back
	Eldest bool  // of all that are alive
	Alive  int   // processes
	Due    bool  // something has run out and is not held
	Latest bool  // the webhook that it wants is that of the one that began last
	Keeps  bool  // it is the eldest of those that want that one

	Secrets [][32]byte // digests of the webhook secrets that are good: the present ones, and those before for an hour
}

// Beat says that a process is alive, and hands back what processes that have not said
// so for deadAfter had in hand: their lanes, their jobs, and the lead among the job
// queue's clients. Only who was seen of late judges others: after a pause of the
// database, or after its clock went back, nobody was. Who seems to be seen in a time to
// come was seen before the clock went back, and not since. What several processes died
// with is left alone for a while, and given up in the end. A process wrongly thought
// dead does no harm: it can end no update of a lane it lost, and jobs may run twice.
// The eldest also announces to the job queue's clients where jobs are due, so that they
// need not ask for what was put off, handed back, or announced in vain.
func (s *Store) Beat(ctx context.Context, sign Sign, deadAfter time.Duration) (l Life, err error) {
	err = s.use(ctx, "beat", func(ctx context.Context, conn *pgxpool.Conn) error {
		var strange bool // somebody is dead, or a clock has leapt
		err := conn.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM processes WHERE holder <> $1 AND seen_at NOT BETWEEN now() - $2::interval AND now() + $2::interval)
				OR EXISTS (SELECT FROM river_leader WHERE expires_at > now() + $3::interval)`, sign.Holder, deadAfter, farthest).Scan(&strange)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		if strange {
			l.queueJudgement(&batch, sign, deadAfter)
		} else {
			batch.Queue(`
				INSERT INTO processes (holder, clock_ahead, started_at, webhook) VALUES ($1, $2::timestamptz - now(), now() - $3::interval, $4)
				ON CONFLICT (holder) DO UPDATE SET seen_at = now(), clock_ahead = excluded.clock_ahead`,
				sign.Holder, sign.Clock, sign.Age, sign.Webhook[:])
		}
		l.queueSight(&batch, sign, deadAfter)
		l.queueSecrets(&batch)
		return conn.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return Life{}, err
	}
	return l, nil
}

// queueJudgement says that the process is alive, and hands back what the dead had in hand.
func (l *Life) queueJudgement(batch *pgx.Batch, sign Sign, deadAfter time.Duration) {
	batch.Queue(`
		WITH alive AS (
			INSERT INTO processes (holder, clock_ahead, started_at, webhook) VALUES ($1, $4::timestamptz - now(), now() - $8::interval, $9)
			ON CONFLICT (holder) DO UPDATE SET seen_at = now(), clock_ahead = excluded.clock_ahead
		), dead AS (
			DELETE FROM processes WHERE holder <> $1 AND seen_at NOT BETWEEN now() - $2::interval AND now() + $2::interval
				AND EXISTS (SELECT FROM processes WHERE holder = $1 AND seen_at BETWEEN now() - $2::interval / 2 AND now() + $2::interval / 2)
			RETURNING holder, seen_at = '-infinity' AS gone
		), freed AS (
			DELETE FROM lanes USING dead WHERE lanes.holder = dead.holder
			RETURNING lanes.lane, dead.gone
		), tried AS (
			SELECT head.update_id, head.deaths FROM freed CROSS JOIN LATERAL (
				SELECT update_id, handed_back + 1 AS deaths FROM inbox WHERE inbox.lane = freed.lane AND state = 'waiting'
				ORDER BY arrival LIMIT 1 FOR UPDATE SKIP LOCKED
			) head WHERE NOT freed.gone
		), survived AS (
			UPDATE inbox SET handed_back = tried.deaths,
				run_after = now() + CASE WHEN tried.deaths > 2 THEN least(power(2, tried.deaths - 2), $6) ELSE 0 END * interval '1 second',
				state = CASE WHEN tried.deaths < $5 THEN state ELSE 'dead' END,
				closed_at = CASE WHEN tried.deaths >= $5 THEN now() END,
				error = CASE WHEN tried.deaths < $5 THEN error ELSE $7 END
			FROM tried WHERE inbox.update_id = tried.update_id
		), abdicated AS (
			DELETE FROM river_leader WHERE leader_id IN (SELECT holder FROM dead) OR expires_at > now() + $3::interval
		), handed AS (
			SELECT id, coalesce((metadata ->> 'handed_back')::integer, 0) + (NOT dead.gone)::integer AS deaths
			FROM river_job JOIN dead ON dead.holder = attempted_by[cardinality(attempted_by)]
			WHERE state = 'running'
		)
		UPDATE river_job SET attempt = greatest(attempt - 1, 0), metadata = metadata || jsonb_build_object('handed_back', handed.deaths),
			scheduled_at = now() + CASE WHEN handed.deaths > 2 THEN least(power(2, handed.deaths - 2), $6) ELSE 0 END * interval '1 second',
			state = CASE WHEN handed.deaths < $5 THEN 'available' ELSE 'discarded' END::river_job_state,
			finalized_at = CASE WHEN handed.deaths >= $5 THEN now() END,
			errors = CASE WHEN handed.deaths < $5 THEN errors
				ELSE array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt, 'error', $7::text, 'trace', '')) END
		FROM handed WHERE river_job.id = handed.id AND state = 'running'`,
		sign.Holder, deadAfter, farthest, sign.Clock, maxDeaths, longestRest.Seconds(), "each process that worked it died", sign.Age, sign.Webhook[:]).
		Exec(func(tag pgconn.CommandTag) error {
			l.Jobs = tag.RowsAffected()
			return nil
		})
}

// queueSight looks who is alive, whose webhook is wanted and what is due, and tells the
// job queue's clients.
func (l *Life) queueSight(batch *pgx.Batch, sign Sign, deadAfter time.Duration) {
	batch.Queue(`
		WITH alive AS (
			SELECT holder, started_at, webhook FROM processes WHERE seen_at > now() - $2::interval
		), wanted AS (
			SELECT webhook FROM alive WHERE webhook IS NOT NULL ORDER BY started_at DESC, holder DESC LIMIT 1
		)
		SELECT holder = $1, count(*) OVER (),
			(SELECT webhook = $3 FROM wanted),
			$1 = (SELECT holder FROM alive WHERE webhook = (SELECT webhook FROM wanted) ORDER BY started_at, holder LIMIT 1),
			coalesce((SELECT expires_at <= now() FROM orders WHERE status = 'open' ORDER BY expires_at LIMIT 1), false)
			OR coalesce((SELECT expires_at <= now() FROM subscriptions WHERE status = 'active' ORDER BY expires_at LIMIT 1), false)
				AND NOT EXISTS (SELECT FROM ends WHERE held > 0)
		FROM alive ORDER BY started_at, holder LIMIT 1`, sign.Holder, deadAfter, sign.Webhook[:]).
		QueryRow(func(row pgx.Row) error { return row.Scan(&l.Eldest, &l.Alive, &l.Latest, &l.Keeps, &l.Due) })
	batch.Queue(`
		SELECT pg_notify(current_schema() || '.river_insert', json_build_object('queue', name)::text)
		FROM unnest($3::text[]) AS name CROSS JOIN LATERAL (
			SELECT FROM river_job WHERE state = 'available' AND queue = name AND scheduled_at <= now()
			ORDER BY priority, scheduled_at, id LIMIT 1
		) AS due
		WHERE $1 = (SELECT holder FROM processes WHERE seen_at > now() - $2::interval ORDER BY started_at, holder LIMIT 1)`,
		sign.Holder, deadAfter, shop.Queues())
}

// HandBack has jobs tried again that the database thinks holder is trying, for longer
// than lost, and that are not in its hands: the connection broke while they were taken,
// or while their end was stored. It reports how many. Such a job may run twice.
func (s *Store) HandBack(ctx context.Context, holder string, hands []int64, lost time.Duration) (jobs int64, err error) {
	return s.exec(ctx, "hand back", `
		UPDATE river_job SET state = 'available', attempt = greatest(attempt - 1, 0), scheduled_at = now()
		WHERE state = 'running' AND attempted_by[cardinality(attempted_by)] = $1 AND attempted_at NOT BETWEEN now() - $3::interval AND now() + $3::interval
			AND id <> ALL(coalesce($2::bigint[], '{}'))`, holder, hands, lost)
}

// Hasten has jobs tried now that wait for a time farther away than any pause between
// two tries ends: they were put off while a clock was ahead. It reports how many.
func (s *Store) Hasten(ctx context.Context) (jobs int64, err error) {
	return s.exec(ctx, "hasten", `
		UPDATE river_job SET scheduled_at = now()
		WHERE state IN ('available', 'scheduled', 'retryable')
			AND scheduled_at > now() + $1::interval + CASE state WHEN 'retryable' THEN interval '1.2 seconds' * power(attempt, 4) ELSE '0' END`,
		farthest)
}

// Leave says that holder has stopped of its own will; what it still had in hand is
// handed back by the next Beat of another.
func (s *Store) Leave(ctx context.Context, holder string) error {
	_, err := s.exec(ctx, "leave", `UPDATE processes SET seen_at = '-infinity' WHERE holder = $1`, holder)
	return err
}
