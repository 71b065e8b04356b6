package alerts_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/prometheus/prometheus/model/histogram"
)

const (
	scrapeEvery = 100 * time.Millisecond // of our time
	scrapeCount = 15 * time.Second       // of the rules' time
	scrapeLimit = 10 * time.Second
	// kept is how much of the past the longest window of a rule needs.
	kept = 20 * time.Minute
)

// readRules reads the rules that ship.
func readRules() ([]rulefmt.Rule, error) {
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return nil, errs[0]
	}
	var rules []rulefmt.Rule
	for _, g := range groups.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules, nil
}

// point is one sample; it is a chunks.Sample.
type point struct {
	t int64
	v float64
}

func (p point) T() int64                      { return p.t }
func (p point) ST() int64                     { return 0 }
func (p point) F() float64                    { return p.v }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }

// memory keeps samples; it is a storage.Queryable.
type memory struct {
	series map[string]*series
}

type series struct {
	labels labels.Labels
	points []chunks.Sample
}

func (m *memory) Querier(from, to int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &found{}
		for _, s := range m.series {
			if matches(s.labels, matchers) {
				within := slices.DeleteFunc(slices.Clone(s.points), func(p chunks.Sample) bool { return p.T() < from || p.T() > to })
				found.list = append(found.list, storage.NewListSeries(s.labels, within))
			}
		}
		return found
	}}, nil
}

func matches(l labels.Labels, matchers []*labels.Matcher) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
}

// found is a storage.SeriesSet.
type found struct {
	list []storage.Series
	next int
}

func (f *found) Next() bool                        { f.next++; return f.next <= len(f.list) }
func (f *found) At() storage.Series                { return f.list[f.next-1] }
func (f *found) Err() error                        { return nil }
func (f *found) Warnings() annotations.Annotations { return nil }

// keep adds the samples of a scrape; a series that is not among them ends, as
// Prometheus has it end.
func (m *memory) keep(t int64, scraped map[string]labels.Labels, values map[string]float64) {
	for key, s := range m.series {
		if _, there := scraped[key]; !there && !value.IsStaleNaN(s.points[len(s.points)-1].F()) {
			s.points = append(s.points, point{t, math.Float64frombits(value.StaleNaN)})
		}
	}
	for key, l := range scraped {
		s, known := m.series[key]
		if !known {
			s = &series{labels: l}
			m.series[key] = s
		}
		s.points = append(s.points, point{t, values[key]})
	}
	for key, s := range m.series {
		s.points = slices.DeleteFunc(s.points, func(p chunks.Sample) bool { return p.T() < t-kept.Milliseconds() })
		if len(s.points) == 0 {
			delete(m.series, key)
		}
	}
}

// prometheus scrapes a program and evaluates the rules, until it is stopped.
type prometheus struct {
	target string
	rules  []rulefmt.Rule
	engine *promql.Engine
	memory *memory
	client http.Client

	mu     sync.Mutex
	now    time.Time
	active map[string]map[string]time.Time // since when, by alert and labels
	names  map[string]bool                 // of all metrics that were ever scraped
	failed error
}

func newPrometheus(target string, rules []rulefmt.Rule) *prometheus {
	return &prometheus{
		target: target, rules: rules, memory: &memory{series: make(map[string]*series)},
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute, LookbackDelta: 5 * time.Minute}),
		client: http.Client{Timeout: scrapeLimit, Transport: &http.Transport{DisableKeepAlives: true}},
		now:    time.Now(), active: make(map[string]map[string]time.Time), names: make(map[string]bool),
	}
}

// run scrapes and evaluates until ctx ends.
func (p *prometheus) run(ctx context.Context) {
	tick := time.NewTicker(scrapeEvery)
	defer tick.Stop()
	for {
		families, err := p.scrape(ctx)
		if ctx.Err() != nil {
			return
		}
		p.round(ctx, families, err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *prometheus) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %w", response.Status, err)
	}
	reader := expfmt.NewTextParser(model.LegacyValidation)
	return reader.TextToMetricFamilies(strings.NewReader(string(text)))
}

// round keeps what was scraped and evaluates every rule.
func (p *prometheus) round(ctx context.Context, families map[string]*dto.MetricFamily, scrapeErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(scrapeCount)
	scraped, values := make(map[string]labels.Labels), make(map[string]float64)
	add := func(v float64, pairs map[string]string) {
		pairs["job"], pairs["instance"] = "sallyport", "shop"
		l := labels.FromMap(pairs)
		scraped[l.String()], values[l.String()] = l, v
		p.names[pairs["__name__"]] = true
	}
	up := 0.0
	if scrapeErr == nil {
		up = 1
	}
	add(up, map[string]string{"__name__": "up"})
	for _, f := range families {
		vector, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.TimeFromUnixNano(p.now.UnixNano())}, f)
		p.failed = first(p.failed, err)
		for _, sample := range vector {
			pairs := make(map[string]string)
			for name, text := range sample.Metric {
				pairs[string(name)] = string(text)
			}
			add(float64(sample.Value), pairs)
		}
	}
	p.memory.keep(p.now.UnixMilli(), scraped, values)
	for _, rule := range p.rules {
		p.failed = first(p.failed, p.evaluate(ctx, rule))
	}
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// evaluate brings the alerts of a rule in line with what its expression finds.
func (p *prometheus) evaluate(ctx context.Context, rule rulefmt.Rule) error {
	vector, err := p.query(ctx, rule.Expr)
	if err != nil {
		return fmt.Errorf("%s: %w", rule.Alert, err)
	}
	before, after := p.active[rule.Alert], make(map[string]time.Time)
	for _, s := range vector {
		key := s.Metric.DropMetricName().String()
		since, known := before[key]
		if !known {
			since = p.now
		}
		after[key] = since
	}
	p.active[rule.Alert] = after
	return nil
}

func (p *prometheus) query(ctx context.Context, expr string) (promql.Vector, error) {
	q, err := p.engine.NewInstantQuery(ctx, p.memory, nil, expr, p.now)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, result.Err
	}
	vector, err := result.Vector()
	if err != nil {
		return nil, err
	}
	return slices.Clone(vector), nil
}

// firing says for how many sets of labels the alert fires.
func (p *prometheus) firing(alert string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, rule := range p.rules {
		if rule.Alert != alert {
			continue
		}
		for _, since := range p.active[alert] {
			if p.now.Sub(since) >= time.Duration(rule.For) {
				n++
			}
		}
	}
	return n
}

// all lists every alert that fires.
func (p *prometheus) all() (names []string) {
	for _, rule := range p.rules {
		if p.firing(rule.Alert) > 0 {
			names = append(names, rule.Alert)
		}
	}
	return names
}

// err is what went wrong, if anything: no rule may ever fail.
func (p *prometheus) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// knows says whether such a metric was ever scraped.
func (p *prometheus) knows(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.names[name]
}

// labelValues lists the values that a label of a metric has, or had lately.
func (p *prometheus) labelValues(name, label string) (values []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.memory.series {
		if s.labels.Get("__name__") == name {
			values = append(values, s.labels.Get(label))
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// shows says whether the last scrape had a series of the family with the label.
func (p *prometheus) shows(family, label, text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.memory.series {
		last := s.points[len(s.points)-1]
		if s.labels.Get("__name__") == family && s.labels.Get(label) == text && !value.IsStaleNaN(last.F()) {
			return true
		}
	}
	return false
}

// finds says whether an expression finds anything now.
func (p *prometheus) finds(ctx context.Context, expr string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, err := p.query(ctx, expr)
	p.failed = first(p.failed, err)
	return len(found) > 0
}

// hasLabel says whether what an expression finds has the label, if it finds anything.
func (p *prometheus) hasLabel(ctx context.Context, expr, label string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, err := p.query(ctx, expr)
	p.failed = first(p.failed, err)
	return !slices.ContainsFunc(found, func(s promql.Sample) bool { return !s.Metric.Has(label) })
}

// found is what the shop found last: the code of each component.
func (p *prometheus) found() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	codes := make(map[string]string)
	for _, s := range p.memory.series {
		if s.labels.Get("__name__") == "sallyport_component_status" && !value.IsStaleNaN(s.points[len(s.points)-1].F()) {
			codes[s.labels.Get("component")] = s.labels.Get("code")
		}
	}
	return codes
}
