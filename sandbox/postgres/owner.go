package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrMissing means that PostgreSQL is not installed. It says what to type.
var ErrMissing = errors.New("PostgreSQL is not installed: type `apt-get install -y postgresql` " +
	"(with sudo if you are not root), or put initdb and postgres into PATH")

// findPrograms returns the directory of initdb and postgres: the newest one of
// Debian's packages, otherwise the one in PATH.
func findPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	slices.SortFunc(found, func(a, b string) int { return major(b) - major(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		// Not through a link: the server looks for its files beside itself.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			found = append(found, path)
		}
	}
	for _, path := range found {
		dir := filepath.Dir(path)
		if _, err := exec.LookPath(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	return "", ErrMissing
}

// major is the version in a path like /usr/lib/postgresql/15/bin/initdb.
func major(path string) int {
	parts := strings.Split(path, "/")
	n, err := strconv.Atoi(parts[len(parts)-3])
	if err != nil {
		return 0
	}
	return n
}

// owner is the user a server runs as when we are root, because PostgreSQL
// refuses to run as root.
type owner struct {
	name     string
	uid, gid int
}

// serverOwner is nil when the server may run as ourselves.
func serverOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is a valid owner: ourselves
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("user %s has the id %q: %w", name, u.Uid, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("user %s has the group %q: %w", name, u.Gid, err)
		}
		return &owner{name: name, uid: uid, gid: gid}, nil
	}
	return nil, errors.New("there is no user postgres nor nobody, and PostgreSQL does not run as root")
}

func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
}

// own gives a path to the owner.
func (o *owner) own(path string) error {
	if o == nil {
		return nil
	}
	if err := os.Chown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, o.name, err)
	}
	return nil
}

// reach checks that the owner can get into a directory through its parents.
func (o *owner) reach(dir string) error {
	if o == nil {
		return nil
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("look at %s: %w", parent, err)
		}
		if !o.enters(info) {
			return fmt.Errorf("%s can not be entered by user %s, as whom PostgreSQL runs when you are root: choose another directory",
				parent, o.name)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

func (o *owner) enters(dir os.FileInfo) bool {
	mode := dir.Mode().Perm()
	stat, ok := dir.Sys().(*syscall.Stat_t)
	switch {
	case ok && int(stat.Uid) == o.uid:
		return mode&0o100 != 0
	case ok && int(stat.Gid) == o.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
