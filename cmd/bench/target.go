package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/store"
)

// role is what a server that is measured does with an update.
type role string

const (
	bare    role = "bare"    // checks the secret and decodes the JSON
	plain   role = "plain"   // stores it too, by an INSERT of its own
	stored  role = "stored"  // the product's receiver and inbox; nobody handles it
	ignored role = "ignored" // the lanes too, with a handler that does nothing
	live    role = "live"    // the whole bot, which answers
)

// targetConns is how many connections to the database a target has; the product has half
// of them for deliveries and half for dialogs.
const targetConns = 8

// targetCommand is a server that is measured, in a process of its own.
type targetCommand struct {
	Role     role
	Listen   string
	Database string
	Telegram string // the address of the Bot API
	Profile  string // the file for a profile of the processor's time; empty means none
}

// Run serves until ctx ends.
func (c targetCommand) Run(ctx context.Context) error {
	stop, err := profile(c.Profile)
	if err != nil {
		return err
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	handler, err := c.handler(ctx, g)
	if err != nil {
		return err
	}
	server := api.Server(c.Listen, handler, zap.NewNop())
	context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for its answers any more
	g.Go(func() error {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("target: %w", err)
		}
		return nil
	})
	return g.Wait()
}

// profile writes a profile until it is stopped.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() { pprof.StopCPUProfile(); file.Close() }, nil
}

func (c targetCommand) handler(ctx context.Context, g *errgroup.Group) (http.Handler, error) {
	switch c.Role {
	case bare:
		return receiver(func(context.Context, int64, []byte) error { return nil }), nil
	case plain:
		return c.plain(ctx)
	default:
		return c.product(ctx, g)
	}
}

// receiver is the least that a receiver does: it checks the secret, reads and decodes.
func receiver(take func(ctx context.Context, id int64, body []byte) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Telegram-Bot-Api-Secret-Token")), []byte(secret)) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var update struct {
			UpdateID int64 `json:"update_id"`
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &update)
		}
		if err == nil {
			err = take(r.Context(), update.UpdateID, body)
		}
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// plain stores each update by itself.
func (c targetCommand) plain(ctx context.Context) (http.Handler, error) {
	config, err := pgxpool.ParseConfig(c.Database)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	config.MaxConns, config.MinConns = targetConns, targetConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return receiver(func(ctx context.Context, id int64, body []byte) error {
		_, err := pool.Exec(ctx, `INSERT INTO inbox (update_id, lane, kind, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			id, firstPerson+id%people, "callback_query", body)
		return err //nolint:wrapcheck // it becomes a status
	}), nil
}

// product is the product's own receiver, with as much behind it as the role says.
func (c targetCommand) product(ctx context.Context, g *errgroup.Group) (http.Handler, error) {
	metrics := prometheus.NewRegistry()
	open := func(name string) (*store.Store, error) {
		return store.Open(ctx, store.Config{URL: c.Database, Name: name, MaxConns: targetConns / 2, MinConns: 1, PlanOnce: true, Metrics: metrics})
	}
	deliveries, err := open("deliveries")
	if err != nil {
		return nil, err
	}
	config := api.Config{Secret: secret, Inbox: deliveries, Wake: func(int64, bool) {}, Health: api.NewHealth("bench"), Metrics: metrics}
	if c.Role != stored {
		dialogs, err := open("dialogs")
		if err != nil {
			return nil, err
		}
		handle := func(context.Context, shop.Update) error { return nil }
		if c.Role == live {
			if handle, err = c.answers(dialogs); err != nil {
				return nil, err
			}
		}
		lanes := bot.NewLanes(bot.LanesConfig{Inbox: dialogs, Handle: handle, Holder: "bench", Stop: time.Second, Metrics: metrics})
		g.Go(func() error { return lanes.Run(ctx) })
		config.Wake = lanes.Wake
	}
	return api.New(config).Receivers(), nil
}

// answers is the bot as the product wires it, but for the limit of messages a second.
func (c targetCommand) answers(s *store.Store) (func(context.Context, shop.Update) error, error) {
	texts, err := bot.NewTexts(time.UTC, nil)
	if err != nil {
		return nil, fmt.Errorf("texts: %w", err)
	}
	var catalogue atomic.Pointer[shop.Catalogue]
	catalogue.Store(&shop.Catalogue{})
	client := bot.NewClient("1:A", c.Telegram, outbound.New(outbound.Config{Name: "telegram", Timeout: 12 * time.Second, AtOnce: 64}))
	sells := shop.New(shop.Config{Store: s, Catalogue: &catalogue, Nodes: func() []shop.Node { return nil }})
	return bot.New(sells, client, bot.NewDisplay(bot.NewSender(client, 1_000_000), s, texts, bot.Reply)).Handle, nil
}
