package main

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/shop"
	"sallyport/store"
)

// desk is where incidents are told to the operator, and remembered.
type desk struct {
	store    *store.Store
	operator *bot.Operator // nil if there is no chat for alerts
}

// Incidents returns those that were told of and are not over.
func (d desk) Incidents(ctx context.Context) ([]api.Incident, error) {
	open, err := d.store.Incidents(ctx)
	if err != nil {
		return nil, err
	}
	incidents := make([]api.Incident, len(open))
	for i, known := range open {
		incidents[i] = api.Incident(known)
	}
	return incidents, nil
}

// Tell tells the operator, if there is a chat for that.
func (d desk) Tell(ctx context.Context, i api.Incident, over time.Time) error {
	if d.operator == nil {
		return nil
	}
	return d.operator.Tell(ctx, bot.Alert{Component: i.Component, Code: i.Code, Reason: i.Reason, Since: i.Since, Again: !i.Told.IsZero(), Over: over})
}

// rememberBudget bounds how long it may take to note what was told.
const rememberBudget = 2 * time.Second

// Remember notes what was told, even if the process is to end right now.
func (d desk) Remember(ctx context.Context, i api.Incident) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberBudget)
	defer cancel()
	return d.store.OpenIncident(ctx, store.Incident(i))
}

// Forget notes that the end was told, even if the process is to end right now.
func (d desk) Forget(ctx context.Context, i api.Incident) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberBudget)
	defer cancel()
	return d.store.CloseIncident(ctx, i.Component, i.Code)
}

// keepOperator greets the operator's chat once it can be written to.
func (p *program) keepOperator(ctx context.Context) {
	if p.operator == nil {
		return
	}
	tick := time.NewTicker(p.operatorEvery())
	defer tick.Stop()
	for {
		if p.eldest.Load() {
			if err := p.operator.Greet(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("operator not greeted", zap.NamedError("err", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// operatorEvery is how often the operator's chat is looked at: a minute by default.
func (p *program) operatorEvery() time.Duration { return 6 * p.config.WatchEvery }

// listen notes again and again that Telegram can deliver, until ctx ends: silence counts
// only then.
func (p *program) listen(ctx context.Context) {
	tick := time.NewTicker(p.operatorEvery())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		found := p.watch.Last().Components
		if !p.eldest.Load() || found["telegram"].State != api.StateOK || found["webhook"].State != api.StateOK {
			continue
		}
		if err := p.work.Listen(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("not noted that nothing came", zap.NamedError("err", err))
		}
	}
}

// lookAtOperator asks Telegram for the operator's chat.
func (p *program) lookAtOperator(ctx context.Context) ([]api.Finding, error) {
	err := p.operator.Check(ctx)
	if bot.Unwritable(err) {
		return []api.Finding{degraded(api.CodeOperatorUnreachable, "%s", api.Shortened(err.Error(), maxReason))}, nil
	}
	return []api.Finding{{State: api.StateOK}}, err
}

func (p *program) buildWatch() {
	p.watch = api.NewWatch(api.WatchConfig{
		Look: p.health.Inspect, Desk: desk{store: p.work, operator: p.operator}, OnDuty: p.eldest.Load,
		Every: p.config.WatchEvery, Lasts: p.config.AlertAfter, Grows: 10 * p.config.AlertAfter, Logger: p.log.Named("watch"),
	})
	p.metrics.MustRegister(&vitalsCollector{program: p})
}

// vitalsCollector tells Prometheus what the last look found.
type vitalsCollector struct{ program *program }

// gauge describes one metric of the vitalsCollector.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sallyport_"+name, help, labels, nil)
}

// vitalDescs are the metrics of the vitalsCollector.
type vitalDescs struct {
	component, inbox, inboxAge, dead, letters, flagged, orders, undelivering, jobs, jobsAge, jobsDead, nodeAge *prometheus.Desc
}

func newVitalDescs() vitalDescs {
	return vitalDescs{
		component:    gauge("component_status", "How each component of /healthz is: 0 ok, 1 degraded, 2 fail.", "component", "code"),
		inbox:        gauge("inbox_waiting", "Updates that wait to be handled."),
		inboxAge:     gauge("inbox_oldest_seconds", "For how long the oldest of them has waited."),
		dead:         gauge("inbox_dead", "Updates that were given up and not reviewed."),
		letters:      gauge("dead_letters", "Deliveries that were not understood and not reviewed."),
		flagged:      gauge("payments_flagged", "Payment events that were flagged and not reviewed."),
		orders:       gauge("orders", "Orders that wait: open ones for money, undelivered ones for a node.", "state"),
		undelivering: gauge("orders_undelivered_seconds", "For how long the oldest undelivered order has been paid."),
		jobs:         gauge("jobs_waiting", "Jobs that are owed, by kind.", "kind"),
		jobsAge:      gauge("jobs_oldest_seconds", "For how long the oldest job has been owed, by kind.", "kind"),
		jobsDead:     gauge("jobs_discarded", "Jobs that were given up within a day, by kind.", "kind"),
		nodeAge:      gauge("node_checked_age_seconds", "How long ago the last check of the node ended well.", "node"),
	}
}

// Describe implements prometheus.Collector.
func (c *vitalsCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector.
func (c *vitalsCollector) Collect(out chan<- prometheus.Metric) {
	d := newVitalDescs()
	send := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	if c.program.watch != nil {
		for name, component := range c.program.watch.Last().Components {
			for _, found := range component.All() {
				send(d.component, map[string]float64{api.StateDegraded: 1, api.StateFail: 2}[found.State], name, cmp.Or(found.Code, found.State))
			}
		}
	}
	seen := c.program.vitals.Load()
	if seen == nil || time.Since(seen.at) > vitalsStale {
		return // better no number than an old one
	}
	v := seen.vitals
	send(d.inbox, float64(v.WaitingUpdates))
	send(d.inboxAge, v.OldestUpdate.Seconds())
	send(d.dead, float64(v.DeadUpdates))
	send(d.letters, float64(v.DeadLetters))
	send(d.flagged, float64(v.FlaggedPayments))
	send(d.orders, float64(v.OpenOrders), "open")
	send(d.orders, float64(v.Undelivered), "undelivered")
	send(d.undelivering, v.Undelivering.Seconds())
	for _, j := range shop.Jobs() { // none owed is a number, too
		kind := j.Kind()
		job := v.Jobs[kind]
		send(d.jobs, float64(job.Waiting), kind)
		send(d.jobsAge, job.Oldest.Seconds(), kind)
		send(d.jobsDead, float64(job.Dead), kind)
	}
	for _, node := range c.program.nodeNames() { // the database remembers others, too
		if age, known := v.NodeAges[node]; known {
			send(d.nodeAge, age.Seconds(), node)
		}
	}
}

// vitalsStale is when numbers of the database are too old to be told.
const vitalsStale = time.Minute

// seenVitals are numbers of the database, and when they were read.
type seenVitals struct {
	at     time.Time
	vitals store.Vitals
}
