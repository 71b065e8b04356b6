package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/sandbox"
)

const (
	demoLimit = 2 * time.Minute
	// demoPeriod is how long the access lasts that is seen to expire: enough for
	// the steps before that.
	demoPeriod = 12 * time.Second
)

// demoCommand plays the scripted story.
type demoCommand struct{ worldFlags }

// Run starts a world of its own, plays the story in it and stops it.
func (c demoCommand) Run(ctx context.Context, o output) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoLimit, fmt.Errorf("not done within %s", demoLimit))
	defer cancel()
	config := c.config(o)
	config.ShortPeriod = demoPeriod
	s := &story{out: o.out}
	err := s.step("everything starts: PostgreSQL, Xray, Telegram, Crypto Pay, the shop", func() (err error) {
		s.world, err = sandbox.Start(ctx, config)
		return err
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	err = s.play(ctx)
	if err != nil {
		fmt.Fprintf(o.log, "The shop's log ends with:\n%s\n", s.world.ProductTail())
	}
	if err := errors.Join(err, s.end()); err != nil { //nolint:contextcheck // ctx may have ended
		return fmt.Errorf("demo: %w", err)
	}
	fmt.Fprintf(o.out, "pay to connected: %d ms until the key is there, %d ms from the key to the first bytes\n",
		s.delivered.Milliseconds(), s.connected.Milliseconds())
	fmt.Fprintf(o.out, "demo: ok, %d steps, pay to connected %d ms\n", s.steps, (s.delivered + s.connected).Milliseconds())
	return nil
}
