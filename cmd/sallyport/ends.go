package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"sallyport/shop"
	"sallyport/store"
)

// endsCommands are what can be done about subscriptions that have run out.
type endsCommands struct {
	Release endsReleaseCommand `cmd:"" help:"Have the ends go on that are held because the clock seems to have leapt."`
}

// endsReleaseCommand lets what is held end.
type endsReleaseCommand struct{}

// releaseBudget bounds how long the database may take.
const releaseBudget = 10 * time.Second

// Run releases the ends that are held, and says how many those are.
func (endsReleaseCommand) Run(ctx context.Context, out io.Writer) error {
	c, err := readConfig()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, releaseBudget, fmt.Errorf("no answer from the database in %s", releaseBudget))
	defer cancel()
	s, err := store.Open(ctx, store.Config{URL: string(c.DatabaseURL), Name: "ends", MaxConns: 1})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer s.Close()
	held, err := shop.New(shop.Config{Store: s}).ReleaseEnds(ctx)
	if err != nil {
		return fmt.Errorf("release ends: %w", err)
	}
	said := "no ends are held"
	if held > 0 {
		said = fmt.Sprintf("released %d ends: they go on within seconds", held)
	}
	if _, err := fmt.Fprintln(out, said); err != nil {
		return fmt.Errorf("print ends: %w", err)
	}
	return nil
}
