package migrations_test

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/migrations"
	"sallyport/sandbox/postgres"
)

// newDatabase makes an empty database, named shop, on a server of its own, and a pool to
// migrate it by.
func newDatabase(t *testing.T) (*postgres.Cluster, *pgxpool.Pool) {
	t.Helper()
	cluster, err := postgres.Start(t.Context(), postgres.Config{NoSync: true, TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	if err := cluster.CreateDatabase(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	pool, err := migrations.Open(t.Context(), cluster.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return cluster, pool
}

// Three replicas start on an empty database at once.
func TestReplicasThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	cluster, _ := newDatabase(t)
	var mu sync.Mutex
	applied := make(map[int64]int)
	up := func() {
		pool, err := migrations.Open(t.Context(), cluster.URL("shop"))
		if err != nil {
			t.Error(err)
			return
		}
		defer pool.Close()
		versions, err := migrations.Up(t.Context(), pool)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, v := range versions {
			applied[v]++
		}
	}
	var replicas sync.WaitGroup
	for range 3 {
		replicas.Go(up)
	}
	replicas.Wait()
	up() // with nothing to do
	for version, times := range applied {
		if times != 1 {
			t.Errorf("step %d applied %d times", version, times)
		}
	}
	for _, step := range status(t, cluster.URL("shop")) {
		if applied[step.Version] != 1 {
			t.Errorf("step %d was applied %d times", step.Version, applied[step.Version])
		}
	}
}
