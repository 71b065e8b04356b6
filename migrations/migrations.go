// Package migrations holds the database's schema as numbered steps and applies
// them. It knows nothing of what the tables are for.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed *.sql
var files embed.FS

// queueVersion is the version of River's schema that step 1 makes.
const queueVersion = 8

const (
	// lockTimeout is how long a step waits for a table that others use. While it
	// waits, whoever comes after it waits behind it, deliveries too.
	lockTimeout = 3 * time.Second
	// lockPause is how long the others then go first.
	lockPause = time.Second
	// lockPatience is how long steps are tried again.
	lockPatience = 5 * time.Minute
)

// Up applies every step that the database lacks and returns the versions it
// applied. Processes that start together wait for each other. A step that does not get
// a table for itself is tried again, and lets others pass meanwhile.
func Up(ctx context.Context, pool *pgxpool.Pool) ([]int64, error) {
	return up(ctx, pool, (*goose.Provider).Up)
}

func up(ctx context.Context, pool *pgxpool.Pool, apply func(*goose.Provider, context.Context) ([]*goose.MigrationResult, error)) ([]int64, error) {
	var applied []int64
	for began := time.Now(); ; {
		versions, err := try(ctx, pool, apply)
		applied = append(applied, versions...)
		if err == nil || !isLocked(err) || time.Since(began) > lockPatience {
			return applied, err
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return applied, err
		}
		pool.Reset() // a step that failed may have left a setting behind
	}
}

// try applies the steps that are missing, up to the first that fails.
func try(ctx context.Context, pool *pgxpool.Pool, apply func(*goose.Provider, context.Context) ([]*goose.MigrationResult, error)) ([]int64, error) {
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }() // closes the handle, not the pool
	provider, err := newProvider(db, pool)
	if err != nil {
		return nil, err
	}
	results, err := apply(provider, ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
	}
	versions := make([]int64, len(results))
	for i, r := range results {
		versions[i] = r.Source.Version
	}
	if err != nil {
		return versions, fmt.Errorf("migrate: %w", err)
	}
	return versions, nil
}

// isLocked says whether others kept a step from what it needs for itself.
func isLocked(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == "55P03" || refused.Code == "40P01") // lock not available; deadlock
}

func newProvider(db *sql.DB, pool *pgxpool.Pool) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return nil, fmt.Errorf("migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(createQueue(pool)),
	)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return provider, nil
}

// createQueue is step 1: River's own schema.
func createQueue(pool *pgxpool.Pool) *goose.Migration {
	migrate := func(direction rivermigrate.Direction, target int) func(context.Context, *sql.DB) error {
		return func(ctx context.Context, _ *sql.DB) error {
			m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
			if err != nil {
				return fmt.Errorf("job queue schema: %w", err)
			}
			if _, err = m.Migrate(ctx, direction, &rivermigrate.MigrateOpts{TargetVersion: target}); err != nil {
				return fmt.Errorf("job queue schema: %w", err)
			}
			return nil
		}
	}
	up := &goose.GoFunc{RunDB: migrate(rivermigrate.DirectionUp, queueVersion)}
	down := &goose.GoFunc{RunDB: migrate(rivermigrate.DirectionDown, -1)}
	return goose.NewGoMigration(1, up, down)
}

// Open connects to the database to migrate it.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	config.MaxConns = 3
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.RuntimeParams["lock_timeout"] = strconv.FormatInt(lockTimeout.Milliseconds(), 10)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return pool, nil
}
