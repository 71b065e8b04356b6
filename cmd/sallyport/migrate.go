package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"sallyport/migrations"
)

// migrateCommands are what can be done about the database's schema.
type migrateCommands struct {
	Up     migrateCommand       `cmd:"" default:"1" help:"Bring the database up to date and exit."`
	Status migrateStatusCommand `cmd:"" help:"Print each step of the schema and whether it is applied."`
}

// migrateStatusCommand says how up to date the database is. It changes nothing.
type migrateStatusCommand struct{}

// statusBudget bounds how long the database may take to say.
const statusBudget = 10 * time.Second

// Run prints one line for each step.
func (migrateStatusCommand) Run(ctx context.Context, out io.Writer) error {
	c, err := readConfig()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusBudget, fmt.Errorf("no answer from the database in %s", statusBudget))
	defer cancel()
	steps, err := migrations.Status(ctx, string(c.DatabaseURL))
	if err != nil {
		return fmt.Errorf("read state of the database: %w", err)
	}
	for _, s := range steps {
		if _, err := fmt.Fprintf(out, "%s  %4d  %s\n", stepState(s), s.Version, stepName(s)); err != nil {
			return fmt.Errorf("print steps: %w", err)
		}
	}
	return nil
}

func stepState(s migrations.Step) string {
	if s.Pending() {
		return "pending"
	}
	return "applied"
}

func stepName(s migrations.Step) string {
	switch {
	case s.Unknown():
		return "of a newer program, applied " + s.Applied.UTC().Format(time.DateTime)
	case s.Pending():
		return s.Name
	default:
		return s.Name + ", " + s.Applied.UTC().Format(time.DateTime)
	}
}
