package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// samples are how many are taken in a run.
	samples = 720
	// windows are how many figures are made of the answers.
	windows = 60
	// fastestSample is how often one is taken at most.
	fastestSample = 200 * time.Millisecond
	// sampleLimit is how long one may take.
	sampleLimit = 5 * time.Second
	// ours is the name of the connections that are not the shop's.
	ours     = "soak"
	megabyte = 1e6
	kilobyte = 1e3
)

// connect opens a connection past the faults, under a name of its own.
func connect(ctx context.Context, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	config.RuntimeParams["application_name"] = ours
	db, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return db, nil
}

// sampler looks at the shop from outside.
type sampler struct {
	db     *pgx.Conn
	pid    int
	pages  string // the shop's address
	client *http.Client
	seen   map[string][]float64
}

// run takes samples until ctx ends.
func (s *sampler) run(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	defer s.client.CloseIdleConnections()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := s.sample(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

// sample takes one.
func (s *sampler) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	now := make(map[string]float64)
	for _, look := range []func(context.Context, map[string]float64) error{s.memory, s.process, s.counts, s.tables} {
		if err := look(ctx, now); err != nil {
			return err
		}
	}
	for name, value := range now {
		s.seen[name] = append(s.seen[name], value)
	}
	return nil
}

// memory asks the kernel.
func (s *sampler) memory(_ context.Context, now map[string]float64) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.pid))
	if err != nil {
		return fmt.Errorf("the shop's process has ended: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		series, wanted := map[string]string{"Pss": memory, "Rss": resident}[name]
		if err == nil && wanted {
			now[series] = kilobytes * 1024 / megabyte
		}
	}
	return nil
}

// process asks the shop for its own figures.
func (s *sampler) process(ctx context.Context, now map[string]float64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.pages+"/metrics", http.NoBody)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
		case name == "go_goroutines":
			now[goroutines] = value
		case name == "process_open_fds":
			now[files] = value
		case name == "go_memstats_next_gc_bytes":
			now[heap] = value / megabyte
		}
	}
	return lines.Err() //nolint:wrapcheck // of our own machine
}

// counts asks the database what the shop has in hand. All connections are the shop's but
// those of this program.
func (s *sampler) counts(ctx context.Context, now map[string]float64) error {
	rows, err := s.db.Query(ctx, `
		SELECT $1, count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> $6
		UNION ALL SELECT $2, (SELECT count(*) FROM inbox WHERE state = 'waiting')
			+ (SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND finalized_at IS NULL)
		UNION ALL SELECT $3, count(*) FROM subscriptions WHERE status IN ('waiting', 'active')
		UNION ALL SELECT $4, count(*) FROM orders
		UNION ALL SELECT $5, sum(n_dead_tup) FROM pg_stat_user_tables`,
		connections, waiting, granted, soldOrders, deadRows, ours)
	return collect(rows, err, now)
}

// tables asks the database how large each table is, with its indexes.
func (s *sampler) tables(ctx context.Context, now map[string]float64) error {
	rows, err := s.db.Query(ctx, `
		SELECT $1 || relname, pg_total_relation_size(relid)::float8 / $2 FROM pg_stat_user_tables
		UNION ALL SELECT $3 || relname, n_live_tup FROM pg_stat_user_tables`, sizeOf, kilobyte, rowsOf)
	return collect(rows, err, now)
}

// collect reads names and values.
func collect(rows pgx.Rows, err error, now map[string]float64) error {
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	var name string
	var value float64
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		now[name] = value
		return nil
	})
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	return nil
}

// replySeries turns answers into a figure for each window of the run.
func replySeries(replies []reply, length time.Duration, part float64) []float64 {
	in := make([][]float64, windows)
	for _, r := range replies {
		n := min(windows-1, max(0, int(r.at*windows/length)))
		in[n] = append(in[n], float64(r.took)/float64(time.Millisecond))
	}
	series := make([]float64, windows)
	for n := range in {
		series[n] = at(in[n], part)
	}
	return series
}
