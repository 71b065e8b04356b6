package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"sallyport/sandbox/process"
	"sallyport/xray"
)

// surgePresses is how many customers press a second while so many subscriptions end:
// few enough for the limit of messages that Telegram sets.
const surgePresses = 10

// surgeLimit bounds the whole.
const surgeLimit = 5 * time.Minute

// surge lets all subscriptions end in one moment, in the product as an operator runs it,
// and then the node restart with some of them.
type surge struct {
	*bench
	n       int // subscriptions
	db      *pgx.Conn
	node    *xray.Node
	product *process.Process
	addr    string

	pressesMade int64
}

// surges measures how long it takes until all that has ended is ended everywhere, and
// what it means for those who press a button meanwhile.
func (b *bench) surges(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, surgeLimit)
	defer cancel()
	s := &surge{bench: b, n: b.leavers}
	if b.product != nil { // it would see to the same node
		if err := b.product.Stop(ctx); err != nil {
			return err
		}
		b.product = nil
	}
	defer s.end() //nolint:contextcheck // ctx may have ended
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.leave(ctx); err != nil {
		return err
	}
	return s.comeBack(ctx)
}

// begin starts the product with all subscriptions, and waits until the node has them.
func (s *surge) begin(ctx context.Context) error {
	if err := s.world.Node.Restart(ctx); err != nil {
		return err
	}
	database, err := s.subscribed(ctx, s.n)
	if err != nil {
		return err
	}
	if s.db, err = pgx.Connect(ctx, database); err != nil {
		return fmt.Errorf("surge: %w", err)
	}
	if s.node, err = s.dial(); err != nil {
		return err
	}
	app, err := url.Parse(s.world.Ready().AppURL)
	if err != nil {
		return fmt.Errorf("surge: %w", err)
	}
	s.addr = app.Host
	s.product, _, err = s.start(ctx, "DATABASE_URL="+database, "TELEGRAM_API="+s.telegram.url, "WEBHOOK_SECRET="+secret, "LOG_LEVEL=error")
	if err != nil {
		return err
	}
	return s.settled(ctx, s.n)
}

func (s *surge) end() {
	if s.product != nil {
		s.product.Kill()
	}
	if s.node != nil {
		_ = s.node.Close() // nothing is under way
	}
	if s.db != nil {
		_ = s.db.Close(context.Background()) // it only reads by now
	}
}

// pollEvery is how often it is asked whether a surge is over: seldom enough to cost nothing.
const pollEvery = 100 * time.Millisecond

// settled waits until the node and the database both let that many in.
func (s *surge) settled(ctx context.Context, n int) error {
	for {
		users, err := s.node.Count(ctx)
		granted := -1
		if err == nil && users == n {
			err = s.db.QueryRow(ctx, `SELECT count(*) FROM subscriptions WHERE status = 'active'`).Scan(&granted)
		}
		if err == nil && granted == n {
			return nil
		}
		if waited := wait(ctx, pollEvery); waited != nil {
			return fmt.Errorf("waited in vain for %d users: the node has %d, the database %d, %w", n, users, granted, errors.Join(err, waited))
		}
	}
}

// rest is how long PostgreSQL gets to recover from being told when all end.
const rest = 8 * time.Second

// leave lets all end in one moment while others press.
func (s *surge) leave(ctx context.Context) error {
	idle, err := memoryOf(s.product.Pid())
	if err != nil {
		return err
	}
	calmFor := 10 * s.round
	end := time.Now().Add(calmFor + rest)
	if _, err := s.db.Exec(ctx, `UPDATE subscriptions SET expires_at = now() + $1`, calmFor+rest); err != nil {
		return fmt.Errorf("surge: %w", err)
	}
	if err := wait(ctx, time.Until(end)-calmFor-time.Second); err != nil {
		return err
	}
	calm, err := s.pressed(ctx, func(ctx context.Context) error { return wait(ctx, calmFor) })
	if err != nil {
		return err
	}
	if err := wait(ctx, time.Until(end)); err != nil {
		return err
	}
	meanwhile, err := s.pressed(ctx, func(ctx context.Context) error { return s.settled(ctx, 0) })
	took := time.Since(end)
	if err != nil {
		return err
	}
	busy, err := memoryOf(s.product.Pid())
	if err != nil {
		return err
	}
	s.report.add(table{
		Title: fmt.Sprintf("%d subscriptions end at once", s.n), Columns: []string{"clean s", "calm p99 ms", "p99 ms", "calm PSS MB", "PSS MB"},
		Rows: []row{{"product", []float64{took.Seconds(), calm.at(0.99), meanwhile.at(0.99), idle["Pss"], busy["Pss"]}}},
	})
	s.report.atMost(fmt.Sprintf("%d end at once: clean, s", s.n), took.Seconds(), 60)
	s.report.atMost(fmt.Sprintf("%d end at once: p99 of a press x calm", s.n), over(meanwhile.at(0.99), calm.at(0.99)), 2)
	s.report.atMost(fmt.Sprintf("memory (PSS) with %d subscriptions, MB", s.n), idle["Pss"], 40)
	return nil
}

// pressed has customers press while do runs.
func (s *surge) pressed(ctx context.Context, do func(context.Context) error) (found outcome, err error) {
	s.telegram.forget()
	enough, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop()
		return do(ctx)
	})
	g.Go(func() error {
		found, err = s.replies(ctx, enough, s.addr, pressing{first: s.pressesMade, rate: surgePresses, lasts: 2 * awaitLimit})
		s.pressesMade += int64(len(found.times))
		return err
	})
	return found, g.Wait()
}

// returners is how many subscriptions a node has when it restarts.
const returners = 10_000

// comeBack restarts the node, and waits until it has its users again.
func (s *surge) comeBack(ctx context.Context) error {
	n := min(s.n, returners)
	if _, err := s.db.Exec(ctx, `UPDATE subscriptions SET status = 'active', expires_at = now() + interval '1 day'
		WHERE user_id < $1`, firstSubscriber+n); err != nil {
		return fmt.Errorf("surge: %w", err)
	}
	if err := s.settled(ctx, n); err != nil {
		return err
	}
	var took []float64
	for range s.rounds {
		if err := s.world.Node.Restart(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := s.settled(ctx, n); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds())
	}
	s.report.add(table{Title: fmt.Sprintf("Xray restarts with %d users", n), Columns: []string{"all back s"}, Rows: []row{{"product", []float64{median(took)}}}})
	s.report.atMost(fmt.Sprintf("%d users back after a restart of Xray, s", n), median(took), 2)
	return nil
}

// wait waits.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
