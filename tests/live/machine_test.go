package live_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox/node"
	"sallyport/sandbox/process"
)

const (
	bootLimit    = 3 * time.Minute
	commandLimit = 5 * time.Minute
	clone        = "/root/sallyport" // where the project lies on a machine
	// fetchedModules and builtPackages are Go's caches of this machine, on the other one:
	// a module proxy, and what need not be compiled again.
	fetchedModules = "/mnt/modules"
	builtPackages  = "/mnt/build"
)

// machine is a bare system that runs systemd.
type machine struct {
	t    *testing.T
	root string
	pid  int    // of systemd, as we see it
	psql string // what asks the shop's database
	boot *process.Process
}

// newMachine boots a bare system, of the release that this machine runs, with a clone of
// this project in it.
func newMachine(t *testing.T) *machine {
	t.Helper()
	return newMachineOf(t, os.Getenv(archiveVariable))
}

// newestMachine boots a bare system of the newest release that there is here, whose
// PostgreSQL may be newer.
func newestMachine(t *testing.T) *machine {
	t.Helper()
	ours, other, err := releases()
	must(t, err)
	if other > ours { // releases are named by the alphabet
		return newMachineOf(t, os.Getenv(otherVariable))
	}
	return newMachine(t)
}

// newMachineOf boots the bare system of an archive.
func newMachineOf(t *testing.T, archive string) *machine {
	t.Helper()
	began := time.Now()
	m := &machine{t: t, root: filepath.Join(t.TempDir(), "root"), psql: "runuser -u sallyport -- psql"}
	m.unpack(archive)
	log := &process.Tail{}
	group, err := os.MkdirTemp(os.Getenv(insideVariable), "machine-")
	if err != nil {
		t.Fatal(err)
	}
	m.boot, err = process.Start(process.Config{
		Path: "testdata/boot.sh", Output: log, Env: []string{"PATH=" + os.Getenv("PATH")},
		Args: []string{
			m.root, filepath.Join(group, "all"),
			os.Getenv(modulesVariable), fetchedModules, os.Getenv(buildVariable), builtPackages,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.boot.Kill)
	until(t, "systemd", bootLimit, func() error {
		if !m.boot.Running() {
			t.Fatalf("the machine does not boot: %s", log)
		}
		return m.up()
	})
	t.Cleanup(func() {
		if t.Failed() && m.boot.Running() {
			out, _ := m.try(nil, "journalctl --no-pager --output cat --unit sallyport --unit sallyport-xray --lines 60")
			t.Logf("the services' log:\n%s", out)
		}
	})
	progress("a machine is up, %s", time.Since(began).Round(100*time.Millisecond))
	return m
}

// unpack makes the machine's disk.
func (m *machine) unpack(archive string) {
	m.t.Helper()
	if err := os.Mkdir(m.root, 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.host("tar", "-C", m.root, "-xf", archive)
	for _, file := range []string{"etc/hosts", "etc/hostname"} {
		if err := os.WriteFile(filepath.Join(m.root, file), []byte(hosts), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	target := filepath.Join(m.root, clone)
	if err := os.MkdirAll(filepath.Join(target, ".bin"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.host("bash", "-euc", `cd ../.. && git -c safe.directory='*' ls-files -zco --exclude-standard |
		tar --null --ignore-failed-read --files-from - -c 2>/dev/null | tar -C "$0" -x`, target)
	xray, err := node.Binary()
	if err != nil {
		m.t.Fatal(err)
	}
	m.host("cp", "--dereference", xray, filepath.Join(target, ".bin", "xray"))
}

// host runs a command outside.
func (m *machine) host(name string, arguments ...string) {
	m.t.Helper()
	if out, err := exec.CommandContext(m.t.Context(), name, arguments...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// up finds systemd and returns what is missing until it has started everything.
func (m *machine) up() error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", m.boot.Pid(), m.boot.Pid()))
	if err != nil {
		return err
	}
	if m.pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return err
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.pid)); err != nil || string(name) != "systemd\n" {
		return fmt.Errorf("process 1 is %q: %w", name, err)
	}
	if state, err := m.try(nil, "systemctl is-system-running"); state != "running\n" {
		return fmt.Errorf("the system is %q: %w", state, err)
	}
	return nil
}

// try runs a script of the shell on the machine, as root, with no terminal.
func (m *machine) try(env []string, script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	arguments := []string{
		"--target", strconv.Itoa(m.pid), "--mount", "--pid", "--uts", "--ipc", "--cgroup",
		"env", "--ignore-environment", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8",
	}
	// Secrets go by standard input: a command line can be read by everybody.
	command := exec.CommandContext(ctx, "nsenter", append(arguments, "bash", "-eu", "-o", "pipefail", "/dev/stdin")...)
	var input, output bytes.Buffer
	for _, setting := range env {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&input, "export %s='%s'\n", name, value)
	}
	input.WriteString("exec 0</dev/null\ncd " + clone + "\n" + script + "\n")
	command.Stdin, command.Stdout, command.Stderr = &input, &output, &output
	command.WaitDelay = time.Second
	err := command.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return output.String(), err
}

// do runs a script that must succeed, and returns what it says.
func (m *machine) do(script string) string {
	m.t.Helper()
	out, err := m.try(nil, script)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// query asks the database.
func (m *machine) query(sql string) string {
	m.t.Helper()
	return m.do("cd / && " + m.psql + " -XAtq --set ON_ERROR_STOP=1 <<'SQL'\n" + sql + "\nSQL")
}

// state is a digest of all settings, keys and certificates.
func (m *machine) state() string {
	m.t.Helper()
	return m.do("find /etc/sallyport /var/lib/sallyport /etc/systemd/system /usr/local -type f -not -path '*/locks/*' " +
		"-not -path '*/go1.*' -printf '%p %m %u:%g %T@ ' -exec sha256sum {} + | sort")
}

// until waits until the check finds nothing.
func until(t *testing.T, what string, limit time.Duration, check func() error) {
	t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-end:
			t.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}
