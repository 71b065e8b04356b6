package migrations

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Step is one step of the schema.
type Step struct {
	Version int64
	Name    string    // of its file; empty for a step that this program does not know
	Applied time.Time // zero while it is pending
}

// Pending says whether the database lacks the step.
func (s Step) Pending() bool { return s.Applied.IsZero() }

// Unknown says that the step is of a newer program.
func (s Step) Unknown() bool { return s.Name == "" }

// queueName is what step 1, which has no file, is called.
const queueName = "0001_create_queue"

// Status returns every step, in order: those of this program, and those that a newer
// one has applied. It changes nothing, and makes no table to keep the record in.
func Status(ctx context.Context, url string) ([]Step, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database url: not a PostgreSQL connection string") // its text holds the password
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	steps, err := known(*config)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	applied, err := record(ctx, conn)
	if err != nil {
		return nil, err
	}
	for i, step := range steps {
		steps[i].Applied = applied[step.Version]
		delete(applied, step.Version)
	}
	for _, version := range slices.Sorted(maps.Keys(applied)) {
		steps = append(steps, Step{Version: version, Applied: applied[version]})
	}
	return steps, nil
}

// known returns the steps of this program. It does not connect.
func known(config pgx.ConnConfig) ([]Step, error) {
	db := stdlib.OpenDB(config)
	defer func() { _ = db.Close() }() // it was never open
	provider, err := newProvider(db, nil)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, source := range provider.ListSources() {
		name := queueName
		if source.Path != "" {
			name = path.Base(source.Path)
		}
		steps = append(steps, Step{Version: source.Version, Name: name})
	}
	return steps, nil
}

// noTable is what PostgreSQL says of a table that is not there.
const noTable = "42P01"

// record returns when each step was applied. A step that was taken back has a later
// row that says so.
func record(ctx context.Context, conn *pgx.Conn) (map[int64]time.Time, error) {
	rows, err := conn.Query(ctx, `
		SELECT version_id, tstamp::timestamptz FROM (
			SELECT DISTINCT ON (version_id) version_id, tstamp, is_applied
			FROM goose_db_version WHERE version_id > 0
			ORDER BY version_id, id DESC) AS latest
		WHERE is_applied`)
	if err != nil {
		return nil, fmt.Errorf("read record of migrations: %w", err)
	}
	defer rows.Close()
	applied := make(map[int64]time.Time)
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, fmt.Errorf("read record of migrations: %w", err)
		}
		applied[version] = at.UTC()
	}
	if refused, ok := errors.AsType[*pgconn.PgError](rows.Err()); ok && refused.Code == noTable {
		return nil, nil // an empty database
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read record of migrations: %w", err)
	}
	return applied, nil
}
