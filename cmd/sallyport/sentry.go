package main

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"sallyport/shop"
	"sallyport/xray"
)

// sentry asks every node how long its Xray has been running, which costs next to
// nothing, and has a node checked at once when that is news: it has restarted, or is back.
type sentry struct {
	mu     sync.Mutex
	seen   map[string]glimpse
	asking map[string]bool // nodes that have not answered yet
	hasty  map[string]bool // nodes that must be checked again soon
}

// glimpse is what was last seen of a node.
type glimpse struct {
	uptime time.Duration
	away   bool
}

// isNews says whether a node must be checked now that it has been up for so long. One that
// was never seen before is checked by schedule.
func (s *sentry) isNews(node string, uptime time.Duration, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.seen[node]
	s.seen[node] = glimpse{uptime: uptime, away: err != nil}
	hasty := s.hasty[node]
	delete(s.hasty, node)
	return err == nil && (hasty || known && (before.away || uptime < before.uptime))
}

// begin says whether the node is not being asked already.
func (s *sentry) begin(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking[node] {
		return false
	}
	s.asking[node] = true
	return true
}

func (s *sentry) end(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asking, node)
}

// hasten has the node checked again soon.
func (s *sentry) hasten(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hasty[node] = true
}

// wanted says whether this process must ask the node: the eldest asks all of them.
func (s *sentry) wanted(node string, eldest bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !eldest {
		delete(s.seen, node) // by the time it is, that is old
	}
	return eldest || s.hasty[node]
}

func newSentry() *sentry {
	return &sentry{seen: make(map[string]glimpse), asking: make(map[string]bool), hasty: make(map[string]bool)}
}

// standSentry asks the nodes again and again until ctx ends. One that hangs keeps none of
// the others waiting.
func (p *program) standSentry(ctx context.Context) {
	tick := time.NewTicker(p.config.NodesEvery)
	defer tick.Stop()
	var asked sync.WaitGroup
	defer asked.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, node := range *p.nodes.Load() {
			if p.sentry.wanted(node.Name(), p.eldest.Load()) && p.sentry.begin(node.Name()) {
				asked.Go(func() {
					defer p.sentry.end(node.Name())
					p.glance(ctx, node)
				})
			}
		}
	}
}

func (p *program) glance(ctx context.Context, node *xray.Node) {
	uptime, err := node.Uptime(ctx)
	if ctx.Err() != nil || !p.sentry.isNews(node.Name(), uptime, err) {
		return
	}
	if err := p.work.Enqueue(ctx, shop.CheckNode{Node: node.Name()}); err != nil && ctx.Err() == nil {
		p.sentry.hasten(node.Name())
		p.log.Warn("node not checked at once", zap.String("node", node.Name()), zap.NamedError("err", err))
	}
}
