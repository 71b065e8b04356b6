package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	tempPattern = "sallyport-pg-"
	// socketRoom is what a socket's path may have before its file's name: 107
	// bytes in all, less "/.s.PGSQL.NNNNN.lock".
	socketRoom = 107 - 20
	// staleAge keeps a sweep away from directories that are just being made.
	staleAge  = time.Minute
	initLimit = 2 * time.Minute
)

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// prepareDir makes the directories and takes the cluster's lock.
func (c *Cluster) prepareDir() error {
	if c.dir == "" {
		sweep()
		dir, err := c.tempDir()
		if err != nil {
			return err
		}
		c.dir = dir
	}
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", c.dir, err)
	}
	c.dir = dir
	if err := os.MkdirAll(c.dir, 0o755); err != nil { //nolint:gosec // the parents must let the server in
		return fmt.Errorf("make the directory: %w", err)
	}
	if err := c.owner.reach(c.dir); err != nil {
		return err
	}
	if err := c.owner.own(c.dir); err != nil {
		return err
	}
	if err := os.Chmod(c.dir, 0o700); err != nil { //nolint:gosec // a directory needs its execute bit
		return fmt.Errorf("close the directory to others: %w", err)
	}
	if c.lock, err = lockDir(c.dir); err != nil {
		return err
	}
	c.socket = c.dir
	if len(c.socket) > socketRoom {
		c.socket, err = c.tempDir()
	}
	return err
}

// tempDir makes a directory with a short path that Stop removes.
func (c *Cluster) tempDir() (string, error) {
	root := os.TempDir()
	if len(root)+len(tempPattern)+12 > socketRoom || c.owner.reach(filepath.Join(root, "x")) != nil {
		root = "/tmp"
	}
	dir, err := os.MkdirTemp(root, tempPattern)
	if err != nil {
		return "", fmt.Errorf("make a temporary directory: %w", err)
	}
	c.temp = append(c.temp, dir)
	if err := c.owner.own(dir); err != nil {
		return "", err
	}
	return dir, nil
}

// lockDir makes sure that one process at a time uses the directory. The kernel
// gives the lock back when the process dies.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("the cluster in %s is in use by another process", dir), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	return file, nil
}

// sweep removes temporary clusters whose process was killed before it could.
// What can not be removed is left for the next sweep.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < staleAge {
			continue
		}
		// A directory without a lock file holds at most a socket of a killed server.
		if _, err := os.Lstat(filepath.Join(dir, "lock")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		lock, err := lockDir(dir)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// initialise makes the cluster, unless the directory holds one. It is made
// under another name first, so that a crash leaves no half of one.
func (c *Cluster) initialise(ctx context.Context) error {
	passwords := filepath.Join(c.dir, "password")
	if _, err := os.Stat(c.data()); err == nil {
		text, err := os.ReadFile(passwords)
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		c.password = strings.TrimSpace(string(text))
		return nil
	}
	c.password = rand.Text()
	if err := os.WriteFile(passwords, []byte(c.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	if err := c.owner.own(passwords); err != nil {
		return err
	}
	fresh := c.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove half a cluster: %w", err)
	}
	if err := c.initdb(ctx, fresh, passwords); err != nil {
		return err
	}
	if err := os.Rename(fresh, c.data()); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return nil
}

func (c *Cluster) initdb(ctx context.Context, dir, passwords string) error {
	args := []string{
		"-D", dir, "-U", c.cfg.User, "--pwfile", passwords, "-E", "UTF8", "--locale=C.UTF-8",
		// The socket is closed to others by its mode; TCP is open to every local user.
		"--auth-local=trust", "--auth-host=scram-sha-256",
	}
	if c.cfg.NoSync {
		args = append(args, "--no-sync")
	}
	if err := c.run(ctx, "initdb", args...); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	return nil
}

// environment keeps the caller's settings, PGDATA for one, away from the server.
func (c *Cluster) environment() []string {
	return []string{"HOME=" + c.dir, "LANG=C.UTF-8", "PATH=" + c.bin + ":/usr/bin:/bin", "TZ=UTC"}
}
