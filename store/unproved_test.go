package store

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestADatabaseElsewhereHasToProveItself(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u@/d?host=/var/run/postgresql":                             "",
		"postgres://u@127.0.0.1/d":                                             "",
		"postgres://u@postgres:5432/d":                                         "",
		"postgres://u@db.example/d":                                            "db.example",
		"postgres://u@db.example/d?sslmode=require":                            "db.example",
		"postgres://u@10.0.0.5/d?sslmode=disable":                              "10.0.0.5",
		"postgres://u@db.example/d?sslmode=verify-full":                        "",
		"postgres://u@a.example,b.example/d?sslmode=prefer":                    "a.example",
		"postgres://u@a.example,b.example/d?sslmode=verify-full":               "",
		"postgres://u@a.example:1,127.0.0.1:2/d?sslmode=verify-full&user=else": "",
	} {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := unproved(&config.Config); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
