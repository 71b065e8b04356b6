package deploy_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// volume is what compose's service backup has: a database, a folder for dumps, and, in the
// place of Docker, a program that runs there what would run in the container and notes the
// rest.
type volume struct {
	t    *testing.T
	dir  string // of docker-compose.yml
	path string // of programs
	env  []string
	conn *pgx.Conn
}

// docker stands in for Docker's program. What it is asked for, except in the service
// backup, is written to a file; the shop runs while the file "app" is there.
const docker = `#!/bin/bash
set -euo pipefail
case "$*" in
"compose exec -T backup /usr/local/lib/sallyport/"*) exec "$FOLDER/deploy/${5##*/}" "${@:6}" ;;
"compose ps --services --status running") cat "$FOLDER/running" ;;
"compose stop app") : >"$FOLDER/running" ;;
"compose start app" | "compose up --detach") echo app >"$FOLDER/running" ;;
esac
echo "$*" >>"$FOLDER/asked"
`

func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{t: t, dir: initialised(t)}
	for _, path := range files(t, "deploy") {
		if strings.HasSuffix(path, ".sh") {
			if err := os.Chmod(filepath.Join(v.dir, path), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	address := server.Database(t)
	write(t, filepath.Join(v.dir, "secrets/database_url"), address+"\n")
	write(t, filepath.Join(v.dir, "running"), "app\n")
	write(t, filepath.Join(v.dir, "bin/docker"), docker)
	backups := filepath.Join(v.dir, "backups")
	if err := os.Chmod(filepath.Join(v.dir, "bin/docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(backups, 0o755); err != nil {
		t.Fatal(err)
	}
	v.env = []string{
		"PATH=" + filepath.Join(v.dir, "bin") + ":" + os.Getenv("PATH"), "FOLDER=" + v.dir, "BACKUPS=" + backups,
		"DATABASE_URL_FILE=" + filepath.Join(v.dir, "secrets/database_url"),
	}
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(kept(t)) })
	v.conn = conn
	return v
}

// runs runs one of deploy's scripts with these variables besides.
func (v *volume) runs(env []string, script string, arguments ...string) (string, error) {
	v.t.Helper()
	command := exec.CommandContext(v.t.Context(), filepath.Join(v.dir, "deploy", script), arguments...)
	command.Env = append(append([]string{}, v.env...), env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// must runs one that has to succeed.
func (v *volume) must(script string, arguments ...string) string {
	v.t.Helper()
	out, err := v.runs(nil, script, arguments...)
	if err != nil {
		v.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func (v *volume) sql(statement string) {
	v.t.Helper()
	if _, err := v.conn.Exec(v.t.Context(), statement); err != nil {
		v.t.Fatal(err)
	}
}

// value asks the database for one text.
func (v *volume) value(query string) (text string) {
	v.t.Helper()
	if err := v.conn.QueryRow(v.t.Context(), query).Scan(&text); err != nil {
		v.t.Fatalf("%s: %v", query, err)
	}
	return text
}

// apart closes our own connection while something runs: a restore wants the database for itself.
func (v *volume) apart(do func()) {
	v.t.Helper()
	config := v.conn.Config()
	if err := v.conn.Close(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
	do()
	conn, err := pgx.ConnectConfig(v.t.Context(), config)
	if err != nil {
		v.t.Fatal(err)
	}
	v.conn = conn
}

func (v *volume) asked() string { return read(v.t, filepath.Join(v.dir, "asked")) }

// TestContainersAreBackedUpAndRestored runs the scripts of the service backup on a real
// database, as docs/containers.md says.
func TestContainersAreBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	v := newVolume(t)
	v.sql(`INSERT INTO users (id, language) VALUES (1, 'en')`)
	dump := strings.TrimSpace(v.must("compose-backup.sh", "once"))
	if told := v.value(`SELECT (succeeded_at > now() - interval '1 minute' AND failed_at IS NULL)::text FROM backups`); told != "true" {
		t.Error("the shop is not told of its backup")
	}
	v.sql(`INSERT INTO users (id, language) VALUES (2, 'en'); CREATE TABLE of_another AS SELECT 'kept' AS word`)
	v.apart(func() {
		out := v.must("compose-restore.sh", dump)
		if !strings.Contains(out, "The database is as it was") || !strings.Contains(out, "Left as they are, because neither the backup nor the shop knows them: of_another\n") {
			t.Errorf("it says %s", out)
		}
	})
	if users := v.value(`SELECT string_agg(id::text, ' ') FROM users`); users != "1" {
		t.Errorf("the users are %s", users)
	}
	if word := v.value(`SELECT word FROM of_another`); word != "kept" {
		t.Errorf("the table of another program says %q", word)
	}
	asked := v.asked()
	if stop, start := strings.Index(asked, "compose stop app"), strings.LastIndex(asked, "compose up --detach\n"); stop < 0 || start < stop {
		t.Errorf("Docker was asked for\n%s", asked)
	}
	if late := v.value(`SELECT (succeeded_at > now() - interval '1 minute')::text FROM backups`); late != "true" {
		t.Error("after a restore the shop believes that it has no backup")
	}
}

// TestARestoreThatCannotBeLeavesTheShopRunning tries a dump that was cut off, another
// program's, and one while others use the database.
func TestARestoreThatCannotBeLeavesTheShopRunning(t *testing.T) {
	t.Parallel()
	v := newVolume(t)
	v.sql(`INSERT INTO users (id, language) SELECT n, 'en' FROM generate_series(1, 20000) n`)
	dump := strings.TrimSpace(v.must("compose-backup.sh", "once"))
	text := read(t, dump)
	half := filepath.Join(v.dir, "half.dump")
	write(t, half, text[:len(text)-200])
	if out, err := v.runs(nil, "compose-restore.sh", half); err == nil || !strings.Contains(out, "cannot be read to its end") {
		t.Errorf("half a backup: %v, %s", err, out)
	}
	write(t, half, "CREATE TABLE x ();")
	if out, err := v.runs(nil, "compose-restore.sh", half); err == nil || !strings.Contains(out, "is not a readable backup") {
		t.Errorf("no backup: %v, %s", err, out)
	}
	if strings.Contains(v.asked(), "stop app") {
		t.Errorf("the shop was stopped for nothing:\n%s", v.asked())
	}
	out, err := v.runs(nil, "compose-restore.sh", dump) // we are connected ourselves
	if err == nil || !strings.Contains(out, "others are connected") {
		t.Errorf("with others there: %v, %s", err, out)
	}
	if running := read(t, filepath.Join(v.dir, "running")); running != "app\n" {
		t.Errorf("the shop is off; Docker was asked for\n%s", v.asked())
	}
	if users := v.value(`SELECT count(*)::text FROM users`); users != "20000" {
		t.Errorf("%s users are left", users)
	}
}

// TestABackupThatFailsIsTold has no folder to write to, too little time to keep, and then
// succeeds.
func TestABackupThatFailsIsTold(t *testing.T) {
	t.Parallel()
	v := newVolume(t)
	if out, err := v.runs([]string{"BACKUPS=/proc/nowhere"}, "compose-backup.sh", "once"); err == nil {
		t.Errorf("made where nothing can be: %s", out)
	}
	if reason := v.value(`SELECT reason FROM backups WHERE failed_at IS NOT NULL AND succeeded_at IS NULL`); reason == "" {
		t.Error("the shop is told no reason")
	}
	old := filepath.Join(v.dir, "backups", "20250101T000000Z.dump")
	write(t, old, "old")
	v.must("compose-backup.sh", "once")
	if reason := v.value(`SELECT reason FROM backups WHERE failed_at IS NULL AND succeeded_at IS NOT NULL`); reason != "" {
		t.Errorf("after a success the shop is told %q", reason)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("a backup of long ago is kept")
	}
}

// TestADatabaseOfOthersIsRestored has a role that may do what it was granted, and nothing else.
func TestADatabaseOfOthersIsRestored(t *testing.T) {
	t.Parallel()
	v := newVolume(t)
	dump := strings.TrimSpace(v.must("compose-backup.sh", "once"))
	config := v.conn.Config()
	role := "seller_" + config.Database
	v.sql(`CREATE ROLE "` + role + `" LOGIN PASSWORD 'p%w'`)
	elsewhere := config.Database + "_elsewhere"
	v.sql(`CREATE DATABASE "` + elsewhere + `"`)
	t.Cleanup(func() {
		for _, statement := range []string{`DROP DATABASE "` + elsewhere + `" WITH (FORCE)`, `DROP ROLE "` + role + `"`} {
			if _, err := v.conn.Exec(kept(t), statement); err != nil {
				t.Error(err)
			}
		}
	})
	there := config.Copy()
	there.Database = elsewhere
	owner, err := pgx.ConnectConfig(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(kept(t)) }()
	address, err := url.Parse(strings.TrimSpace(read(t, filepath.Join(v.dir, "secrets/database_url"))))
	if err != nil {
		t.Fatal(err)
	}
	address.User, address.Path = url.UserPassword(role, "p%w"), "/"+elsewhere
	write(t, filepath.Join(v.dir, "secrets/database_url"), address.String())
	if out, err := v.runs(nil, "compose-restore.sh", dump); err == nil || !strings.Contains(out, "may make no tables: GRANT CREATE") {
		t.Errorf("without a grant: %v, %s", err, out)
	}
	if _, err := owner.Exec(t.Context(), `GRANT CREATE, USAGE ON SCHEMA public TO "`+role+`"`); err != nil {
		t.Fatal(err)
	}
	v.must("compose-restore.sh", dump)
	v.must("compose-restore.sh", dump) // over itself: what was granted is still granted
	var tables int
	if err := owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE tableowner = $1`, role).Scan(&tables); err != nil || tables < 15 {
		t.Errorf("%d tables are there: %v", tables, err)
	}
}
