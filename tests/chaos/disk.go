package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// diskSize is that of PostgreSQL's disk.
const diskSize = 512 << 20

// disk is a small file system in memory for PostgreSQL alone, so that it can be filled.
type disk struct{ dir string }

// newDisk mounts one, which only root may.
func newDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as another user
		return nil, fmt.Errorf("a disk: %w", err)
	}
	if err := unix.Mount("chaos", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", diskSize)); err != nil {
		return nil, fmt.Errorf("a disk: %w", err)
	}
	return &disk{dir: dir}, nil
}

// filler is the file that takes the room.
func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill takes all the room there is.
func (d *disk) fill() error {
	file, err := os.Create(d.filler())
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer file.Close()
	for chunk, at := int64(64<<20), int64(0); chunk >= 1<<10; {
		err := unix.Fallocate(int(file.Fd()), 0, at, chunk)
		switch {
		case err == nil:
			at += chunk
		case errors.Is(err, unix.ENOSPC):
			chunk /= 2
		default:
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// free gives the room back.
func (d *disk) free() error {
	if err := os.Remove(d.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

func (d *disk) close() error {
	if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	return nil
}
