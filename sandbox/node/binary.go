package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// BinaryEnv names the environment variable that says where the Xray program is.
const BinaryEnv = "SALLYPORT_XRAY"

// ErrMissing means that there is no Xray program. It says what to type.
var ErrMissing = errors.New("there is no xray program: type `make .bin/xray` in the project's directory, " +
	"or set " + BinaryEnv + " to one")

// Binary finds the Xray program: where SALLYPORT_XRAY says, else beside our own
// program, else in .bin of the project that the working directory is in.
func Binary() (string, error) {
	if path := os.Getenv(BinaryEnv); path != "" {
		if !executable(path) {
			return "", fmt.Errorf("%s is %s: %w", BinaryEnv, path, ErrMissing)
		}
		return path, nil
	}
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), "xray"); executable(path) {
			return path, nil
		}
	}
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	if path := filepath.Join(root, ".bin", "xray"); executable(path) {
		return path, nil
	}
	return "", ErrMissing
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// projectRoot walks up from the working directory to our go.mod.
func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the project: %w", err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module sallyport\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ErrMissing
		}
		dir = parent
	}
}
