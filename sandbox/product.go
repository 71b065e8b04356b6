package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"sallyport/sandbox/process"
)

const (
	// restartPause is how long the supervisor waits before it starts a product that died.
	restartPause = 200 * time.Millisecond
	// productGrace is how long the product may take to stop; it promises 10 s.
	productGrace = 12 * time.Second
)

// ProductState says how the product's process is.
type ProductState struct {
	PID     int  `json:"pid"` // 0 if it does not run
	Running bool `json:"running"`
	Starts  int  `json:"starts"` // how often it was started so far
}

// product runs the product and starts it again when it dies, as systemd would.
type product struct {
	config process.Config
	log    *os.File
	tail   *process.Tail
	cancel context.CancelFunc
	ended  chan struct{}
	wake   chan struct{} // holds one token after start

	mu      sync.Mutex
	current *process.Process
	wanted  bool
	starts  int
}

// startProduct runs the product for the first time and watches it from then on.
func startProduct(ctx context.Context, config process.Config, log *os.File) (*product, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &product{
		config: config, log: log, tail: &process.Tail{Next: config.Output},
		cancel: cancel, ended: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	p.config.Output = p.tail
	go p.supervise(ctx)
	if err := p.start(); err != nil {
		return nil, errors.Join(err, p.close()) //nolint:contextcheck // ctx may have ended
	}
	return p, nil
}

// supervise starts the product again whenever it died and is wanted.
func (p *product) supervise(ctx context.Context) {
	defer close(p.ended)
	for {
		running := p.process()
		if running == nil {
			select {
			case <-p.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-running.Done():
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
			return
		}
		// An error is tried again after the next pause: a program being replaced is not there for a moment.
		_ = p.launch()
	}
}

// process returns the process to watch, nil if none is wanted.
func (p *product) process() *process.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted {
		return nil
	}
	return p.current
}

// launch runs the product if it is wanted and does not run.
func (p *product) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted || p.current != nil && p.current.Running() {
		return nil
	}
	started, err := process.Start(p.config)
	if err != nil {
		return fmt.Errorf("start the product: %w", err)
	}
	p.current = started
	p.starts++
	return nil
}

// start has the product run from now on.
func (p *product) start() error {
	p.mu.Lock()
	p.wanted = true
	p.mu.Unlock()
	err := p.launch()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return err
}

// stop has the product stop in order, and stay stopped.
func (p *product) stop(ctx context.Context) error {
	p.mu.Lock()
	p.wanted = false
	running := p.current
	p.mu.Unlock()
	if running == nil {
		return nil
	}
	return running.Stop(ctx)
}

// kill ends the product with SIGKILL; it is started again.
func (p *product) kill() {
	p.mu.Lock()
	running := p.current
	p.mu.Unlock()
	if running != nil {
		running.Kill()
	}
}

// state says how the process is now.
func (p *product) state() ProductState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := ProductState{Starts: p.starts}
	if p.current != nil && p.current.Running() {
		s.Running, s.PID = true, p.current.Pid()
	}
	return s
}

// close stops the product for good.
func (p *product) close() error {
	p.cancel()
	<-p.ended
	err := p.stop(context.Background())
	return errors.Join(err, p.log.Close())
}
