package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"sallyport/sandbox/process"
)

const (
	// restartPause is how long the supervisor waits before it starts a replica that died.
	restartPause = 200 * time.Millisecond
	// stopGrace is how long a replica may take to stop; it promises 10 s.
	stopGrace = 12 * time.Second
	// readyLimit is how long a replica may take to be ready.
	readyLimit = 30 * time.Second
)

// fleet are the replicas.
type fleet struct {
	program string
	env     []string
	dir     string
	log     io.Writer

	mu   sync.Mutex
	made int
	all  []*replica
}

// replica is one process of the shop, which is started again when it dies, as systemd would.
type replica struct {
	fleet *fleet
	port  int
	clock *clock

	mu      sync.Mutex
	wanted  bool
	current *process.Process
	starts  int
	ended   chan struct{} // closed when nobody starts it any more
}

// add starts one more.
func (f *fleet) add() (*replica, error) {
	f.mu.Lock()
	f.made++
	name := f.made
	f.mu.Unlock()
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	own, err := newClock(filepath.Join(f.dir, fmt.Sprintf("clock-%d", name)))
	if err != nil {
		return nil, err
	}
	r := &replica{fleet: f, port: port, clock: own, wanted: true, ended: make(chan struct{})}
	if err := r.launch(); err != nil {
		return nil, errors.Join(err, own.close())
	}
	f.mu.Lock()
	f.all = append(f.all, r)
	f.mu.Unlock()
	go r.supervise()
	return r, nil
}

// members lists the replicas there are.
func (f *fleet) members() []*replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*replica(nil), f.all...)
}

// ports lists where they listen.
func (f *fleet) ports() (ports []int) {
	for _, r := range f.members() {
		ports = append(ports, r.port)
	}
	return ports
}

// remove ends a replica for good, in order or not.
func (f *fleet) remove(ctx context.Context, r *replica, inOrder bool) error {
	f.mu.Lock()
	for i, one := range f.all {
		if one == r {
			f.all = append(f.all[:i:i], f.all[i+1:]...)
			break
		}
	}
	f.mu.Unlock()
	r.mu.Lock()
	r.wanted = false
	running := r.current
	r.mu.Unlock()
	var err error
	if inOrder {
		err = running.Stop(ctx)
	} else {
		running.Kill()
	}
	<-r.ended
	return errors.Join(err, r.clock.close())
}

// close ends all.
func (f *fleet) close() error {
	var problems []error
	var mu sync.Mutex
	var ending sync.WaitGroup
	for _, r := range f.members() {
		ending.Go(func() {
			err := f.remove(context.Background(), r, true)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
		})
	}
	ending.Wait()
	return errors.Join(problems...)
}

// launch starts the process if it is wanted.
func (r *replica) launch() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.wanted {
		return nil
	}
	started, err := process.Start(process.Config{
		Path: r.fleet.program, Args: []string{"serve"}, Dir: r.fleet.dir, Output: r.fleet.log, Grace: stopGrace,
		Env: append(append([]string(nil), r.fleet.env...), fmt.Sprintf("LISTEN=127.0.0.1:%d", r.port), r.clock.env()),
	})
	if err != nil {
		return fmt.Errorf("start a replica: %w", err)
	}
	r.current = started
	r.starts++
	return nil
}

// supervise starts the process again whenever it ends, as long as it is wanted.
func (r *replica) supervise() {
	defer close(r.ended)
	for {
		r.mu.Lock()
		running := r.current
		r.mu.Unlock()
		<-running.Done()
		<-time.After(restartPause)
		r.mu.Lock()
		wanted := r.wanted
		r.mu.Unlock()
		if !wanted {
			return
		}
		_ = r.launch() // tried again after the next pause
	}
}

// kill ends the process with SIGKILL; it is started again.
func (r *replica) kill() {
	r.mu.Lock()
	running := r.current
	r.mu.Unlock()
	running.Kill()
}

// stop has the process stop in order; it is started again. That it stops in the time
// it promises is part of what is checked.
func (r *replica) stop(ctx context.Context) error {
	r.mu.Lock()
	running := r.current
	r.mu.Unlock()
	return running.Stop(ctx)
}

// ready waits until the replica says that it is.
func (r *replica) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _, err := r.page(ctx, "/readyz")
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("a replica is not ready: %d %w", status, err)
		}
	}
}

func (r *replica) page(ctx context.Context, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", r.port, path), http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	return response.StatusCode, body, nil
}

// goroutines is how many the process has.
func (r *replica) goroutines(ctx context.Context) (int, error) {
	_, body, err := r.page(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(body)
	if found == nil {
		return 0, errors.New("/metrics says nothing of goroutines")
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 0, fmt.Errorf("/metrics: %w", err)
	}
	return n, nil
}
