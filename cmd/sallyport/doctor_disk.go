package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What little free space is.
const (
	littleSpace = 1 << 30
	noSpace     = 100 << 20
	littleShare = 10 // one part in so many
	gib         = 1 << 30
)

// checkDisk looks at the free space of every file system that the shop's files are on.
func (d *doctor) checkDisk(_ context.Context, c *check) {
	seen := make(map[uint64]bool)
	for _, path := range []string{".", filepath.Dir(d.config.Catalogue), d.config.TLSDir} {
		path = existing(path)
		device := deviceOf(path)
		if seen[device] {
			continue
		}
		seen[device] = true
		free, all, err := spaceAt(path)
		if err != nil {
			c.add(warns, path+": "+err.Error(), "see that the shop's user may read it")
			continue
		}
		judgeSpace(path, free, all, c)
	}
}

// spaceAt returns how many bytes of a path's file system are free to the shop, and how
// many it has.
func spaceAt(path string) (free, all uint64, err error) {
	var state syscall.Statfs_t
	if err := syscall.Statfs(path, &state); err != nil {
		return 0, 0, fmt.Errorf("ask for free space: %w", err)
	}
	unit := uint64(state.Bsize)
	return state.Bavail * unit, state.Blocks * unit, nil
}

// isTight says whether so little is free that it may be used up within days: then
// PostgreSQL stops, and the shop with it.
func isTight(free, all uint64) bool { return free < littleSpace && free < all/littleShare }

// existing is the path, or what of it is there.
func existing(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return "."
	}
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func deviceOf(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if state, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(state.Dev)
	}
	return 0
}

func judgeSpace(path string, free, all uint64, c *check) {
	said := fmt.Sprintf("%s: %.1f of %.1f GiB free", path, float64(free)/gib, float64(all)/gib)
	const todo = "make room: journalctl --vacuum-size=200M, docker system prune, old backups"
	switch {
	case free < noSpace:
		c.add(fails, said, todo)
	case free < littleSpace || free < all/littleShare:
		c.add(warns, said, todo)
	default:
		c.add(well, said, "")
	}
}

// checkFiles says which files with secrets everybody may read.
func (d *doctor) checkFiles(_ context.Context, c *check) {
	looked := 0
	for _, path := range d.secretFiles() {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			c.add(warns, err.Error(), "see that the shop's user may read it")
			continue
		}
		looked++
		isMounted := strings.HasPrefix(path, "/run/") // by a container's or a unit's own rules, for it alone
		if mode := info.Mode().Perm(); mode&0o007 != 0 && !isMounted {
			c.add(warns, fmt.Sprintf("%s may be read by everybody: %04o", path, mode), "chmod o-rwx "+path)
		}
	}
	if c.Status == well {
		c.add(well, fmt.Sprintf("%d with secrets, closed to everybody else", looked), "")
	}
}

// secretFiles returns the files and folders that may hold secrets.
func (d *doctor) secretFiles() []string {
	paths := []string{".env"}
	values, err := readEnvironment()
	if err != nil {
		return paths // that is told with the settings
	}
	for _, s := range settings() {
		if path := values[s.name+"_FILE"]; s.isSecret && path != "" {
			paths = append(paths, path)
		}
	}
	if d.config.TLSDir != "" {
		paths = append(paths, d.config.TLSDir)
	}
	return paths
}
