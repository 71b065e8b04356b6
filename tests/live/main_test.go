package live_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// insideVariable tells the second run of this program that it is in the network of its
// own, and names its cgroup.
const insideVariable = "SALLYPORT_LIVE_CGROUP"

// TestMain runs the tests; in the second process, once its network is furnished.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "live:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// progress tells what takes long.
func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "live: "+format+"\n", values...)
}

// apart has the test run in a process whose network is its own, and says whether this is
// that process: the first one prepares what needs a network, and then only waits.
func apart(t *testing.T) bool {
	t.Helper()
	switch {
	case os.Getenv(insideVariable) != "":
		return true
	case os.Geteuid() != 0:
		t.Skip("booting a machine needs root") // namespaces of one's own are not enough: it mounts, and makes a control group
	}
	must(t, prepare(t.Context()))
	group, err := newCgroup()
	must(t, err)
	defer func() { must(t, removeCgroup(group)) }()
	self, err := os.Executable()
	must(t, err)
	runtime.LockOSThread() // when this thread ends, the kernel kills the other process
	defer runtime.UnlockOSThread()
	command := exec.Command(self, append(os.Args[1:], "-test.run=^"+t.Name()+"$")...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.Env = append(os.Environ(), insideVariable+"="+group)
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	if err := command.Run(); err != nil {
		t.Errorf("the test failed in its own network, see above: %v", err)
	}
	return false
}

// newCgroup makes a cgroup for all that we start.
func newCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" {
			return os.MkdirTemp(fields[1], "sallyport-live-")
		}
	}
	return "", errors.New("cgroup v2 is mounted nowhere")
}

// removeCgroup removes a cgroup and all below it, once the kernel has let go of them.
func removeCgroup(group string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var problem error
	for range 100 {
		var all []string
		_ = filepath.WalkDir(group, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append([]string{path}, all...)
			}
			return nil
		})
		problem = nil
		for _, path := range all {
			problem = errors.Join(problem, syscall.Rmdir(path))
		}
		if problem == nil {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("remove the cgroup %s: %w", group, problem)
}

// settle furnishes the network: the server's address and one of the internet, which are of
// a range for documentation, and the names that there are.
func settle() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep our mounts to ourselves: %w", err)
	}
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, address := range []string{serverAddress, laterAddress, internetAddress, coverAddress} {
		commands = append(commands, []string{"address", "add", address + "/32", "dev", "lo"})
	}
	for _, arguments := range commands {
		if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(arguments, " "), err, out)
		}
	}
	file, err := os.CreateTemp("", "hosts-")
	if err != nil {
		return fmt.Errorf("names: %w", err)
	}
	defer os.Remove(file.Name()) // it stays mounted
	if _, err := file.WriteString(hosts); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	if err := errors.Join(file.Chmod(0o644), file.Close()); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	if err := syscall.Mount(file.Name(), "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	return nil
}
