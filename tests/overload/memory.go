package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/tests/load"
)

// pss returns how much of the machine's memory a process takes, in MB: its own, and its
// part of what it shares.
func pss(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
			if err != nil {
				return 0, fmt.Errorf("memory: %w", err)
			}
			return kilobytes / 1000, nil
		}
	}
	return 0, fmt.Errorf("memory: no Pss of %d", pid)
}

// weighEvery is the pace of looking at the memory.
const weighEvery = 200 * time.Millisecond

// scales follow the memory of the shop's process.
type scales struct {
	stop func()
	done sync.WaitGroup
	peak float64
	last float64
}

// weigh begins to follow it.
func (s *scene) weigh(ctx context.Context) *scales {
	w := &scales{}
	ctx, w.stop = context.WithCancel(ctx)
	w.done.Go(func() {
		load.Every(ctx, weighEvery, func() {
			if now, err := pss(s.world.Ready().ProductPID); err == nil { // a process that has just died has none
				w.last, w.peak = now, max(w.peak, now)
			}
		})
	})
	return w
}

// end returns the most that it was, and the last.
func (w *scales) end() (peak, last float64) {
	w.stop()
	w.done.Wait()
	return w.peak, w.last
}
