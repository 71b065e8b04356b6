package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"sallyport/api"
	"sallyport/migrations"
	"sallyport/shop"
	"sallyport/store"
)

// serveCommand runs the shop.
type serveCommand struct{}

// Run serves until ctx ends, then stops in order: no more deliveries are taken,
// what is in hand is finished or handed back, and the process is gone within ten seconds.
func (serveCommand) Run(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // for good: one that comes too early or too late must not end us
	c, err := readConfig()
	if _, _, catalogueErr := readCatalogue(c.Catalogue); c.Catalogue != "" {
		err = errors.Join(err, catalogueErr)
	}
	if err != nil {
		return err
	}
	log, err := newLogger(c.LogLevel)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error cannot be synced on every system
	p, err := build(ctx, c, log)
	if err != nil {
		return err
	}
	defer p.closeInTime()
	return p.run(ctx, hangups)
}

// closeInTime closes what it can: a connection that hangs must not hold up the end.
func (p *program) closeInTime() {
	closed := make(chan struct{})
	go func() { defer close(closed); p.close() }()
	select {
	case <-closed:
	case <-time.After(stopClosing):
		p.log.Warn("some connections did not close in time")
	}
}

const (
	// stopListening is how long deliveries under way may take once we stop.
	stopListening = 3 * time.Second
	// stopWorking is how long jobs and updates in hand may take; longer ones are
	// handed back.
	stopWorking = 4 * time.Second
	// stopQueue is how long the job queue gets to hand back what it has.
	stopQueue = stopWorking + time.Second
	// stopLeaving is how long the word that we have gone may take.
	stopLeaving = 500 * time.Millisecond
	// stopClosing is how long connections get to close.
	stopClosing = time.Second
)

// run starts every part and waits for the end of one, or of ctx.
func (p *program) run(ctx context.Context, hangups <-chan os.Signal) error {
	doors, err := p.openDoors(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		newSupervisor().attend(ctx, func(err error) { p.log.Warn("supervisor not told", zap.NamedError("err", err)) })
		return nil
	})
	for _, d := range doors {
		g.Go(func() error { return d.serve(ctx) })
	}
	up := make(chan struct{})
	g.Go(func() error {
		if !p.whenUp(ctx) {
			return nil
		}
		close(up)
		return p.workUntil(ctx)
	})
	g.Go(func() error { p.keepCertificate(ctx, up); return nil })
	for _, do := range []func(context.Context){p.keepIntroduced, p.listen, p.tryWays, p.watch.Run, p.keepHeartbeat} {
		g.Go(func() error { do(ctx); return nil })
	}
	g.Go(func() error { p.keepOperator(ctx); return nil })
	g.Go(func() error { p.reloadOnSignal(ctx, hangups); return nil })
	g.Go(func() error { p.keepWebhook(ctx, up); return nil })
	if err := g.Wait(); err != nil {
		return err
	}
	p.log.Info("stopped")
	return nil
}

// door is a server with its listener.
type door struct {
	server   *http.Server
	listener net.Listener
}

// openDoors opens every listener, so that an address that is taken ends the start,
// and so that whoever checks the name for a certificate finds us there.
func (p *program) openDoors(ctx context.Context) (doors []door, err error) {
	servers := []*http.Server{p.publicServer()}
	inside := make(map[*http.Server]bool) // whom strangers do not reach
	if p.config.Operations != sharedListener {
		operations := api.Server(p.config.Operations, p.operations, p.log)
		servers, inside[operations] = append(servers, operations), true
	}
	if p.certs != nil && p.config.HTTPListen != "" {
		servers = append(servers, api.Server(p.config.HTTPListen, p.plain(), p.log))
	}
	for _, s := range servers {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", s.Addr)
		if err != nil {
			for _, d := range doors {
				_ = d.listener.Close() // we end
			}
			return nil, fmt.Errorf("listen on %s: %w", s.Addr, err)
		}
		if !inside[s] {
			listener = p.door.Guard(listener, s)
		}
		doors = append(doors, door{server: s, listener: listener})
	}
	return doors, nil
}

// serve serves until ctx ends and the deliveries under way are answered.
func (d door) serve(ctx context.Context) error {
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopListening)
		defer cancel()
		stopped <- d.server.Shutdown(limit)
	})
	serve := d.server.Serve
	if d.server.TLSConfig != nil {
		serve = func(l net.Listener) error { return d.server.ServeTLS(l, "", "") }
	}
	if err := serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen on %s: %w", d.server.Addr, err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop listening: %w", err)
	}
	return nil
}

// whenUp waits for the database, brings it up to date and starts the job queue.
// Until then deliveries are sent away, and come again. It reports whether the queue
// was started before ctx ended.
func (p *program) whenUp(ctx context.Context) (started bool) {
	return p.untilDone(ctx, "open database", func(ctx context.Context) error {
		if err := migrate(ctx, p.config, p.log); err != nil {
			return err
		}
		life, err := p.work.Beat(ctx, p.sign(), deadAfter)
		if err != nil {
			return fmt.Errorf("first sign of life: %w", err)
		}
		p.among(life)
		return p.workers.Start(context.WithoutCancel(ctx))
	})
}

// workUntil runs the lanes and the job queue until ctx ends.
func (p *program) workUntil(ctx context.Context) error {
	p.health.SetServing(ctx.Err() == nil)
	p.log.Info("serving", zap.String("listen", p.config.Listen), zap.String("version", version))
	alive, die := context.WithCancel(context.WithoutCancel(ctx)) // until the last job is done or handed back
	var life sync.WaitGroup
	life.Go(func() { p.live(alive) })
	var g errgroup.Group
	g.Go(func() error { return p.lanes.Run(ctx) })
	g.Go(func() error { p.standSentry(ctx); return nil })
	g.Go(func() error {
		<-ctx.Done()
		p.health.SetServing(false)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopQueue)
		defer cancel()
		if err := p.workers.Stop(limit); err != nil {
			p.log.Warn("jobs left to be handed back", zap.NamedError("err", err))
		}
		return nil
	})
	err := g.Wait()
	die()
	life.Wait()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLeaving)
	defer cancel()
	if err := p.work.Leave(limit, p.holder); err != nil {
		p.log.Warn("not signed off", zap.NamedError("err", err))
	}
	return err
}

const (
	// beatEvery is how often this process says that it is alive, deadAfter how long
	// one that does not is waited for.
	beatEvery = time.Second
	deadAfter = 5 * time.Second
	// beatsPerLoss is at how many signs of life it is looked once for jobs that are lost.
	beatsPerLoss = 3
	// lostAfter is when a job of ours that we are not trying was lost with a
	// connection to the database.
	lostAfter = 15 * time.Second
	// hastenEvery is how often jobs are looked for that wait longer than they should.
	hastenEvery = 10 * time.Second
)

// live says that this process is alive, until ctx ends, and takes over from those
// that are not.
func (p *program) live(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	late := time.NewTicker(hastenEvery)
	defer late.Stop()
	beats := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			if p.eldest.Load() {
				p.hasten(ctx)
			}
			continue
		case <-tick.C:
		}
		life, err := p.work.Beat(ctx, p.sign(), deadAfter)
		if err == nil {
			p.among(life)
		} else if ctx.Err() == nil {
			p.log.Warn("no sign of life given", zap.NamedError("err", err))
		}
		if life.Due && life.Eldest {
			p.end(ctx)
		}
		if life.Jobs > 0 {
			p.log.Warn("took over from a dead process", zap.Int64("jobs", life.Jobs))
		}
		if beats++; beats%beatsPerLoss != 0 {
			continue
		}
		if lost, err := p.work.HandBack(ctx, p.holder, p.workers.InHand(), lostAfter); err == nil && lost > 0 { // an error has been told above
			p.log.Warn("jobs were lost with a connection, trying them again", zap.Int64("jobs", lost))
		}
	}
}

// sign is what this process says of itself.
func (p *program) sign() store.Sign {
	return store.Sign{Holder: p.holder, Age: time.Since(p.began), Clock: time.Now(), Webhook: p.webhook().Digest()}
}

// among takes this process's part among all that are alive.
func (p *program) among(l store.Life) {
	p.eldest.Store(l.Eldest)
	p.latest.Store(l.Latest)
	p.keeps.Store(l.Keeps)
	p.edge.Accept(l.Secrets)
	p.sender.Share(l.Alive)
}

// end has what has run out ended; one job that waits or runs is enough.
func (p *program) end(ctx context.Context) {
	if err := p.work.Enqueue(ctx, shop.ExpireDue{}); err != nil && ctx.Err() == nil {
		p.log.Warn("what has run out is not ended at once", zap.NamedError("err", err))
	}
}

// hasten has jobs tried that a clock which was ahead has put off.
func (p *program) hasten(ctx context.Context) {
	if jobs, err := p.work.Hasten(ctx); err == nil && jobs > 0 { // an error has been told by the sign of life
		p.log.Warn("a clock was ahead and is not any more, trying the jobs that it put off", zap.Int64("jobs", jobs))
	}
}

func migrate(ctx context.Context, c config, log *zap.Logger) error {
	pool, err := migrations.Open(ctx, string(c.DatabaseURL))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()
	return applyMigrations(ctx, pool, log)
}

func applyMigrations(ctx context.Context, pool *pgxpool.Pool, log *zap.Logger) error {
	applied, err := migrations.Up(ctx, pool)
	if err != nil {
		return fmt.Errorf("bring database up to date: %w", err)
	}
	if len(applied) > 0 {
		log.Info("database brought up to date", zap.Int64s("versions", applied))
	}
	return nil
}

// holder names this process among the replicas.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + uuid.NewString()
}

// migrateCommand brings the database up to date.
type migrateCommand struct{}

// Run applies what the database lacks and says what that was.
func (migrateCommand) Run(ctx context.Context, out io.Writer) error {
	c, err := readConfig()
	if err != nil {
		return err
	}
	pool, err := migrations.Open(ctx, string(c.DatabaseURL))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()
	applied, err := migrations.Up(ctx, pool)
	if err != nil {
		return fmt.Errorf("bring database up to date: %w", err)
	}
	if _, err := fmt.Fprintf(out, "applied %d steps %v\n", len(applied), applied); err != nil {
		return fmt.Errorf("print steps: %w", err)
	}
	return nil
}
