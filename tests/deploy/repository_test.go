package deploy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// inRoot returns the path of a file by its path in the repository.
func inRoot(path string) string { return filepath.Join("..", "..", filepath.FromSlash(path)) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// files returns the repository's files below a folder: what git knows, and what it would
// be told of.
func files(t *testing.T, under string) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", under)
	list.Dir = inRoot("")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	found := strings.Fields(string(out))
	return slices.DeleteFunc(found, func(path string) bool {
		_, err := os.Stat(inRoot(path)) // one that was removed is still in the index
		return err != nil
	})
}

// run runs a command and returns all it printed; the test fails if the command does.
func run(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command.Args, " "), err, out)
	}
	return string(out)
}

// kept returns a context that outlives the test's own, for what must be ended in its
// cleanup.
func kept(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }
