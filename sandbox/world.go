package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/node"
	"sallyport/sandbox/postgres"
	"sallyport/sandbox/telegram"
	"sallyport/xray"
)

// Target is a part of the world that can be made to misbehave.
type Target string

// The targets: what stands between the product and each of its neighbours.
const (
	TelegramTarget  Target = "telegram"
	CryptoPayTarget Target = "cryptopay"
	XrayTarget      Target = "xray"
	PostgresTarget  Target = "postgres"
)

// Targets lists all targets.
func Targets() []Target {
	return []Target{TelegramTarget, CryptoPayTarget, XrayTarget, PostgresTarget}
}

// World is everything, running.
type World struct {
	// Telegram and CryptoPay are the emulators.
	Telegram  *telegram.Server
	CryptoPay *cryptopay.Server
	// Node is the VPN server, Postgres the database's.
	Node     *node.Node
	Postgres *postgres.Cluster
	// Standby is the database's second server, nil without one.
	Standby *postgres.Cluster

	config  Config
	dir     string
	faults  map[Target]*fault.Switch
	servers servers
	driver  *xray.Node // asks the VPN server past the faults
	product *product   // nil without one
	ready   Ready      // without process ids

	mu      sync.Mutex
	closers []func() error
}

// Start returns a world in which everything is up: the product answers that it
// is ready, and Telegram knows where to deliver. ctx bounds the start alone; the
// world lives until Stop, or until our process dies, however it dies.
func Start(ctx context.Context, cfg Config) (*World, error) {
	w := &World{faults: make(map[Target]*fault.Switch)}
	for _, target := range Targets() {
		w.faults[target] = new(fault.Switch)
	}
	if err := w.start(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sandbox: %w", err), w.Stop())
	}
	return w, nil
}

func (w *World) start(ctx context.Context, cfg Config) error {
	var err error
	if w.config, err = cfg.complete(); err != nil {
		return err
	}
	if w.config.ReadyFile != "" {
		if err := removeFile(w.config.ReadyFile); err != nil { // one that a killed world left
			return err
		}
	}
	if err := w.makeDir(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{w.listen, w.startMachines, w.startEmulators, w.startControl, w.startProduct} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if w.config.ReadyFile == "" {
		return nil
	}
	w.onStop(func() error { return removeFile(w.config.ReadyFile) })
	return w.writeReady(w.config.ReadyFile)
}

// removeFile sees that there is no such file.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// makeDir makes the directory for the product's log and catalogue.
func (w *World) makeDir() error {
	if w.config.Dir != "" {
		dir, err := filepath.Abs(w.config.Dir)
		w.dir = dir
		return errors.Join(err, os.MkdirAll(dir, 0o700)) // both name themselves
	}
	dir, err := os.MkdirTemp("", "sallyport-sandbox-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	w.dir = dir
	w.onStop(func() error { return os.RemoveAll(dir) })
	return nil
}

// Fault is the switch that makes the target misbehave; every target has one.
func (w *World) Fault(t Target) *fault.Switch { return w.faults[t] }

// ProductTail is the end of what the product wrote so far, to quote in an error.
func (w *World) ProductTail() string {
	if w.product == nil {
		return ""
	}
	return w.product.tail.String()
}

// onStop has f called by Stop, before all that were given earlier.
func (w *World) onStop(f func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closers = append(w.closers, f)
}

// Stop ends everything, the product first and in order. When it returns, nothing
// of the world runs. Stopping twice is harmless.
func (w *World) Stop() error {
	for _, s := range w.faults {
		s.Clear() // what is held must not hold up the end
	}
	w.mu.Lock()
	closers := w.closers
	w.closers = nil
	w.mu.Unlock()
	var problems []error
	for i := len(closers) - 1; i >= 0; i-- {
		problems = append(problems, closers[i]())
	}
	return errors.Join(problems...)
}

// progress tells how long a part took.
func (w *World) progress(part string, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.config.Progress(part, time.Since(began))
}
