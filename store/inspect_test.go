package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/store"
)

// run executes one statement as the cluster's owner.
func run(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestInspectionSaysWhatTheServerIs(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	before, err := store.Inspect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if before.Major < 15 || !strings.HasPrefix(before.Version, "1") || before.ReadOnly || before.Size < 1<<20 {
		t.Errorf("the server is %+v", before)
	}
	if before.Ahead.Abs() > time.Second {
		t.Errorf("on one machine the clocks differ by %s", before.Ahead)
	}
	if before.Connections < 50 || before.Connections >= 200 { // of 200, a few are for superusers
		t.Errorf("%d connections", before.Connections)
	}
}

func TestInspectionTellsOurConnectionsFromThoseOfOthers(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	for _, name := range []string{"sallyport web", "sallyport work", "psql"} {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.RuntimeParams["application_name"] = name
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	}
	found, err := store.Inspect(t.Context(), url)
	if err != nil || found.Ours < 2 || found.Others < 1 { // other tests have theirs
		t.Errorf("%+v, %v", found, err)
	}
}

func TestInspectionSeesLimitsOfTheDatabaseItself(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	name := url[strings.LastIndex(url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	run(t, url, `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` CONNECTION LIMIT 7`)
	run(t, url, `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` SET default_transaction_read_only = on`)
	found, err := store.Inspect(t.Context(), url)
	if err != nil || found.Connections != 7 || !found.ReadOnly {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestInspectionOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	for _, c := range []struct {
		name, url string
		kind      shop.Kind
	}{
		{"nobody listens", "postgres://u:hunter2@127.0.0.1:1/x", shop.KindUnavailable},
		{"no such database", strings.Replace(url, "/test_", "/nope_", 1), shop.KindInternal},
		{"no address", "postgres://u:hunter2@[/x", shop.KindInternal},
	} {
		_, err := store.Inspect(t.Context(), c.url)
		if err == nil || shop.KindOf(err) != c.kind || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
