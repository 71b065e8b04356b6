package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// environ is the environment that the settings of c are read from.
func environ(c config) []string {
	lines := []string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}
	for _, s := range settings() {
		var text string
		switch value := reflect.ValueOf(c).Field(s.index).Interface().(type) {
		case secret:
			text = string(value)
		case []string:
			text = strings.Join(value, ",")
		default:
			text = fmt.Sprint(value)
		}
		if text != "" {
			lines = append(lines, s.name+"="+text)
		}
	}
	return lines
}

// command runs the program as an operator does, in a folder and with an environment,
// and returns what it printed and its exit status.
func command(t *testing.T, dir string, environment []string, arguments ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, self, arguments...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, slices.Clone(environment), &out, &problems
	err = cmd.Run()
	if _, isExit := errors.AsType[*exec.ExitError](err); err != nil && !isExit {
		t.Fatal(err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

func TestMigrateStatusNamesEachStep(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), config{
		BotToken: testBotToken, PublicURL: "https://shop.example", WebhookSecret: testSecret, CryptoPayToken: testPayToken,
		DatabaseURL: secret(emptyDatabase(t)),
	}
	environment := slices.DeleteFunc(environ(c), func(line string) bool { return strings.HasSuffix(line, "=0") || strings.HasSuffix(line, "=0s") })
	run := func(want int, arguments ...string) string {
		t.Helper()
		out, problems, status := command(t, dir, environment, arguments...)
		if status != want {
			t.Fatalf("%v: status %d, said %s%s", arguments, status, out, problems)
		}
		return out
	}
	empty := run(0, "migrate", "status")
	if !strings.Contains(empty, "pending     1  0001_create_queue\n") || strings.Contains(empty, "applied") {
		t.Errorf("of an empty database:\n%s", empty)
	}
	steps := strings.Count(empty, "\n")
	if got := run(0, "migrate"); !strings.HasPrefix(got, fmt.Sprintf("applied %d steps ", steps)) {
		t.Errorf("migrate: %s", got)
	}
	if got := run(0, "migrate", "up"); !strings.HasPrefix(got, "applied 0 steps ") {
		t.Errorf("migrate up: %s", got)
	}
	if full := run(0, "migrate", "status"); strings.Count(full, "applied ") != steps || strings.Contains(full, "pending") {
		t.Errorf("of a database that is up to date:\n%s", full)
	}
	environment = append(environment, "DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/x")
	run(1, "migrate", "status")
}

// emptyDatabase returns the address of a database without a table.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("empty_%d", time.Now().UnixNano())
	if err := server.Cluster().CreateDatabase(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	return server.Cluster().URL(name)
}

func TestEndsThatAreHeldAreReleased(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s := server.OpenURL(t, url)
	dir, c := t.TempDir(), config{
		BotToken: testBotToken, PublicURL: "https://shop.example", WebhookSecret: testSecret, CryptoPayToken: testPayToken,
		DatabaseURL: secret(url),
	}
	environment := slices.DeleteFunc(environ(c), func(line string) bool { return strings.HasSuffix(line, "=0") || strings.HasSuffix(line, "=0s") })
	if _, err := s.Pool().Exec(t.Context(), `UPDATE ends SET judged_at = now() - interval '2 days', held = 60, held_since = now()`); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"released 60 ends: they go on within seconds\n", "no ends are held\n"} {
		if out, problems, status := command(t, dir, environment, "ends", "release"); status != 0 || out != want {
			t.Errorf("status %d, said %q%s, want %q", status, out, problems, want)
		}
	}
	if state, err := s.EndsState(t.Context()); err != nil || state.Held != 0 || time.Since(state.JudgedAt) > time.Hour {
		t.Errorf("%+v, %v", state, err)
	}
}
