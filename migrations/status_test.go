package migrations_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/migrations"
)

func status(t *testing.T, url string) []migrations.Step {
	t.Helper()
	steps, err := migrations.Status(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestStatusNamesEveryStep(t *testing.T) {
	t.Parallel()
	cluster, pool := newDatabase(t)
	url := cluster.URL("shop")
	empty := status(t, url)
	var before int64
	for _, step := range empty {
		if !step.Pending() || step.Unknown() || step.Version <= before {
			t.Errorf("of an empty database: %+v", step)
		}
		before = step.Version
	}
	if len(empty) < 4 || empty[0].Name != "0001_create_queue" {
		t.Errorf("the steps are %+v", empty)
	}
	var tables int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("to ask made %d tables, %v", tables, err)
	}
	if _, err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	full := status(t, url)
	for i, step := range full {
		if step.Pending() || step.Name != empty[i].Name || time.Since(step.Applied).Abs() > time.Hour {
			t.Errorf("of a database that is up to date: %+v", step)
		}
	}
	last := full[len(full)-1]
	if _, err := pool.Exec(t.Context(), `DELETE FROM goose_db_version WHERE version_id = $1`, last.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9001, true), (9002, true), (9002, false)`); err != nil {
		t.Fatal(err)
	}
	mixed := status(t, url)
	if len(mixed) != len(full)+1 || !mixed[len(full)-1].Pending() {
		t.Fatalf("one step is missing and one is newer: %+v", mixed)
	}
	if newer := mixed[len(full)]; newer.Version != 9001 || !newer.Unknown() || newer.Pending() {
		t.Errorf("the step of a newer program: %+v", newer)
	}
}

func TestStatusOfADatabaseThatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@[/x"} {
		if steps, err := migrations.Status(t.Context(), url); err == nil || steps != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, %v", steps, err)
		}
	}
}
