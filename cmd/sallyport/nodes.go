package main

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/xray"
)

// nodeBudget bounds one operation on a node.
const nodeBudget = 3 * time.Second

// host returns the limits of the calls to an outside host that is reached directly.
func (p *program) host(name string, timeout time.Duration, atOnce uint) *outbound.Host {
	return p.hostBy(nil, name, timeout, atOnce)
}

// hostBy is host for one that may be reached by a proxy.
func (p *program) hostBy(proxy outbound.Proxy, name string, timeout time.Duration, atOnce uint) *outbound.Host {
	if known, ok := p.hosts[name]; ok {
		return known
	}
	h := outbound.New(outbound.Config{Name: name, Timeout: timeout, AtOnce: atOnce, Proxy: proxy, Observe: p.observe})
	p.hosts[name] = h
	p.metrics.MustRegister(breakerGauge(name, h))
	return h
}

func breakerGauge(name string, h *outbound.Host) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "sallyport", Subsystem: "outbound", Name: "breaker_open",
		Help: "1 while calls to the host are refused because it has failed too often.", ConstLabels: prometheus.Labels{"host": name},
	}, func() float64 {
		if h.Open() {
			return 1
		}
		return 0
	})
}

// nodeHost names the limits of a node.
func nodeHost(node string) string { return "node:" + node }

// forgetNodes drops what is known of nodes that have left the catalogue: it would
// look as it did for ever.
func (p *program) forgetNodes(before []*xray.Node) {
	for _, n := range before {
		name := nodeHost(n.Name())
		if slices.Contains(p.nodeNames(), n.Name()) {
			continue
		}
		p.metrics.Unregister(breakerGauge(name, p.hosts[name]))
		delete(p.hosts, name)
		p.checks.forget(n.Name())
		p.ways.tried(n.Name(), nil)
	}
}

// openCatalogue reads the catalogue and puts it in force.
func (p *program) openCatalogue(context.Context) error {
	catalogue, configs, err := readCatalogue(p.config.Catalogue)
	if err != nil {
		return err
	}
	nodes := make([]*xray.Node, 0, len(configs))
	for _, c := range configs {
		c.Host = p.host(nodeHost(c.Name), nodeBudget, 16)
		node, err := xray.Dial(c)
		if err != nil {
			closeNodes(nodes)
			return err
		}
		nodes = append(nodes, node)
	}
	p.catalogue.Store(&catalogue)
	if old := p.nodes.Swap(&nodes); old != nil {
		closeNodes(*old) // calls under way are tried again
		p.forgetNodes(*old)
	}
	return nil
}

func closeNodes(nodes []*xray.Node) {
	for _, n := range nodes {
		_ = n.Close() // there is nobody who minds
	}
}

// shopNodes returns the nodes as the shop knows them.
func (p *program) shopNodes() []shop.Node {
	list := *p.nodes.Load()
	nodes := make([]shop.Node, len(list))
	for i, n := range list {
		nodes[i] = n
	}
	return nodes
}

func (p *program) nodeNames() []string {
	var names []string
	for _, n := range *p.nodes.Load() {
		names = append(names, n.Name())
	}
	return names
}

// reloadOnSignal reads the catalogue anew whenever hangups says so, until ctx ends.
func (p *program) reloadOnSignal(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			p.reload(ctx)
		}
	}
}

// reload puts the catalogue in force as it is now. A wrong one changes nothing, and
// the operator is told.
func (p *program) reload(ctx context.Context) {
	if err := p.openCatalogue(ctx); err != nil {
		p.refused.Store(&err)
		p.log.Error("catalogue not reloaded, the old one stays", zap.NamedError("err", err))
		return
	}
	p.refused.Store(nil)
	if err := p.workers.SetNodes(p.nodeNames()); err != nil {
		p.log.Error("new nodes are not checked", zap.NamedError("err", err))
	}
	p.health.SetProbes(p.probes()...)
	p.log.Info("catalogue reloaded", zap.Int("plans", len(p.catalogue.Load().Plans)), zap.Strings("nodes", p.nodeNames()))
}
