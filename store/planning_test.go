package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/store"
)

// What is waiting for others must not make anything slower, even if all tables were empty
// when PostgreSQL first saw the statements.
func TestWhatWaitsForOthersIsNotRead(t *testing.T) {
	t.Parallel()
	const crowd, rounds = 20_000, 10
	for _, c := range []struct {
		name   string
		config store.Config
		round  func(ctx context.Context, s *store.Store, n int64) error
	}{
		{"a lane", store.Config{PlanOnce: true}, workLane},
		{"the job queue", store.Config{}, takeJobs},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.config.URL, c.config.Name, c.config.MaxConns = server.Database(t), "test", 1 // one connection, which keeps its plans
			s, err := store.Open(t.Context(), c.config)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			must(t, s, `VACUUM ANALYZE`)
			work(t, s, c.round, 0, rounds)
			must(t, s, `INSERT INTO inbox (update_id, lane, kind, body) SELECT 1000 + n, 1000 + n, 'message', '{}' FROM generate_series(1, $1::int) n`, crowd)
			must(t, s, `INSERT INTO lanes (lane, holder, leased_until) SELECT 1000 + n, 'other', now() + interval '1 minute' FROM generate_series(1, $1::int) n`, crowd)
			must(t, s, `INSERT INTO river_job (args, kind, max_attempts, queue, state) SELECT '{}', 'notify', 12, 'notices', 'available' FROM generate_series(1, $1::int)`, crowd)
			before := rowsRead(t, s)
			work(t, s, c.round, rounds, rounds)
			if read := rowsRead(t, s) - before; read > 100*rounds {
				t.Errorf("%d rows were read in %d rounds", read, rounds)
			}
		})
	}
}

func work(t *testing.T, s *store.Store, round func(context.Context, *store.Store, int64) error, from, n int64) {
	t.Helper()
	for i := range n {
		if err := round(t.Context(), s, 1+from+i); err != nil {
			t.Fatal(err)
		}
	}
}

// workLane takes an update in, works it and gives its lane back.
func workLane(ctx context.Context, s *store.Store, n int64) error {
	if _, err := s.AddUpdate(ctx, shop.Update{ID: n, Lane: n, Kind: "message", Body: []byte(`{}`)}); err != nil {
		return err
	}
	if _, _, err := s.ClaimUpdate(ctx, n, "me", time.Minute); err != nil {
		return err
	}
	_, err := s.CloseLane(ctx, n, n, "me", "done", "")
	return err
}

// takeJobs takes the next jobs as the job queue does.
func takeJobs(ctx context.Context, s *store.Store, _ int64) error {
	_, err := s.Pool().Exec(ctx, `
		WITH first AS (
			SELECT id FROM river_job WHERE state = 'available' AND queue = $1 AND scheduled_at <= now()
			ORDER BY priority, scheduled_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
		)
		UPDATE river_job SET attempt = attempt + 1 FROM first WHERE river_job.id = first.id`, "notices", 4)
	return err
}

func must(t *testing.T, s *store.Store, sql string, args ...any) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// rowsRead counts the rows that were read on the store's only connection.
func rowsRead(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	must(t, s, `SELECT pg_stat_force_next_flush()`)
	rows, err := s.Pool().Query(t.Context(), `
		SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE relname IN ('inbox', 'lanes', 'river_job')`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int]); err != nil {
		t.Fatal(err)
	}
	return n
}
