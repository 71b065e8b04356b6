package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/store"
)

// forgetCommand removes a customer on their wish.
type forgetCommand struct {
	User int64 `arg:"" help:"The customer's Telegram id."`
}

// forgetBudget bounds one operation on the database: whole tables are looked through.
const forgetBudget = 2 * time.Minute

// Run ends the customer's access, removes what tells who they are and says what was done.
func (f forgetCommand) Run(ctx context.Context, out io.Writer) error {
	if f.User <= 0 {
		return errors.New("a Telegram id is a positive number")
	}
	c, err := readConfig()
	if err != nil {
		return err
	}
	p := &program{config: c, log: zap.NewNop(), metrics: prometheus.NewRegistry(), hosts: make(map[string]*outbound.Host)}
	p.checks, p.observe = newNodeMetrics(p.metrics), observeCalls(p.metrics)
	defer p.close()
	if err := p.openCatalogue(ctx); err != nil {
		return err
	}
	work, err := store.Open(ctx, store.Config{
		URL: string(c.DatabaseURL), Name: "forget", MaxConns: 1, AcquireTimeout: c.AcquireTimeout, StatementTimeout: forgetBudget,
	})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer work.Close()
	forgotten, err := shop.New(shop.Config{Store: work, Catalogue: &p.catalogue, Nodes: p.shopNodes}).Forget(ctx, shop.UserID(f.User))
	if err != nil {
		return fmt.Errorf("customer %d is not forgotten: %w", f.User, err)
	}
	if _, err := io.WriteString(out, f.report(forgotten)); err != nil {
		return fmt.Errorf("print what was done: %w", err)
	}
	return nil
}

// report says what was done.
func (f forgetCommand) report(done shop.Forgotten) string {
	if done == (shop.Forgotten{}) {
		return fmt.Sprintf("Nothing is kept of customer %d.\n", f.User)
	}
	text := fmt.Sprintf("Customer %d is forgotten.\n", f.User)
	if !done.Until.IsZero() {
		text += fmt.Sprintf("Their access, paid for until %s, has ended on every node.\n", done.Until.UTC().Format(time.DateTime))
	}
	text += fmt.Sprintf("Rows removed: %d. Rows emptied: %d.\n", done.Removed, done.Emptied)
	if done.Orders > 0 {
		text += fmt.Sprintf("Orders that stay in the books, of customer %d, who is nobody: %d.\n", done.Name, done.Orders)
	}
	return text + "Backups, the log and the chat itself are as they were: see docs/privacy.md.\n"
}
