package deploy_test

import (
	"regexp"
	"strings"
	"testing"
)

type workflow struct {
	Name        string
	On          map[string]any
	Permissions map[string]string
	Concurrency struct {
		Group  string
		Cancel bool `yaml:"cancel-in-progress"`
	}
	Jobs map[string]job
}

type job struct {
	RunsOn  string `yaml:"runs-on"`
	Timeout int    `yaml:"timeout-minutes"`
	Steps   []step
}

type step struct {
	Name, Uses, Run string
	With, Env       map[string]string
}

func readWorkflow(t *testing.T) workflow {
	t.Helper()
	var w workflow
	readYAML(t, inRoot(".github/workflows/ci.yml"), &w)
	if len(w.Jobs) == 0 {
		t.Fatal("the workflow has no jobs")
	}
	return w
}

func TestWorkflowRunsEverythingForEveryChange(t *testing.T) {
	t.Parallel()
	w := readWorkflow(t)
	for _, event := range []string{"push", "pull_request"} {
		if _, ok := w.On[event]; !ok {
			t.Errorf("it does not run on %s", event)
		}
	}
	ran := make(map[string]bool)
	for _, j := range w.Jobs {
		for _, s := range j.Steps {
			ran[s.Run] = true
		}
	}
	for _, command := range []string{".ci/run", "deploy/compose-init.sh", "VERSION=$(git describe --always) docker compose build"} {
		if !ran[command] {
			t.Errorf("no step runs %q", command)
		}
	}
}

func TestWorkflowMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := readWorkflow(t)
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("permissions are %v", w.Permissions)
	}
	if text := read(t, inRoot(".github/workflows/ci.yml")); strings.Contains(text, "secrets.") {
		t.Error("it uses a secret")
	}
}

func TestWorkflowIsPinnedAndBounded(t *testing.T) {
	t.Parallel()
	w := readWorkflow(t)
	if !w.Concurrency.Cancel || w.Concurrency.Group == "" {
		t.Error("a newer push does not cancel an older run")
	}
	pinned := regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40}$`)
	for name, j := range w.Jobs {
		if j.Timeout == 0 || strings.HasSuffix(j.RunsOn, "-latest") || j.RunsOn == "" {
			t.Errorf("%s: timeout %d, runs on %q", name, j.Timeout, j.RunsOn)
		}
		for _, s := range j.Steps {
			switch {
			case s.Uses != "" && !pinned.MatchString(s.Uses):
				t.Errorf("%s: %s is not pinned by a commit's hash", name, s.Uses)
			case strings.HasPrefix(s.Uses, "actions/setup-go@") && (s.With["go-version-file"] != "go.mod" || s.With["go-version"] != ""):
				t.Errorf("%s: Go's version is not that of go.mod", name)
			case strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != "false":
				t.Errorf("%s: the token stays in the folder", name)
			}
		}
	}
}
