package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox"
	"sallyport/sandbox/process"
)

const limit = 2 * time.Minute

var programs string // the directory with sallyport and sandbox, built by TestMain

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sallyport-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	for _, name := range []string{"sallyport", "sandbox"} {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, name), "sallyport/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does, whose work is then used again
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
			return 1
		}
	}
	return m.Run()
}

// text is an output that can be read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *text) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *text) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await polls until the check returns nil.
func await(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func readReady(path string) (r sandbox.Ready, err error) {
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	return r, err
}

func TestRunKeepsASandboxUntilItsEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(t.TempDir(), "ready.json")
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	var out, log text
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"run", "-ready", path, "--sallyport", filepath.Join(programs, "sallyport"), "-log", "-chat-port=" + strconv.Itoa(port),
		}, &out, &log)
	}()
	var ready sandbox.Ready
	await(t, func() (err error) {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		ready, err = readReady(path)
		return err
	})
	if u, err := url.Parse(ready.ChatURL); err != nil || u.Port() != strconv.Itoa(port) {
		t.Errorf("the chat is at %s, want port %d", ready.ChatURL, port)
	}
	await(t, func() error {
		for _, want := range []string{"postgres ready in ", "xray ready in ", "sallyport ready in ", "    " + ready.ChatURL, ready.ProductLog} {
			if !strings.Contains(out.String(), want) {
				return fmt.Errorf("no %q in\n%s", want, out.String())
			}
		}
		return nil
	})
	if !strings.Contains(log.String(), "set webhook") {
		t.Errorf("the shop's log is not shown:\n%s", log.String())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ready document is still there: %v", err)
	}
}

// children lists the processes below one.
func children(t *testing.T, parent int) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, path := range all {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// The name, in brackets, may hold anything.
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		if fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		found = append(append(found, pid), children(t, pid)...)
	}
	return found
}

func TestKilledSandboxLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"kill -9", syscall.SIGKILL},
		{"terminate", syscall.SIGTERM},
		{"interrupt", syscall.SIGINT},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ready.json")
			var out text
			p, err := process.Start(process.Config{Path: filepath.Join(programs, "sandbox"), Args: []string{"-ready", path, "-dir", t.TempDir()}, Output: &out})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			await(t, func() error {
				_, err := readReady(path)
				if err != nil {
					err = fmt.Errorf("%w; it said\n%s", err, out.String())
				}
				return err
			})
			below := children(t, p.Pid())
			if len(below) < 3 { // the shop, Xray, PostgreSQL and its own children
				t.Fatalf("only %d processes", len(below))
			}
			if err := p.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			<-p.Done()
			if err := p.Err(); err != nil && c.signal != syscall.SIGKILL {
				t.Errorf("it ended with %v and said\n%s", err, out.String())
			}
			await(t, func() error {
				for _, pid := range below {
					if process.Alive(pid) {
						return fmt.Errorf("process %d is alive", pid)
					}
				}
				return nil
			})
		})
	}
}

func TestDemoSaysWhatFailed(t *testing.T) {
	t.Parallel()
	var out, log text
	err := run(t.Context(), []string{"demo", "--sallyport", "/bin/false"}, &out, &log)
	if err == nil || !strings.Contains(err.Error(), "demo: step 1, everything starts") || out.String() != "" {
		t.Errorf("got %v and\n%s", err, out.String())
	}
}

func TestFlagsAreWrittenWithOneDashOrTwo(t *testing.T) {
	t.Parallel()
	got := doubleDashes([]string{"run", "-ready", "x", "--log", "-chat-port=1", "-", "-h", "-1", "demo"})
	want := []string{"run", "--ready", "x", "--log", "--chat-port=1", "-", "-h", "-1", "demo"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := run(t.Context(), []string{"-no-such-flag"}, &text{}, &text{}); err == nil {
		t.Error("an unknown flag is taken")
	}
}
