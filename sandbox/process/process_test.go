package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/sandbox/process"
)

const helperEnv = "SALLYPORT_PROCESS_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		parent()
		return
	}
	goleak.VerifyTestMain(m)
}

// parent is the helper process: it starts a child, prints its id and waits to be killed.
func parent() {
	p, err := process.Start(process.Config{Path: "/bin/sleep", Args: []string{"300"}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Pid())
	<-p.Done()
}

func start(t *testing.T, cfg process.Config) *process.Process {
	t.Helper()
	p, err := process.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// shell starts a script and waits until it has printed its first line.
func shell(t *testing.T, script string, cfg process.Config) *process.Process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cfg.Path, cfg.Args, cfg.Output = "/bin/sh", []string{"-c", script}, w
	p := start(t, cfg)
	w.Close()
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatalf("read the first line: %v", err)
	}
	return p
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for process.Alive(pid) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("process %d still runs", pid)
		}
	}
}

func TestParentKilledLeavesNoChild(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the helper said %q", line)
	}
	if !process.Alive(pid) {
		t.Fatalf("child %d does not run", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitGone(t, pid)
}

func TestChildOutlivesTheStartingGoroutine(t *testing.T) {
	t.Parallel()
	started := make(chan *process.Process)
	go func() {
		p, err := process.Start(process.Config{Path: "/bin/sleep", Args: []string{"300"}})
		if err != nil {
			t.Error(err)
		}
		started <- p
	}()
	p := <-started
	if p == nil {
		return
	}
	defer p.Kill()
	// The child would be dead within a moment, had its thread ended with the goroutine.
	select {
	case <-p.Done():
		t.Fatalf("the child ended: %v", p.Err())
	case <-time.After(50 * time.Millisecond):
	}
}

func TestStopSendsTheChosenSignal(t *testing.T) {
	t.Parallel()
	p := shell(t, `trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done`,
		process.Config{StopSignal: syscall.SIGINT})
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if !errors.As(p.Err(), &exit) || exit.ExitCode() != 7 || p.State().ExitCode() != 7 {
		t.Errorf("ended with %v, want exit status 7", p.Err())
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("second stop: %v", err)
	}
	p.Kill()
}

func TestStopKillsAStubbornChild(t *testing.T) {
	t.Parallel()
	const deaf = `trap '' TERM; echo ready; while :; do sleep 0.01; done`
	tests := []struct {
		name  string
		grace time.Duration
		ctx   func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"after the grace", 20 * time.Millisecond, context.WithCancel},
		{"when the context ends", time.Minute, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := tt.ctx(t.Context())
			defer cancel()
			p := shell(t, deaf, process.Config{Grace: tt.grace})
			if err := p.Stop(ctx); !errors.Is(err, process.ErrKilled) {
				t.Errorf("Stop = %v, want ErrKilled", err)
			}
			if p.Running() || process.Alive(p.Pid()) {
				t.Error("the child still runs")
			}
		})
	}
}

func TestKillTakesTheWholeGroup(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := start(t, process.Config{Path: "/bin/sh", Args: []string{"-c", "sleep 300 & echo $!; wait"}, Output: w})
	w.Close()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	waitGone(t, grandchild)
}

func TestOutputAndExitState(t *testing.T) {
	t.Parallel()
	tail := &process.Tail{}
	p := start(t, process.Config{
		Path: "/bin/sh", Args: []string{"-c", "cat; echo $GREETING; echo oops >&2"},
		Env: []string{"GREETING=hello"}, Input: []byte("input\n"), Output: tail,
	})
	<-p.Done()
	if got, want := tail.String(), "input\nhello\noops"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	if p.Err() != nil || !p.State().Success() {
		t.Errorf("ended with %v", p.Err())
	}
}

func TestStartOfAMissingProgramFails(t *testing.T) {
	t.Parallel()
	_, err := process.Start(process.Config{Path: "/no/such/program"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start program") {
		t.Errorf("got %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	tail := &process.Tail{Next: &all}
	for i := range 2000 {
		fmt.Fprintf(tail, "line %d\n", i)
	}
	if got := tail.String(); len(got) > 4096 || !strings.HasSuffix(got, "line 1999") {
		t.Errorf("kept %d bytes ending in %q", len(got), got[len(got)-20:])
	}
	if !strings.HasPrefix(all.String(), "line 0\n") {
		t.Error("the next writer missed the beginning")
	}
}

func TestFreePortIsBelowTheEphemeralRange(t *testing.T) {
	t.Parallel()
	for range 20 {
		port, err := process.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if port < 1024 || port >= 32768 {
			t.Errorf("port %d", port)
		}
	}
}

func TestAPortIsGivenOnce(t *testing.T) {
	t.Parallel()
	given := make(map[int]bool)
	for range 300 {
		port, err := process.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Errorf("%d is given twice", port)
		}
		given[port] = true
	}
}
