package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	defaultGrace = 5 * time.Second
	// pipeDelay bounds how long a dead child's own children may hold its output open.
	pipeDelay = time.Second
)

// ErrKilled is returned by Stop when the child ignored its stop signal and had
// to be killed.
var ErrKilled = errors.New("did not stop in time and was killed")

// Config says what to start.
type Config struct {
	// Path is the program, Args its arguments without the program's name.
	Path string
	Args []string
	// Dir is the working directory; empty means ours.
	Dir string
	// Env is the whole environment; nil means ours.
	Env []string
	// Input is what the child reads from standard input.
	Input []byte
	// Output receives standard output and standard error; nil discards both.
	Output io.Writer
	// Credential, if set, is the user the child runs as. Only root may set it.
	Credential *syscall.Credential
	// StopSignal is what Stop sends first; zero means SIGTERM.
	StopSignal syscall.Signal
	// Grace is how long Stop waits before SIGKILL; zero means five seconds.
	Grace time.Duration
}

// Process is one started child.
type Process struct {
	name   string
	signal syscall.Signal
	grace  time.Duration
	cmd    *exec.Cmd
	done   chan struct{}
	err    error // set before done is closed
}

// Start starts the child and returns once it has been executed. The child leads
// a process group of its own, so an interrupt from the terminal reaches only us.
func Start(cfg Config) (*Process, error) {
	p := &Process{
		name:   filepath.Base(cfg.Path),
		signal: cfg.StopSignal,
		grace:  cfg.Grace,
		cmd:    command(cfg),
		done:   make(chan struct{}),
	}
	if p.signal == 0 {
		p.signal = syscall.SIGTERM
	}
	if p.grace <= 0 {
		p.grace = defaultGrace
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

func command(cfg Config) *exec.Cmd {
	// No context here: it would end the child with the start's context, not with Stop.
	cmd := exec.Command(cfg.Path, cfg.Args...) //nolint:noctx,gosec // lifetime is Stop's, the path is the caller's
	cmd.Dir = cfg.Dir
	cmd.Env = cfg.Env
	cmd.Stdin = bytes.NewReader(cfg.Input)
	cmd.Stdout = cfg.Output
	cmd.Stderr = cfg.Output
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Pdeathsig:  syscall.SIGKILL,
		Credential: cfg.Credential,
	}
	return cmd
}

// run starts the child and stays on its thread until the child has ended.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	err := p.cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, only its output was still held open
	}
	p.err = err
	close(p.done)
}

// Pid is the child's process id, also after it has ended.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended and has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the child has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err says how the child ended: nil while it runs and after exit status 0,
// otherwise an *exec.ExitError.
func (p *Process) Err() error {
	if p.Running() {
		return nil
	}
	return p.err
}

// State is the exit state, nil while the child runs.
func (p *Process) State() *os.ProcessState {
	if p.Running() {
		return nil
	}
	return p.cmd.ProcessState
}

// Signal sends a signal to the child alone. A child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop asks the child to end and waits for it; after the grace, or when ctx
// ends, it kills the child and returns ErrKilled. Either way the child is gone
// when Stop returns. Stopping twice is harmless.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(p.signal); err != nil {
		return err
	}
	grace := time.NewTimer(p.grace)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	p.Kill()
	return fmt.Errorf("%s: %w", p.name, ErrKilled)
}

// Kill sends SIGKILL to the child and its process group and waits until the
// child is gone. Killing twice is harmless.
func (p *Process) Kill() {
	if p.Running() {
		// An error means the group is gone already, which is what is wanted.
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	}
	<-p.done
}
