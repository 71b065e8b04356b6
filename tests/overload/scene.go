package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/sandbox"
)

// scene is a world with the shop in it, as it is shipped.
type scene struct {
	world *sandbox.World
	log   *os.File // nil if nobody wants it

	mu sync.Mutex
	db *pgx.Conn
}

// stage says how a scene is set.
type stage struct {
	limits bool     // Telegram's own are kept, and the shop knows them
	env    []string // more of the shop's settings
}

// open starts a scene. Every commit waits for the disk, as in production.
func open(ctx context.Context, o options, st stage) (*scene, error) {
	cfg := sandbox.Config{Program: o.program, Sync: true, Record: true, NoFloodLimits: !st.limits, Env: append([]string{"LOG_LEVEL=warn"}, st.env...)}
	if !st.limits {
		cfg.Env = append(cfg.Env, "TELEGRAM_MESSAGES_PER_SECOND=1000")
	}
	s := &scene{}
	var err error
	if o.log != "" {
		if s.log, err = os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		cfg.ProductOutput = io.Writer(s.log)
	}
	if s.world, err = sandbox.Start(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	if s.db, err = pgx.Connect(ctx, s.world.Ready().DatabaseDirectURL); err != nil {
		return nil, errors.Join(fmt.Errorf("connect: %w", err), s.close(ctx))
	}
	return s, nil
}

func (s *scene) close(ctx context.Context) error {
	var problems []error
	if s.db != nil {
		problems = append(problems, s.db.Close(context.WithoutCancel(ctx)))
	}
	if s.world != nil {
		problems = append(problems, s.world.Stop())
	}
	if s.log != nil {
		problems = append(problems, s.log.Close())
	}
	return errors.Join(problems...)
}

// count asks the database for one number.
func (s *scene) count(ctx context.Context, query string, args ...any) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	return n, nil
}

// sql runs statements.
func (s *scene) sql(ctx context.Context, statements ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range statements {
		if _, err := s.db.Exec(ctx, one); err != nil {
			return fmt.Errorf("%s: %w", one, err)
		}
	}
	return nil
}

// lookEvery is the pace of looking for something that is waited for.
const lookEvery = 50 * time.Millisecond

// until waits until it is so.
func until(ctx context.Context, what string, limit time.Duration, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		yes, err := so()
		if yes || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for: %s: %w", what, ctx.Err())
		}
	}
}

// product tells the supervisor what to do with the shop's process.
func (s *scene) product(ctx context.Context, order string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.world.Ready().ControlURL+"/product/"+order, http.NoBody)
	if err != nil {
		return fmt.Errorf("%s: %w", order, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", order, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", order, response.Status)
	}
	return nil
}
