// Package storetest gives each test a database of its own on a real PostgreSQL.
package storetest

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/migrations"
	"sallyport/sandbox/postgres"
	"sallyport/store"
)

// Server is a PostgreSQL server for the tests of one package.
type Server struct {
	cluster *postgres.Cluster
	made    atomic.Int64
}

// template is the migrated database that each test gets a copy of.
const template = "template"

// Main starts a server, runs the package's tests with it and stops it. Call it from
// TestMain; it does not return.
func Main(m *testing.M, use func(*Server)) {
	server, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		os.Exit(1)
	}
	use(server)
	code := m.Run()
	if err := server.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		code = 1
	}
	os.Exit(code)
}

func start() (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cluster, err := postgres.Start(ctx, postgres.Config{NoSync: true, TCP: true})
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	if err := cluster.CreateDatabase(ctx, template, ""); err != nil {
		return nil, fmt.Errorf("create template: %w", err)
	}
	pool, err := migrations.Open(ctx, cluster.URL(template))
	if err != nil {
		return nil, fmt.Errorf("open template: %w", err)
	}
	defer pool.Close()
	if _, err := migrations.Up(ctx, pool); err != nil {
		return nil, fmt.Errorf("migrate template: %w", err)
	}
	return &Server{cluster: cluster}, nil
}

// Cluster is the server itself, for tests that stop or restart it.
func (s *Server) Cluster() *postgres.Cluster { return s.cluster }

// Database returns the address of a fresh, migrated database.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.made.Add(1))
	if err := s.cluster.CreateDatabase(t.Context(), name, template); err != nil {
		t.Fatal(err)
	}
	return s.cluster.URL(name)
}

// Open returns a Store over a fresh, migrated database.
func (s *Server) Open(t testing.TB) *store.Store {
	t.Helper()
	return s.OpenURL(t, s.Database(t))
}

// OpenURL returns a Store over the database at url.
func (s *Server) OpenURL(t testing.TB, url string) *store.Store {
	t.Helper()
	opened, err := store.Open(t.Context(), store.Config{URL: url, Name: "test", AcquireTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened
}
