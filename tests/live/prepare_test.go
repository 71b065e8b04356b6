package live_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// What the first process prepares for the second is told by the environment.
const (
	archiveVariable = "SALLYPORT_LIVE_ROOT"  // the bare system, of the release that this machine runs
	otherVariable   = "SALLYPORT_LIVE_OTHER" // one of a release with another PostgreSQL
	modulesVariable = "SALLYPORT_LIVE_PROXY" // a module proxy, as a directory
	buildVariable   = "SALLYPORT_LIVE_BUILD" // Go's build cache
)

// prepare makes or finds everything that has to come from outside.
func prepare(ctx context.Context) error {
	ours, other, err := releases()
	if err != nil {
		return err
	}
	archive, err := bareSystem(ctx, ours)
	if err != nil {
		return err
	}
	otherArchive, err := bareSystem(ctx, other)
	if err != nil {
		return err
	}
	if err := fetchGo(ctx); err != nil {
		return err
	}
	var env struct{ GOCACHE, GOMODCACHE string }
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOCACHE", "GOMODCACHE").Output()
	if err := errors.Join(err, json.Unmarshal(out, &env)); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	return errors.Join(
		os.Setenv(archiveVariable, archive),
		os.Setenv(otherVariable, otherArchive),
		os.Setenv(modulesVariable, filepath.Join(env.GOMODCACHE, "cache", "download")),
		os.Setenv(buildVariable, env.GOCACHE),
	)
}

// releases returns the release that this machine runs, and its neighbour, which has
// another PostgreSQL.
func releases() (ours, other string, err error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", "", fmt.Errorf("which system this is: %w", err)
	}
	found := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(text)
	if found == nil {
		return "", "", errors.New("/etc/os-release names no release")
	}
	ours = string(found[1])
	other, known := map[string]string{"bookworm": "trixie", "trixie": "bookworm", "jammy": "noble", "noble": "jammy"}[ours]
	if !known {
		return "", "", fmt.Errorf("%s is none of the systems that the installer is for", ours)
	}
	return ours, other, nil
}

// bareSystem returns the archive of a release's bare system, which is made when there is
// none or the recipe is another.
func bareSystem(ctx context.Context, release string) (string, error) {
	recipe, err := os.ReadFile("testdata/root.sh")
	if err != nil {
		return "", fmt.Errorf("the bare system's recipe: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the bare system: %w", err)
	}
	dir := filepath.Join(cache, "sallyport")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("where to keep the bare system: %w", err)
	}
	archive := filepath.Join(dir, fmt.Sprintf("bare-%s-%.8x.tar", release, sha256.Sum256(recipe)))
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	progress("making a bare %s (1 to 2 minutes, once for this machine)", release)
	began := time.Now()
	command := exec.CommandContext(ctx, "testdata/root.sh", release, archive)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("make the bare system: %w", err)
	}
	progress("the bare system is made, %s", time.Since(began).Round(time.Second))
	return archive, nil
}

// pinnedGo returns the version that the installer fetches.
func pinnedGo() (string, error) {
	script, err := os.ReadFile(filepath.Join("..", "..", "deploy", "programs.sh"))
	if err != nil {
		return "", fmt.Errorf("the pinned Go: %w", err)
	}
	found := regexp.MustCompile(`(?m)^go_version=(\S+)$`).FindSubmatch(script)
	if found == nil {
		return "", errors.New("deploy/programs.sh pins no Go")
	}
	return string(found[1]), nil
}

// fetchGo sees that the pinned Go lies in the module cache, from where the machine's
// installer fetches it as if from a proxy. Go itself checks its sum.
func fetchGo(ctx context.Context) error {
	version, err := pinnedGo()
	if err != nil {
		return err
	}
	module := fmt.Sprintf("golang.org/toolchain@v0.0.1-go%s.linux-%s", version, runtime.GOARCH)
	if out, err := exec.CommandContext(ctx, "go", "mod", "download", module).CombinedOutput(); err != nil {
		return fmt.Errorf("fetch Go: %w: %s", err, out)
	}
	return nil
}
