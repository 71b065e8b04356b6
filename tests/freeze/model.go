package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/tests/load"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport/sandbox"
)

// The audited shop's own numbers (freeze audit, sections 1, 2.4, 6 and 7; architecture
// audit, sections 3, 4 and 5).
const (
	poolSize       = 15
	acquireTimeout = 10 * time.Second
	commandTimeout = "30s"
	updatesAtOnce  = 20
	xrayTimeout    = 5 * time.Second
	invoiceTimeout = 30 * time.Second
	lookupTimeout  = 10 * time.Second
	messageTimeout = 60 * time.Second
	// compression is by how much the workers' periods are shortened, so that all meet
	// once in 5 s instead of once in 600 s. The timeouts stay as they are.
	compression = 120
)

// model is the structure of the audited shop and no more: one pool for everything, a
// place for 20 updates, and connections that are held across calls to the outside
// where the audit found that they are.
type model struct {
	world   *sandbox.World
	pool    *pgxpool.Pool
	places  chan struct{}
	http    *http.Client
	breaker breaker
	wait    prometheus.Observer
	hold    prometheus.Observer
	waiting atomic.Int64    // updates that are not done
	life    context.Context //nolint:containedctx // ends with the model
	tasks   sync.WaitGroup
}

// startModel starts the model in a world without the shop.
func startModel(ctx context.Context, _ options) (*subject, error) {
	s, err := prepare(ctx, sandbox.Config{NoProduct: true})
	if err != nil {
		return nil, err
	}
	s.name = "THE AUDITED STRUCTURE"
	m := &model{world: s.world, places: make(chan struct{}, updatesAtOnce), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	end, err := m.start(ctx, s.door.url)
	s.ends = append(s.ends, end)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.waits = func(context.Context) (int, error) { return int(m.waiting.Load()), nil }
	s.owed = func(ctx context.Context) error {
		if n := int(m.waiting.Load()) + s.world.Telegram.Pending() + s.world.CryptoPay.Pending(); n > 0 {
			return fmt.Errorf("%d updates and deliveries", n)
		}
		return nil
	}
	s.lost = func(context.Context, *crowd) ([]string, error) { return nil, nil }
	return s, nil
}

// start makes the pool and the tables, serves, and starts the workers.
func (m *model) start(ctx context.Context, door string) (end func() error, err error) { //nolint:contextcheck // it lives until its end
	life, cancel := context.WithCancel(context.Background())
	m.life = life
	end = func() error {
		cancel()
		m.tasks.Wait()
		if m.pool != nil {
			m.pool.Close()
		}
		m.http.CloseIdleConnections()
		return nil
	}
	if err := m.open(ctx); err != nil {
		return end, err
	}
	handler, err := m.routes()
	if err != nil {
		return end, err
	}
	app, err := url.Parse(m.world.Ready().AppURL)
	if err != nil {
		return end, fmt.Errorf("model: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", app.Host)
	if err != nil {
		return end, fmt.Errorf("model: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	m.tasks.Go(func() { _ = server.Serve(listener) })
	m.tasks.Go(func() { <-life.Done(); _ = server.Close() })
	for _, w := range workers() {
		m.tasks.Go(func() { load.Every(life, w.period/compression, func() { _ = w.run(m, life) }) })
	}
	return end, m.call(ctx, "setWebhook", url.Values{
		"url": {door + m.world.Ready().WebhookPath}, "max_connections": {"100"}, "allowed_updates": {`["message","callback_query"]`},
	})
}

// open makes the pool and the tables. One connection is held for life: the lock of the
// only instance (freeze audit, section 7).
func (m *model) open(ctx context.Context) error {
	cfg, err := pgxpool.ParseConfig(m.world.Ready().DatabaseURL)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	cfg.MaxConns, cfg.MinConns = poolSize, 2
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = commandTimeout
	if m.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if _, err := m.pool.Exec(ctx, schema); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	lock, err := m.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	m.tasks.Go(func() { <-m.life.Done(); lock.Release() })
	_, err = lock.Exec(ctx, `SELECT pg_advisory_lock(987654321)`)
	return err //nolint:wrapcheck // of our own statement
}

// schema is as much of the tables as the paths touch, with subscriptions that end, are
// due to be renewed, and trials that are due for a message: one of each a second.
const schema = `
CREATE TABLE users (telegram_id bigint PRIMARY KEY, language text NOT NULL);
CREATE TABLE subscriptions (
	telegram_id bigint PRIMARY KEY, uuid uuid, status text NOT NULL, expires_at timestamptz NOT NULL,
	activation_status text NOT NULL DEFAULT 'active', renew_at timestamptz, trial_message_at timestamptz);
CREATE TABLE pending_purchases (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, telegram_id bigint NOT NULL, status text NOT NULL DEFAULT 'pending',
	provider_invoice_id bigint);
CREATE TABLE audit_log (id bigint GENERATED ALWAYS AS IDENTITY, action text NOT NULL, telegram_id bigint NOT NULL);
INSERT INTO subscriptions (telegram_id, uuid, status, expires_at)
	SELECT 1000000 + n, gen_random_uuid(), 'active', now() + n * interval '1 s' FROM generate_series(1, 1000) n;
INSERT INTO subscriptions (telegram_id, uuid, status, expires_at, renew_at)
	SELECT 2000000 + n, gen_random_uuid(), 'active', now() + interval '1 day', now() + n * interval '1 s' FROM generate_series(1, 1000) n;
INSERT INTO subscriptions (telegram_id, uuid, status, expires_at, trial_message_at)
	SELECT 3000000 + n, gen_random_uuid(), 'active', now() + interval '1 day', now() + n * interval '1 s' FROM generate_series(1, 1000) n;`

// routes are what the model serves. /health of the audited shop looked at nothing and
// always answered.
func (m *model) routes() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	metric := func(name string) prometheus.Observer {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sallyport", Subsystem: "pool", Name: name, Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"pool"})
		registry.MustRegister(v)
		return v.WithLabelValues("only")
	}
	m.wait, m.hold = metric("acquire_wait_seconds"), metric("hold_seconds")
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc(m.world.Ready().WebhookPath, m.update)
	mux.HandleFunc("/payments/cryptobot", m.paid)
	return mux, nil
}

// with has a connection of the one pool for as long as the work takes.
func (m *model) with(ctx context.Context, work func(*pgxpool.Conn) error) error {
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, acquireTimeout)
	conn, err := m.pool.Acquire(waiting)
	cancel()
	m.wait.Observe(time.Since(began).Seconds())
	if err != nil {
		return fmt.Errorf("acquire: %w", err)
	}
	began = time.Now()
	defer func() {
		conn.Release()
		m.hold.Observe(time.Since(began).Seconds())
	}()
	return work(conn)
}

// exec has a connection for one statement.
func (m *model) exec(ctx context.Context, statement string, args ...any) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, statement, args...)
		return err //nolint:wrapcheck // of our own statement
	})
}

// rows reads ids.
func rows(ctx context.Context, conn *pgxpool.Conn, query string, args ...any) ([]int64, error) {
	found, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err //nolint:wrapcheck // of our own statement
	}
	return pgx.CollectRows(found, pgx.RowTo[int64]) //nolint:wrapcheck // of our own statement
}
