package load

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Program builds the shop as it is, in a directory, and returns its path.
func Program(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "sallyport")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "sallyport/cmd/sallyport") //nolint:gosec // a directory of the caller's own
	build.Env = append(build.Environ(), "CGO_ENABLED=0")                                                                       // as the Makefile does, whose work is then used again
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the shop: %w\n%s", err, out)
	}
	return program, nil
}
