package store_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

var update = flag.Bool("update", false, "write migrations/schema.txt anew")

// migrations/schema.txt shows the data as the steps leave it: one file to read.
func TestSchemaFileShowsTheDatabaseAsItIs(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	rows, err := s.Pool().Query(t.Context(), `
		WITH tables AS (
			SELECT oid, relname FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname !~ '^(river|goose)_'
		), lines AS (
			SELECT relname, 0 AS part, '' AS name, coalesce(obj_description(oid), '') AS line FROM tables
			UNION ALL
			SELECT relname, 1, lpad(attnum::text, 3), attname || ' ' || format_type(atttypid, atttypmod)
				|| CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
				|| coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
				|| CASE WHEN attidentity <> '' THEN ' IDENTITY' ELSE '' END
			FROM tables JOIN pg_attribute ON attrelid = oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
			WHERE attnum > 0 AND NOT attisdropped
			UNION ALL
			SELECT relname, 2, conname, conname || ': ' || pg_get_constraintdef(c.oid)
			FROM tables JOIN pg_constraint c ON conrelid = tables.oid WHERE contype <> 't' AND contype <> 'n'
			UNION ALL
			SELECT relname, 3, indexname, indexdef FROM tables JOIN pg_indexes ON tablename = relname
			WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
			UNION ALL
			SELECT relname, 4, tgname, pg_get_triggerdef(t.oid) FROM tables JOIN pg_trigger t ON tgrelid = tables.oid WHERE NOT tgisinternal
		)
		SELECT relname, part, line FROM lines ORDER BY relname, part, name`)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	var table, line string
	var part int
	if _, err := pgx.ForEachRow(rows, []any{&table, &part, &line}, func() error {
		if part == 0 {
			fmt.Fprintf(&got, "\n%s\n    -- %s\n", table, line)
		} else {
			fmt.Fprintf(&got, "    %s\n", line)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "migrations", "schema.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s differs from the database (go test ./store -update after a look):\n%s", path, diff)
	}
}
