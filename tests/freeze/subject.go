package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"sallyport/tests/load"

	"github.com/jackc/pgx/v5"

	"sallyport/sandbox"
	"sallyport/sandbox/process"
)

// subject is a shop that is measured.
type subject struct {
	name  string
	world *sandbox.World
	door  *door
	db    *pgx.Conn // past the faults
	mu    sync.Mutex
	// waits counts updates and jobs that are not done.
	waits func(ctx context.Context) (int, error)
	// owed says what is still under way, nil if nothing is.
	owed func(ctx context.Context) error
	// lost says what a shop may never lose, and has.
	lost func(ctx context.Context, c *crowd) ([]string, error)
	ends []func() error
}

// prepare starts a world with a door before the shop's address.
func prepare(ctx context.Context, cfg sandbox.Config) (*subject, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	s := &subject{}
	if s.door, err = newDoor(ctx, fmt.Sprintf("http://127.0.0.1:%d", port)); err != nil {
		return nil, err
	}
	s.ends = append(s.ends, s.door.close)
	cfg.AppPort, cfg.NoFloodLimits = port, true
	cfg.Env = []string{
		"PUBLIC_URL=" + s.door.url, "TELEGRAM_MESSAGES_PER_SECOND=1000", "LOG_LEVEL=warn",
	}
	if s.world, err = sandbox.Start(ctx, cfg); err != nil {
		_ = s.stop()
		return nil, err
	}
	s.ends = append(s.ends, s.world.Stop)
	if s.db, err = pgx.Connect(ctx, s.world.Ready().DatabaseDirectURL); err != nil {
		_ = s.stop()
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.ends = append(s.ends, func() error { return s.db.Close(context.WithoutCancel(ctx)) })
	return s, nil
}

func (s *subject) stop() error {
	var first error
	for i := len(s.ends) - 1; i >= 0; i-- {
		if err := s.ends[i](); err != nil && first == nil {
			first = err
		}
	}
	s.ends = nil
	return first
}

// count asks the database for one number.
func (s *subject) count(ctx context.Context, query string, args ...any) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	return n, nil
}

// startShop starts the real shop, as it is shipped.
func startShop(ctx context.Context, o options) (s *subject, err error) {
	cfg := sandbox.Config{Program: o.program}
	if o.log != "" {
		file, err := os.Create(o.log)
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		defer func() {
			if s == nil {
				_ = file.Close()
				return
			}
			s.ends = append([]func() error{file.Close}, s.ends...)
		}()
		cfg.ProductOutput = file
	}
	s, err = prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.name = "SALLYPORT"
	s.waits = func(ctx context.Context) (int, error) {
		return s.count(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting')
			+ (SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND finalized_at IS NULL)`)
	}
	s.owed = s.shopOwes
	s.lost = s.shopLost
	return s, nil
}

// shopOwes looks into the shop's books for what is under way.
func (s *subject) shopOwes(ctx context.Context) error {
	waits, err := s.waits(ctx)
	if err != nil {
		return err
	}
	undelivered, err := s.count(ctx, `SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NULL`)
	if err != nil {
		return err
	}
	told := s.world.Telegram.Pending() + s.world.CryptoPay.Pending()
	if waits+undelivered+told > 0 {
		return fmt.Errorf("%d updates and jobs, %d orders, %d deliveries outside", waits, undelivered, told)
	}
	return nil
}

// shopLost compares the shop's books with what happened outside.
func (s *subject) shopLost(ctx context.Context, c *crowd) (lost []string, err error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, check := range []struct {
		what, query string
		want        int
	}{
		{"updates are missing", `SELECT coalesce(max(update_id) - min(update_id) + 1 - count(*), 0) FROM inbox`, 0},
		{"updates were given up", `SELECT count(*) FROM inbox WHERE state = 'dead'`, 0},
		{"deliveries were not understood", `SELECT count(*) FROM dead_letters`, 0},
		{"jobs were given up", `SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND state <> 'completed'`, 0},
		{"orders are paid and delivered", `SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NOT NULL`, c.purchases()},
		{"payments are settled", `SELECT count(*) FROM payment_events WHERE outcome = 'settled'`, c.purchases()},
		{"sales are in the ledger", `SELECT count(*) FROM ledger_postings WHERE kind = 'sale'`, c.purchases()},
		{"is the ledger's sum", `SELECT coalesce(sum(minor), 0) FROM ledger_entries`, 0},
	} {
		n, err := s.count(ctx, check.query)
		if err != nil {
			return nil, err
		}
		if n != check.want {
			lost = append(lost, fmt.Sprintf("%d %s, want %d", n, check.what, check.want))
		}
	}
	if keys != c.purchases() {
		lost = append(lost, fmt.Sprintf("the VPN server lets %d in, want %d", keys, c.purchases()))
	}
	return append(lost, c.keyless()...), nil
}

// keys asks the VPN server itself how many it lets in.
func (s *subject) keys(ctx context.Context) (int, error) {
	body, _, err := load.Get(ctx, http.DefaultClient, s.world.Ready().ControlURL+"/xray/users")
	if err != nil {
		return 0, err
	}
	var users []struct{ ID string }
	if err := json.Unmarshal(body, &users); err != nil {
		return 0, fmt.Errorf("users of xray: %w in %s", err, body)
	}
	return len(users), nil
}

// watch looks at a shop while it is under load.
type watch struct {
	stop    context.CancelFunc
	ended   sync.WaitGroup
	health  load.Times
	unwell  int
	waiting int
}

// healthPatience is how long an answer of /healthz is waited for.
const healthPatience = 5 * time.Second

// look begins to look at the shop's health and at what waits.
func (s *subject) look(ctx context.Context) *watch {
	w := &watch{}
	ctx, w.stop = context.WithCancel(ctx)
	client := &http.Client{Timeout: healthPatience}
	w.ended.Go(func() {
		defer client.CloseIdleConnections()
		load.Every(ctx, lookEvery, func() {
			began := time.Now()
			_, status, err := load.Get(context.WithoutCancel(ctx), client, s.world.Ready().AppURL+"/healthz")
			w.health = append(w.health, time.Since(began))
			if err != nil || status != http.StatusOK {
				w.unwell++
			}
		})
	})
	w.ended.Go(func() {
		load.Every(ctx, lookEvery, func() {
			if n, err := s.waits(context.WithoutCancel(ctx)); err == nil {
				w.waiting = max(w.waiting, n)
			}
		})
	})
	return w
}

// end returns what was seen.
func (w *watch) end() (health load.Times, unwell, waiting int) {
	w.stop()
	w.ended.Wait()
	return w.health, w.unwell, w.waiting
}
