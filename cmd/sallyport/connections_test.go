package main

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/store"
)

// What the doctor says that the shop wants is what it opens when all is in use.
func TestDoctorCountsTheConnectionsThatAreOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	var held []*pgxpool.Conn
	defer func() {
		for _, conn := range held {
			conn.Release()
		}
	}()
	for _, pool := range []*store.Store{p.deliveries, p.dialogs, p.work} {
		for range pool.Pool().Config().MaxConns {
			conn, err := pool.Pool().Acquire(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
	}
	var opened int
	w.waitFor("every connection", func() bool {
		row := w.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		if err := row.Scan(&opened); err != nil {
			t.Fatal(err)
		}
		return opened-int(w.store.Pool().Stat().TotalConns())+1 == int(w.config.WebConns+w.config.WorkConns)+connectionsApart
	})
	if want := 18; int(w.config.WebConns+w.config.WorkConns)+connectionsApart != want {
		t.Errorf("docs/operations.md says %d", want)
	}
}
