package deploy_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile is the Dockerfile's stages, by the names that they all have.
type dockerfile map[string]instructions.Stage

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, inRoot("Dockerfile"))))
	if err != nil {
		t.Fatal(err)
	}
	complain := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	list, _, err := instructions.Parse(parsed.AST, complain)
	if err != nil {
		t.Fatal(err)
	}
	stages := make(dockerfile)
	for _, stage := range list {
		if _, twice := stages[stage.Name]; twice || stage.Name == "" {
			t.Errorf("a stage is named %q", stage.Name)
		}
		stages[stage.Name] = stage
	}
	if last := list[len(list)-1].Name; last != "sallyport" {
		t.Errorf("without a target, %q is built", last)
	}
	return stages
}

// images are the stages that are shipped.
func images() []string { return []string{"sallyport", "xray"} }

// only returns the stage's instruction of a kind, of which there must be one.
func only[T any](t *testing.T, stage instructions.Stage) T {
	t.Helper()
	found := all[T](stage)
	if len(found) != 1 {
		t.Fatalf("%s: %d of %T", stage.Name, len(found), *new(T))
	}
	return found[0]
}

func all[T any](stage instructions.Stage) []T {
	var found []T
	for _, command := range stage.Commands {
		if c, ok := command.(T); ok {
			found = append(found, c)
		}
	}
	return found
}

// isImage says whether an image is the one of that name, with its digest.
func isImage(image, name string) bool {
	tag, digest, _ := strings.Cut(image, "@")
	return tag == name && regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(digest)
}

func TestStagesAreMadeOfKnownThings(t *testing.T) {
	t.Parallel()
	stages := readDockerfile(t)
	language := regexp.MustCompile(`(?m)^go_version=(\S+)$`).FindStringSubmatch(read(t, inRoot("deploy/programs.sh")))[1]
	for name, stage := range stages {
		_, isStage := stages[stage.BaseName]
		if !isStage && stage.BaseName != "scratch" && !isImage(stage.BaseName, "golang:"+language+"-alpine") {
			t.Errorf("%s: from %q, and Go %s in deploy/programs.sh", name, stage.BaseName, language)
		}
		for _, c := range all[*instructions.CopyCommand](stage) {
			if _, ok := stages[c.From]; !ok {
				t.Errorf("%s: %s: there is no stage %q", name, c, c.From)
			}
		}
		if added := all[*instructions.AddCommand](stage); len(added) > 0 {
			t.Errorf("%s: %s", name, added[0])
		}
	}
}

func TestImagesHoldNothingButTheirProgram(t *testing.T) {
	t.Parallel()
	stages := readDockerfile(t)
	for _, name := range images() {
		stage := stages[name]
		if stage.BaseName != "scratch" {
			t.Errorf("%s: from %s", name, stage.BaseName)
		}
		if len(all[*instructions.RunCommand](stage)) > 0 || len(all[*instructions.EnvCommand](stage)) > 0 {
			t.Errorf("%s: it runs something, or sets the environment", name)
		}
	}
}

func TestImagesRunAsNobodyAndAreSupervised(t *testing.T) {
	t.Parallel()
	stages := readDockerfile(t)
	for _, name := range images() {
		stage := stages[name]
		user, group, _ := strings.Cut(only[*instructions.UserCommand](t, stage).User, ":")
		for _, id := range []string{user, group} {
			if n, err := strconv.Atoi(id); err != nil || n == 0 {
				t.Errorf("%s: runs as %s:%s", name, user, group)
			}
		}
		if health := only[*instructions.HealthCheckCommand](t, stage).Health.Test; health[0] != "CMD" {
			t.Errorf("%s: there is no shell for the health check %q", name, health)
		}
		if only[*instructions.EntrypointCommand](t, stage).PrependShell || only[*instructions.CmdCommand](t, stage).PrependShell {
			t.Errorf("%s: there is no shell to start it", name)
		}
		if signal := only[*instructions.StopSignalCommand](t, stage).Signal; signal != "SIGTERM" {
			t.Errorf("%s: is stopped by %s", name, signal)
		}
		var labels []string
		for _, label := range only[*instructions.LabelCommand](t, stage).Labels {
			labels = append(labels, strings.TrimPrefix(label.Key, "org.opencontainers.image."))
		}
		for _, want := range []string{"title", "description", "licenses"} {
			if !slices.Contains(labels, want) {
				t.Errorf("%s: the labels are %q", name, labels)
			}
		}
	}
}

func TestProgramsAreBuiltAlike(t *testing.T) {
	t.Parallel()
	builds := 0
	for name, stage := range readDockerfile(t) {
		for _, c := range all[*instructions.RunCommand](stage) {
			for build := range strings.SplitSeq(strings.Join(c.CmdLine, " "), "&&") {
				if !strings.Contains(build, "go build") {
					continue
				}
				builds++
				for _, flag := range []string{"-trimpath", "-buildvcs=false", `-ldflags "-s -w`} {
					if !strings.Contains(build, flag) {
						t.Errorf("%s: %s: without %s", name, strings.TrimSpace(build), flag)
					}
				}
				checkMounts(t, name, c)
			}
		}
	}
	if builds != 3 {
		t.Errorf("%d programs are built", builds)
	}
}

// checkMounts says whether the sources are not copied, and Go's caches are kept.
func checkMounts(t *testing.T, name string, c *instructions.RunCommand) {
	t.Helper()
	if err := c.Expand(func(word string) (string, error) { return word, nil }); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range instructions.GetMounts(c) {
		found = append(found, string(m.Type)+" "+m.Target)
	}
	if want := []string{"bind .", "cache /go/pkg/mod", "cache /root/.cache/go-build"}; !slices.Equal(found, want) {
		t.Errorf("%s: the mounts are %q, want %q", name, found, want)
	}
}
