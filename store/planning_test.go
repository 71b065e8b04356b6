package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/store"
)

// workLane takes an update in, works it and gives its lane back.
func workLane(ctx context.Context, s *store.Store, n int64) error {
	if _, err := s.AddUpdate(ctx, shop.Update{ID: n, Lane: n, Kind: "message", Body: []byte(`{}`)}); err != nil {
		return err
	}
	if _, _, err := s.ClaimUpdate(ctx, turn(n, "me"), time.Minute); err != nil {
		return err
	}
	_, err := s.CloseLane(ctx, turn(n, "me"), n, "done", "")
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
		SELECT (SELECT sum(coalesce(seq_tup_read, 0)) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int]); err != nil {
		t.Fatal(err)
	}
	return n
}
