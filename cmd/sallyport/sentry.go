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
// nothing, and has a node checked at once when that is news: it was not looked at before,
// has restarted, or is back.
type sentry struct {
	mu     sync.Mutex
	seen   map[string]glimpse
	asking map[string]bool // nodes that have not answered yet
	hasty  map[string]bool // nodes that must be checked again soon
}

// glimpse is what a look at a node saw: the time before which its Xray did not start, and
// the one after which it did not. Both are zero if it did not answer.
type glimpse struct{ notBefore, notAfter time.Time }

// glimpseOf returns what a look saw that was answered with an uptime, in whole seconds.
func glimpseOf(asked, answered time.Time, uptime time.Duration) glimpse {
	return glimpse{notBefore: asked.Add(-uptime - time.Second), notAfter: answered.Add(-uptime)}
}

// same says whether both may be of one and the same start.
func (g glimpse) same(other glimpse) bool {
	return !g.notBefore.After(other.notAfter) && !other.notBefore.After(g.notAfter)
}

// and returns what is known from both.
func (g glimpse) and(other glimpse) glimpse {
	if other.notBefore.After(g.notBefore) {
		g.notBefore = other.notBefore
	}
	if other.notAfter.Before(g.notAfter) {
		g.notAfter = other.notAfter
	}
	return g
}

// isNews says whether a node of which this was seen must be checked now. The zero glimpse
// is of one that does not answer, and cannot be checked.
func (s *sentry) isNews(node string, now glimpse) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.seen[node]
	hasty := s.hasty[node]
	delete(s.hasty, node)
	switch {
	case now == (glimpse{}):
		s.seen[node] = now
		return false
	case before == (glimpse{}) || !before.same(now):
		s.seen[node] = now
		return true
	default:
		s.seen[node] = before.and(now)
		return hasty
	}
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
		for _, node := range *p.nodes.Load() {
			if p.sentry.wanted(node.Name(), p.eldest.Load()) && p.sentry.begin(node.Name()) {
				asked.Go(func() {
					defer p.sentry.end(node.Name())
					p.glance(ctx, node)
				})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *program) glance(ctx context.Context, node *xray.Node) {
	asked := time.Now()
	uptime, err := node.Uptime(ctx)
	var seen glimpse
	if err == nil {
		seen = glimpseOf(asked, time.Now(), uptime)
	}
	if ctx.Err() != nil || !p.sentry.isNews(node.Name(), seen) {
		return
	}
	if err := p.work.Enqueue(ctx, shop.CheckNode{Node: node.Name()}); err != nil && ctx.Err() == nil {
		p.sentry.hasten(node.Name())
		p.log.Warn("node not checked at once", zap.String("node", node.Name()), zap.NamedError("err", err))
	}
}
