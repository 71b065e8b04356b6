package deploy_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts returns every shell script of the repository.
func scripts(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, path := range files(t, ".") {
		if filepath.Ext(path) == ".sh" || path == ".ci/run" {
			found = append(found, path)
		}
	}
	if len(found) < 5 {
		t.Fatalf("found only %v", found)
	}
	return found
}

func TestScriptsAreSound(t *testing.T) {
	t.Parallel()
	for _, path := range scripts(t) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			first, _, _ := strings.Cut(read(t, inRoot(path)), "\n")
			shell, isScript := strings.CutPrefix(first, "#!/bin/")
			if !isScript || shell != "bash" && shell != "sh" {
				t.Fatalf("the first line is %q", first)
			}
			run(t, exec.CommandContext(t.Context(), "bash", "-n", inRoot(path)))
			run(t, exec.CommandContext(t.Context(), "shellcheck", "--external-sources", inRoot(path)))
		})
	}
}

func TestScriptsMayBeRun(t *testing.T) {
	t.Parallel()
	for _, path := range scripts(t) {
		run(t, exec.CommandContext(t.Context(), "test", "-x", inRoot(path)))
	}
}
