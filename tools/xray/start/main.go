// Command start removes the socket file that a killed Xray leaves behind, and then
// becomes Xray: beside such a file Xray does not start, and its image has no shell.
//
// Usage: start SOCKET PROGRAM ARGUMENT...
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func main() {
	fmt.Fprintln(os.Stderr, "start:", run(os.Args[1:]))
	os.Exit(1)
}

// run returns only if it fails: the process is Xray then.
func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: start SOCKET PROGRAM ARGUMENT...")
	}
	if err := removeSocket(arguments[0]); err != nil {
		return err
	}
	program := arguments[1:]
	return fmt.Errorf("%s: %w", program[0], syscall.Exec(program[0], program, os.Environ()))
}

// removeSocket removes a socket's file, and nothing else that may lie at the path.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket", path)
	}
	return os.Remove(path)
}
