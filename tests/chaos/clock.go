package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	_ "embed"
)

// clockVariable names to a program the file that holds by how many seconds its wall
// clock is wrong.
const clockVariable = "CLOCK_STEP"

// clockTie is a part of Go's package time: it reads the file.
//
//go:embed clock/stepped.go.txt
var clockTie []byte

// clockShim does the same for PostgreSQL, between it and the C library.
//
//go:embed clock/stepped.c
var clockShim []byte

// clock is the wrong part of the wall clocks that share it.
type clock struct {
	path string
	file *os.File
}

func newClock(path string) (*clock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644) //nolint:gosec // PostgreSQL runs as another user
	if err != nil {
		return nil, fmt.Errorf("a clock: %w", err)
	}
	c := &clock{path: path, file: file}
	return c, c.set(0)
}

// set makes the clock wrong by so much, 0 for right, from this moment on.
func (c *clock) set(off time.Duration) error {
	var seconds [8]byte
	binary.NativeEndian.PutUint64(seconds[:], uint64(int64(off/time.Second)))
	if _, err := c.file.WriteAt(seconds[:], 0); err != nil {
		return fmt.Errorf("step a clock: %w", err)
	}
	return nil
}

func (c *clock) close() error {
	if err := c.file.Close(); err != nil {
		return fmt.Errorf("a clock: %w", err)
	}
	return nil
}

// env is what a program needs to follow the clock.
func (c *clock) env() string { return clockVariable + "=" + c.path }

// shim builds the library that PostgreSQL is started with.
func shim(ctx context.Context, dir string) (library string, err error) {
	source := filepath.Join(dir, "stepped.c")
	library = filepath.Join(dir, "stepped.so")
	if err := os.WriteFile(source, clockShim, 0o644); err != nil { //nolint:gosec // no secret
		return "", fmt.Errorf("PostgreSQL's clock: %w", err)
	}
	build := exec.CommandContext(ctx, "gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source, "-ldl")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("PostgreSQL's clock: %w\n%s", err, out)
	}
	if err := os.Chmod(library, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as another user
		return "", fmt.Errorf("PostgreSQL's clock: %w", err)
	}
	return library, nil
}

// errToolchain says that Go's own source is not as it is known here.
var errToolchain = errors.New("time.Now of this Go is not the one that is known here")

// buildProduct builds the shop from the tree at root as it is, but with a package time
// whose wall clock can be put wrong: that one change is laid over Go's own source.
func buildProduct(ctx context.Context, root, dir string) (program string, err error) {
	overlay, err := layOver(ctx, dir)
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "sallyport")
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-trimpath", "-buildvcs=false", "-o", program, "./cmd/sallyport")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the shop: %w\n%s", err, out)
	}
	return program, nil
}

// layOver writes the changed package time, and the list that lays it over Go's.
func layOver(ctx context.Context, dir string) (overlay string, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	theirs := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(theirs, "time.go"))
	if err != nil {
		return "", fmt.Errorf("read Go's clock: %w", err)
	}
	const call = "\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(source), call) != 1 {
		return "", errToolchain
	}
	changed := strings.Replace(string(source), call, call+"\tsec += stepped()\n", 1)
	list := map[string]map[string]string{"Replace": {
		filepath.Join(theirs, "time.go"):    filepath.Join(dir, "time.go"),
		filepath.Join(theirs, "stepped.go"): filepath.Join(dir, "stepped.go"),
	}}
	text, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("lay over: %w", err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(
		os.WriteFile(filepath.Join(dir, "time.go"), []byte(changed), 0o600),
		os.WriteFile(filepath.Join(dir, "stepped.go"), clockTie, 0o600),
		os.WriteFile(overlay, text, 0o600),
	)
}
