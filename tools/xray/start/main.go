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
		return errors.New("want a socket, a program and its arguments")
	}
	if err := removeSocket(arguments[0]); err != nil {
		return err
	}
	program := arguments[1:]
	err := syscall.Exec(program[0], program, os.Environ()) //nolint:gosec // whoever starts us could start it, too
	return fmt.Errorf("%s: %w", program[0], err)
}

// removeSocket removes a socket's file, and nothing else that may lie at the path.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a socket: %w", err)
	}
	return nil
}
