// Package store keeps everything in PostgreSQL: what package shop asks of the
// storage, the inbox of updates, the dialogs, and the transaction side of the job
// queue. It holds no rule of the business: where a decision lies between a read
// and a write, the shop has both in one transaction of its own, by way of Do.
//
// No method does anything but SQL while it holds a connection, and every method
// refuses a context that already holds one.
package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"go.uber.org/zap"

	"sallyport/shop"
)

// Config describes one pool of connections.
type Config struct {
	URL              string
	Name             string        // of the pool: "deliveries", "dialogs" or "work"
	MaxConns         int32         // default 8
	MinConns         int32         // kept open when idle
	PlanOnce         bool          // plan each statement once for a connection: for lanes, whose arrays are costly to plan
	AcquireTimeout   time.Duration // default 2 s
	StatementTimeout time.Duration // of one operation, a transaction included; default 5 s
	Logger           *zap.Logger
	Metrics          prometheus.Registerer
}

// Store reads and writes through one pool of connections.
type Store struct {
	pool   *pgxpool.Pool
	cfg    Config
	jobs   *river.Client[pgx.Tx]
	tracer *poolTracer
	books  books

	arrivals together[arrival]
	claims   together[claim]
	closings together[closing]
	releases together[release]
}

// Open returns a Store with a pool of its own. It does not wait for the database
// to be there: a call does, up to its deadline.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.AcquireTimeout = max(cfg.AcquireTimeout, 0)
	if cfg.AcquireTimeout == 0 {
		cfg.AcquireTimeout = 2 * time.Second
	}
	if cfg.StatementTimeout == 0 {
		cfg.StatementTimeout = 5 * time.Second
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 8
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Store{cfg: cfg, tracer: newPoolTracer(cfg), books: newBooks(cfg.Metrics)}
	s.gather()
	pool, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.pool = pool
	if s.jobs, err = river.NewClient(riverpgxv5.New(pool), &river.Config{FetchCooldown: time.Millisecond}); err != nil {
		pool.Close()
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return s, nil
}

// gather says how many commits of each kind are under way at once: deliveries come
// first, because somebody waits for their answer and their sender counts it. What is about
// leases is begun in time or not at all: begun late, a claim would hold a lane that nobody
// works, and of an end nothing would come.
func (s *Store) gather() {
	s.arrivals.do, s.arrivals.atOnce = s.addUpdates, 4
	s.claims.do, s.claims.atOnce = s.claimUpdates, 1
	s.closings.do, s.closings.atOnce = s.closeUpdates, 1
	s.releases.do, s.releases.atOnce = s.releaseLanes, 1
	s.claims.prompt, s.closings.prompt, s.releases.prompt = true, true, true
}

// planning says how PostgreSQL plans a statement that comes again and again. A plan that
// is made once may be made while a table is empty and last when it is full, so it must
// find its rows by an index, however few there seem to be. A join of tables or a limit,
// as the job queue's have them, needs a plan for what is there now.
func (c Config) planning() map[string]string {
	if !c.PlanOnce {
		return map[string]string{"plan_cache_mode": "force_custom_plan"}
	}
	return map[string]string{
		"plan_cache_mode": "force_generic_plan",
		"enable_seqscan":  "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"jit": "off", // it would take what has no index for very costly
	}
}

func (s *Store) connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.cfg.URL)
	if err != nil {
		return nil, errors.New("database url: not a PostgreSQL connection string") // its text holds the password
	}
	config.MaxConns, config.MinConns = s.cfg.MaxConns, s.cfg.MinConns
	config.MaxConnIdleTime = 5 * time.Minute
	config.HealthCheckPeriod = 15 * time.Second
	config.ConnConfig.ConnectTimeout = s.cfg.AcquireTimeout
	config.ConnConfig.Tracer = s.tracer
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "sallyport " + s.cfg.Name
	}
	maps.Copy(config.ConnConfig.RuntimeParams, s.cfg.planning())
	config.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(s.cfg.StatementTimeout.Milliseconds())
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(s.cfg.StatementTimeout.Milliseconds())
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return pool, nil
}

var _ shop.Store = (*Store)(nil)

// Pool returns the pool itself, for the job queue's own use.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close closes the pool once its connections are given back.
func (s *Store) Close() { s.pool.Close() }

// querier is what a connection and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// use runs do with a connection; do must do nothing but SQL.
func (s *Store) use(ctx context.Context, op string, do func(context.Context, *pgxpool.Conn) error) error {
	if err := shop.Free(ctx); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	acquireCtx, cancelAcquire := context.WithTimeoutCause(ctx, s.cfg.AcquireTimeout,
		fmt.Errorf("no free connection in %s", s.cfg.AcquireTimeout))
	defer cancelAcquire()
	conn, err := s.pool.Acquire(withOp(acquireCtx, op))
	if err != nil {
		return fmt.Errorf("%s: %w", op, translate(cause(acquireCtx, err)))
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeoutCause(shop.Hold(ctx, s.cfg.Name+" connection for "+op), s.cfg.StatementTimeout,
		fmt.Errorf("no answer from the database in %s", s.cfg.StatementTimeout))
	defer cancel()
	if err := do(ctx, conn); err != nil {
		if ctx.Err() == nil && !conn.Conn().IsClosed() && isOurs(err) {
			return fmt.Errorf("%s: %w", op, err)
		}
		return fmt.Errorf("%s: %w", op, translate(cause(ctx, err)))
	}
	return nil
}

// isOurs says whether err, with a connection that lives on, is a fault of ours: arguments
// that cannot be sent, or rows that cannot be read. What PostgreSQL says is another matter.
func isOurs(err error) bool {
	_, isPg := errors.AsType[*pgconn.PgError](err)
	_, isKnown := errors.AsType[*shop.Error](err)
	return !isPg && !isKnown
}

// tx runs do in a transaction, committed if do returns nil.
func (s *Store) tx(ctx context.Context, op string, do func(context.Context, pgx.Tx) error) error {
	return s.use(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return do(ctx, tx) })
	})
}

// exec runs one statement.
func (s *Store) exec(ctx context.Context, op, sql string, args ...any) (affected int64, err error) {
	err = s.use(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, sql, args...)
		affected = tag.RowsAffected()
		return err
	})
	return affected, err
}

// one reads exactly one row; it returns missing if there is none.
func one[T any](ctx context.Context, q querier, missing error, sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return v, missing
	}
	return v, err
}

// column reads the single column of all rows.
func column[T any](ctx context.Context, q querier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// cause replaces the bare "deadline exceeded" by the name of the deadline.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return context.Cause(ctx)
	}
	return err
}

// translate turns what PostgreSQL and the network say into the shop's errors.
func translate(err error) error {
	if _, ok := errors.AsType[*shop.Error](err); ok {
		return err
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		if errors.Is(err, pgx.ErrTooManyRows) || isScanError(err) {
			return err
		}
		return shop.Unavailable(err)
	}
	switch pg.Code[:2] {
	case "08", "53", "57", "40", "55", "25": // connection, resources, shutdown or time-out, serialization, locks, aborted session
		return shop.Unavailable(err)
	}
	return err
}

func isScanError(err error) bool {
	_, ok := errors.AsType[pgx.ScanArgError](err)
	return ok
}
