package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
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

func readWorkflow(t *testing.T, name string) workflow {
	t.Helper()
	var w workflow
	readYAML(t, inRoot(".github/workflows/"+name), &w)
	if len(w.Jobs) == 0 {
		t.Fatal("the workflow has no jobs")
	}
	return w
}

func TestWorkflowRunsEverythingForEveryChange(t *testing.T) {
	t.Parallel()
	w := readWorkflow(t, "ci.yml")
	for _, event := range []string{"push", "pull_request", "schedule"} {
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
	w := readWorkflow(t, "ci.yml")
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("permissions are %v", w.Permissions)
	}
	if text := read(t, inRoot(".github/workflows/ci.yml")); strings.Contains(text, "secrets.") {
		t.Error("it uses a secret")
	}
}

// TestATagIsReleasedOnceItPasses has a release made of what passes everything, with what
// the changelog says of it, and the right to do that and no more.
func TestATagIsReleasedOnceItPasses(t *testing.T) {
	t.Parallel()
	w := readWorkflow(t, "release.yml")
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "write" || w.On["push"] == nil || len(w.On) != 1 {
		t.Errorf("permissions are %v, it runs on %v", w.Permissions, w.On)
	}
	var order []string
	for _, s := range w.Jobs["release"].Steps {
		for _, word := range []string{"changelog.sh", ".ci/run", "release.sh", "gh release create"} {
			if strings.Contains(s.Run, word) {
				order = append(order, word)
			}
		}
	}
	if strings.Join(order, " ") != "changelog.sh .ci/run release.sh gh release create" {
		t.Errorf("its steps are %q", order)
	}
	said := run(t, exec.CommandContext(t.Context(), inRoot("scripts/changelog.sh"), "Unreleased"))
	if said == "" {
		t.Error("the changelog is empty")
	}
	if out, err := exec.CommandContext(t.Context(), inRoot("scripts/changelog.sh"), "v999.0.0").CombinedOutput(); err == nil {
		t.Errorf("a release that the changelog does not know: %s", out)
	}
}

// TestTheInstallerPutsTheCloneAtATag runs it in a clone whose tag has an installer of
// its own, which must be the one that goes on.
func TestTheInstallerPutsTheCloneAtATag(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	stub := "#!/bin/bash\necho \"the one of the tag: $*\"\n"
	current := read(t, inRoot("deploy/install.sh"))
	git := func(arguments ...string) {
		command := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, arguments...)...)
		command.Dir = dir
		run(t, command)
	}
	install := func(arguments ...string) (string, error) {
		command := exec.CommandContext(t.Context(), filepath.Join(dir, "deploy/install.sh"), arguments...)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	for _, version := range []string{stub, current} {
		write(t, filepath.Join(dir, "deploy/install.sh"), version)
		if err := os.Chmod(filepath.Join(dir, "deploy/install.sh"), 0o755); err != nil {
			t.Fatal(err)
		}
		if version == stub {
			git("init", "--quiet")
		}
		git("add", "--all")
		git("commit", "--quiet", "--message", "x")
		if version == stub {
			git("tag", "v1.2.3")
		}
	}
	if out, err := install("--tag", "v9.9.9"); err == nil || !strings.Contains(out, "there is no release v9.9.9") {
		t.Errorf("a tag that is not there: %v\n%s", err, out)
	}
	if out, err := install("--domain", "shop.example.com", "--tag", "v1.2.3", "--no-backup"); err != nil || !strings.Contains(out, "the one of the tag: --domain shop.example.com --no-backup\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestVulnerabilitiesAreLookedForOrItIsSaidThatTheyAreNot runs the script with a database
// that is there and one that is not.
func TestVulnerabilitiesAreLookedForOrItIsSaidThatTheyAreNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "db/index/db.json"), "{}")
	write(t, filepath.Join(dir, "checker"), "#!/bin/bash\necho \"looked: $*\"\nexit 3\n")
	if err := os.Chmod(filepath.Join(dir, "checker"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env    []string
		fails  bool
		saying string
	}{
		"found":        {[]string{"GOVULNDB=file://" + dir + "/db"}, true, "looked: -db file://" + dir + "/db -C . ./..."},
		"away":         {[]string{"GOVULNDB=file:///nowhere"}, false, "NOT LOOKED AT"},
		"away in a CI": {[]string{"GOVULNDB=file:///nowhere", "VULN_REQUIRED=1"}, true, "NOT LOOKED AT"},
	} {
		command := exec.CommandContext(t.Context(), inRoot("scripts/vuln.sh"), filepath.Join(dir, "checker"))
		command.Env = append(os.Environ(), c.env...)
		out, err := command.CombinedOutput()
		if (err != nil) != c.fails || !strings.Contains(string(out), c.saying) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if text := read(t, inRoot(".ci/run")); !strings.Contains(text, "\nstep make vuln\n") {
		t.Error(".ci/run does not look")
	}
}

func TestWorkflowsArePinnedAndBounded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ci.yml", "release.yml"} {
		isPinnedAndBounded(t, readWorkflow(t, name))
	}
}

func isPinnedAndBounded(t *testing.T, w workflow) {
	t.Helper()
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
