package main

import (
	"context"
	"sync"
	"time"

	"sallyport/api"
	"sallyport/xray"
)

const (
	// tryBudget bounds one try of the way by which customers reach a node.
	tryBudget = 5 * time.Second
	// triesLost is how many tries in a row must fail before the way is taken to be closed:
	// one that is lost on the network is no fault of the node.
	triesLost = 3
	// looksPerTry is how many looks of the watch one try is made in while all is well; a way
	// that failed is tried at each.
	looksPerTry = 6
)

// ways are what was last found of the ways by which customers reach the nodes.
type ways struct {
	mu     sync.Mutex
	failed map[string]int    // tries in a row, by node
	reason map[string]string // of the last
}

// tried notes the end of a try.
func (w *ways) tried(node string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failed, node)
		delete(w.reason, node)
		return
	}
	w.failed[node]++
	w.reason[node] = api.Shortened(err.Error(), maxReason)
}

// doubtful says whether the last try failed.
func (w *ways) doubtful(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[node] > 0
}

// finding says whether customers can use the node, as far as can be seen from here.
func (w *ways) finding(node string) api.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed[node] < triesLost {
		return api.Finding{State: api.StateOK}
	}
	return degraded(api.CodeNodeUnusable, "%s", w.reason[node])
}

// forget drops what is known of every node.
func (w *ways) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed, w.reason = make(map[string]int), make(map[string]string)
}

// tryWays connects to each node as a customer does, again and again until ctx ends, in
// the process that tells the operator. What it finds stops no sale: another network
// may see it otherwise.
func (p *program) tryWays(ctx context.Context) {
	tick := time.NewTicker(p.config.WatchEvery)
	defer tick.Stop()
	for look := 0; ; look++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !p.eldest.Load() {
			p.ways.forget()
			continue
		}
		var tries sync.WaitGroup
		for _, node := range *p.nodes.Load() {
			if look%looksPerTry == 0 || p.ways.doubtful(node.Name()) {
				tries.Go(func() { p.tryWay(ctx, node) })
			}
		}
		tries.Wait()
	}
}

func (p *program) tryWay(ctx context.Context, node *xray.Node) {
	limited, cancel := context.WithTimeout(ctx, tryBudget)
	defer cancel()
	if err := node.Try(limited); ctx.Err() == nil {
		p.ways.tried(node.Name(), err)
	}
}
