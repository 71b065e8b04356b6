package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"sallyport/sandbox/postgres"
	"sallyport/sandbox/process"
)

const helperEnv = "SALLYPORT_POSTGRES_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		parent()
		return
	}
	goleak.VerifyTestMain(m)
}

// parent is the helper process: it starts a cluster, says where, and waits to be killed.
func parent() {
	c, err := postgres.Start(context.Background(), postgres.Config{NoSync: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Pid(), c.Dir())
	select {}
}

func start(t *testing.T, cfg postgres.Config) *postgres.Cluster {
	t.Helper()
	cfg.NoSync = true
	c, err := postgres.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// query runs one query that yields one value.
func query[T any](ctx context.Context, dsn, sql string) (T, error) {
	var value T
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return value, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, sql).Scan(&value)
	return value, err
}

func mustQuery[T any](t *testing.T, dsn, sql string) T {
	t.Helper()
	value, err := query[T](t.Context(), dsn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func mustExec(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestClusterAnswersOverSocketAndTCP(t *testing.T) {
	t.Parallel()
	c := start(t, postgres.Config{TCP: true, User: "keeper"})
	for _, dsn := range []string{c.URL("postgres"), c.SocketURL("postgres")} {
		if got := mustQuery[string](t, dsn, "SELECT current_user"); got != "keeper" {
			t.Errorf("connected as %q", got)
		}
	}
	settings := map[string]string{
		"max_connections": "200", "listen_addresses": "127.0.0.1", "fsync": "off",
		"server_encoding": "UTF8", "TimeZone": "UTC",
	}
	for name, want := range settings {
		if got := mustQuery[string](t, c.URL("postgres"), "SHOW "+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if port := mustQuery[string](t, c.URL("postgres"), "SHOW port"); !strings.HasSuffix(c.Addr(), ":"+port) {
		t.Errorf("address %s, port %s", c.Addr(), port)
	}
}

func TestTCPAsksForThePassword(t *testing.T) {
	t.Parallel()
	c := start(t, postgres.Config{TCP: true})
	u, err := url.Parse(c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "wrong")
	_, err = query[int](t.Context(), u.String(), "SELECT 1")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("a wrong password got %v", err)
	}
}

func TestSocketOnlyClusterOpensNoPort(t *testing.T) {
	t.Parallel()
	c := start(t, postgres.Config{})
	if c.URL("x") != c.SocketURL("x") || c.Addr() != "" {
		t.Errorf("URL %s, address %q", c.URL("x"), c.Addr())
	}
	if got := mustQuery[string](t, c.URL("postgres"), "SHOW listen_addresses"); got != "" {
		t.Errorf("listens on %q", got)
	}
	info, err := os.Stat(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the socket's directory has mode %o", mode)
	}
}

func TestDatabasesAreClonedAndDropped(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := start(t, postgres.Config{})
	if err := c.CreateDatabase(ctx, "template", ""); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c.URL("template"), "CREATE TABLE t AS SELECT 42 AS n")
	if err := c.CreateDatabase(ctx, `clone "1"`, "template"); err != nil {
		t.Fatal(err)
	}
	if got := mustQuery[int](t, c.SocketURL(`clone "1"`), "SELECT n FROM t"); got != 42 {
		t.Errorf("the clone holds %d", got)
	}
	for range 2 {
		if err := c.DropDatabase(ctx, `clone "1"`); err != nil {
			t.Error(err)
		}
		if err := c.EnsureDatabase(ctx, "template"); err != nil {
			t.Error(err)
		}
	}
	if err := c.CreateDatabase(ctx, "template", ""); err == nil {
		t.Error("the same database was created twice")
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	c := start(t, postgres.Config{})
	pid := c.Pid()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if process.Alive(pid) || c.Running() {
		t.Error("the server still runs")
	}
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestDataOutlivesRestartKillAndStop(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := keptDir(t)
	c := start(t, postgres.Config{Dir: dir, TCP: true})
	dsn := c.URL("postgres")
	mustExec(t, dsn, "CREATE TABLE kept AS SELECT 7 AS n")
	if err := c.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	mustQuery[int](t, dsn, "SELECT n FROM kept")
	pid := c.Pid()
	c.Kill()
	if process.Alive(pid) || c.Running() {
		t.Error("the killed server still runs")
	}
	if err := c.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	mustQuery[int](t, dsn, "SELECT n FROM kept")
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, postgres.Config{Dir: dir, TCP: true})
	if got := mustQuery[int](t, again.URL("postgres"), "SELECT n FROM kept"); got != 7 {
		t.Errorf("kept %d", got)
	}
}

// keptDir is a directory that the server's user can reach, which those of
// t.TempDir are not for root.
func keptDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "kept-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDirectoryOutOfReachIsExplained(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // only root has the server run as another user
	}
	closed, err := os.MkdirTemp("", "closed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(closed) })
	_, err = postgres.Start(t.Context(), postgres.Config{Dir: closed + "/pg"})
	if err == nil || !strings.Contains(err.Error(), "choose another directory") {
		t.Errorf("got %v", err)
	}
}

func TestDirectoryServesOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := keptDir(t)
	start(t, postgres.Config{Dir: dir})
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second start in the same directory: %v", err)
	}
}

func TestLongDirectoryGetsAShortSocket(t *testing.T) {
	t.Parallel()
	dir := keptDir(t) + "/" + strings.Repeat("long", 30)
	c := start(t, postgres.Config{Dir: dir})
	mustQuery[int](t, c.URL("postgres"), "SELECT 1")
}

func TestParentKilledLeavesNoServer(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	word, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, err := strconv.Atoi(word)
	if err != nil {
		t.Fatalf("the helper said %q", line)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitGone(t, pid)
	// Its directory is free for a successor at once, dying backends or not.
	again := start(t, postgres.Config{Dir: dir})
	mustQuery[int](t, again.URL("postgres"), "SELECT 1")
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for process.Alive(pid) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("server %d still runs", pid)
		}
	}
}
