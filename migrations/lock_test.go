package migrations_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/migrations"
	"sallyport/sandbox/postgres"
)

// A backup, or an operator's open transaction, keeps a step from its table: whoever
// delivers meanwhile waits for seconds, not for the backup, and the step is made up for.
func TestAStepThatWaitsForATableLetsOthersPass(t *testing.T) {
	t.Parallel()
	cluster, pool := newDatabase(t)
	if _, err := migrations.UpTo(t.Context(), pool, 6); err != nil {
		t.Fatal(err)
	}
	reader, customer := connect(t, cluster), connect(t, cluster)
	backup, err := reader.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, reader, `SELECT FROM orders`)

	var applied []int64
	ended := make(chan error, 1)
	go func() {
		var err error
		applied, err = migrations.UpTo(context.WithoutCancel(t.Context()), pool, 7) // it alters orders
		ended <- err
	}()
	for range 2 { // the step is tried again
		waitForLock(t, customer)
		exec(t, customer, `SELECT FROM orders`) // hangs until the step gives way, for ever without a limit
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended while the table was in use: %v", err)
	default:
	}
	if err := backup.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !slices.Equal(applied, []int64{7}) {
		t.Errorf("applied %v, %v", applied, err)
	}
}

// waitForLock returns once somebody waits for the orders.
func waitForLock(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for waits := 0; waits == 0; {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
}

func connect(t *testing.T, cluster *postgres.Cluster) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), cluster.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// exec runs a statement, which has 30 s.
func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}
