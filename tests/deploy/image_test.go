package deploy_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// image is what an engine knows of an image, and the root that it would be run in.
type image struct {
	root           string
	dir            string
	user           int
	entry, command []string
	health         []string
	copies         []*instructions.CopyCommand
}

// imageOf reads the stage of an image; it has no root yet.
func imageOf(t *testing.T, stage instructions.Stage) *image {
	t.Helper()
	id, _, _ := strings.Cut(only[*instructions.UserCommand](t, stage).User, ":")
	user, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	i := &image{
		dir: "/", user: user, copies: all[*instructions.CopyCommand](stage),
		entry:   only[*instructions.EntrypointCommand](t, stage).CmdLine,
		command: only[*instructions.CmdCommand](t, stage).CmdLine,
		health:  only[*instructions.HealthCheckCommand](t, stage).Health.Test[1:],
	}
	for _, c := range all[*instructions.WorkdirCommand](stage) {
		i.dir = c.Path
	}
	return i
}

// buildImage builds an image's stages and lays out its root.
func buildImage(t *testing.T, name string) *image {
	t.Helper()
	stages := readDockerfile(t)
	i := imageOf(t, stages[name])
	out := t.TempDir()
	sources := buildContext(t)
	var built []string
	for _, c := range i.copies {
		built = stages.build(t, c.From, sources, out, built)
	}
	i.root = t.TempDir()
	for _, c := range i.copies {
		i.copy(t, c, out)
	}
	i.seal(t)
	return i
}

// build runs the commands of a stage and of those it is from, unless they are built. What
// they put into /out goes to the folder out; they run among the sources.
func (d dockerfile) build(t *testing.T, name, sources, out string, built []string) []string {
	t.Helper()
	stage, ok := d[name]
	if !ok || slices.Contains(built, name) {
		return built
	}
	built = d.build(t, stage.BaseName, sources, out, built)
	for _, c := range all[*instructions.RunCommand](stage) {
		script := strings.ReplaceAll(strings.Join(c.CmdLine, " "), "/out/", out+"/")
		command := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		command.Dir = sources
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "VERSION=v1.2.3")
		run(t, command)
	}
	return append(built, name)
}

// buildContext returns a folder with what .dockerignore sends to the builder.
func buildContext(t *testing.T) string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, inRoot(".dockerignore"))))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, path := range files(t, ".") {
		skip, err := ignored.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		if !skip {
			write(t, filepath.Join(dir, path), read(t, inRoot(path)))
		}
	}
	return dir
}

// copy does what a COPY says.
func (i *image) copy(t *testing.T, c *instructions.CopyCommand, out string) {
	t.Helper()
	for _, source := range c.SourcePaths {
		from := source // of the base image, which has the system's certificates where this machine has them
		if built, ok := strings.CutPrefix(source, "/out/"); ok {
			from = filepath.Join(out, built)
		}
		to := filepath.Join(i.root, c.DestPath)
		if strings.HasSuffix(c.DestPath, "/") {
			to = filepath.Join(to, filepath.Base(source))
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		run(t, exec.CommandContext(t.Context(), "cp", "-R", from, to))
		if c.Chown != "" {
			i.own(t, to)
		}
	}
}

// own gives a path to the image's user. Who is not root maps that user to itself.
func (i *image) own(t *testing.T, path string) {
	t.Helper()
	if os.Getuid() == 0 {
		if err := os.Chown(path, i.user, i.user); err != nil {
			t.Fatal(err)
		}
	}
}

// mount makes a folder that the image's user may write to, as a volume would be.
func (i *image) mount(t *testing.T, path string) {
	t.Helper()
	path = filepath.Join(i.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	i.own(t, path)
}

// seal lets everybody in, and makes the root's own folders read-only.
func (i *image) seal(t *testing.T) {
	t.Helper()
	for dir := filepath.Dir(i.root); ; dir = filepath.Dir(dir) {
		if dir == os.TempDir() || dir == "/" {
			break
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(i.root, 0o755); err != nil {
		t.Fatal(err)
	}
}

// process prepares a command to run in the image: in its root, as its user, with nothing
// but the environment given.
func (i *image) process(t *testing.T, arguments []string, environment ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(kept(t), arguments[0], arguments[1:]...)
	command.Dir, command.Env = i.dir, environment
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root}
	if os.Getuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(i.user), Gid: uint32(i.user)}
		return command
	}
	command.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: i.user, HostID: os.Getuid(), Size: 1}}
	command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: i.user, HostID: os.Getgid(), Size: 1}}
	return command
}

func TestOnlySourcesAreSentToTheBuilder(t *testing.T) {
	t.Parallel()
	dir := buildContext(t)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".go", ".mod", ".sum", ".sql":
		default:
			if !strings.Contains(path, "/bot/locales/") {
				t.Errorf("%s is sent", strings.TrimPrefix(path, dir))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheShopsImageRuns(t *testing.T) {
	t.Parallel()
	i := buildImage(t, "sallyport")
	checkStatic(t, filepath.Join(i.root, i.entry[0]))
	if out := run(t, i.process(t, append(i.entry, "version"))); out != "sallyport v1.2.3\n" {
		t.Errorf("it says %q", out)
	}
	if !slices.Equal(i.command, []string{"serve"}) {
		t.Errorf("it starts with %q", i.command)
	}
	for _, path := range []string{"sallyport", "etc/ssl/certs/ca-certificates.crt"} {
		if info, err := os.Stat(filepath.Join(i.root, path)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Stat(filepath.Join(i.root, "bin/sh")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a shell: %v", err)
	}
}
