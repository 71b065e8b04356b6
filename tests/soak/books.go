package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sallyport/sandbox/cryptopay"
)

const (
	// settleLimit is when what is still owed is given up.
	settleLimit = 2 * time.Minute
	settleEvery = 100 * time.Millisecond
)

// books waits until nothing is owed, then compares the shop's books with what happened
// outside, and returns what does not agree.
func (s *subject) books(ctx context.Context) (wrong []string, err error) {
	if owed := s.settle(ctx); owed != nil {
		wrong = append(wrong, owed.Error())
	}
	paid := s.paid()
	for _, check := range []struct {
		what, query string
		want        int
		args        []any
	}{
		{"updates are missing", missing, 0, []any{s.world.Telegram.CheckoutUpdates()}},
		{"updates were given up", `SELECT count(*) FROM inbox WHERE state = 'dead'`, 0, nil},
		{"deliveries were not understood", `SELECT count(*) FROM dead_letters`, 0, nil},
		{"jobs were given up", `SELECT count(*) FROM river_job WHERE state = 'discarded'`, 0, nil},
		{"orders are paid and delivered", `SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NOT NULL`, paid, nil},
		{"payments are settled", `SELECT count(*) FROM payment_events WHERE outcome = 'settled'`, paid, nil},
		{"payments are flagged", `SELECT count(*) FROM payment_events WHERE outcome <> 'settled'`, 0, nil},
		{"sales are in the ledger", `SELECT count(*) FROM ledger_postings WHERE kind = 'sale'`, paid, nil},
		{"is the ledger's sum", `SELECT coalesce(sum(minor), 0) FROM ledger_entries`, 0, nil},
	} {
		n, err := s.count(ctx, check.query, check.args...)
		if err != nil {
			return nil, err
		}
		if n != check.want {
			wrong = append(wrong, fmt.Sprintf("%d %s, want %d", n, check.what, check.want))
		}
	}
	return slices.Concat(wrong, s.world.Telegram.Violations()), nil
}

// paid counts what was paid outside.
func (s *subject) paid() (n int) {
	for _, invoice := range s.world.CryptoPay.Invoices() {
		if invoice.Status == cryptopay.StatusPaid {
			n++
		}
	}
	for _, user := range s.world.Telegram.Users() {
		for _, m := range s.world.Telegram.Chat(user).Messages {
			if m.Payment != nil {
				n++
			}
		}
	}
	return n
}

// missing counts gaps among the updates that are kept. Telegram counts them one by one;
// a question before a payment is answered, not kept. The oldest are left out: of those
// that came at the same moment some may have been removed already.
const missing = `
	WITH told AS (SELECT update_id FROM inbox UNION SELECT unnest($1::bigint[])),
		kept AS (SELECT update_id FROM told WHERE update_id > (SELECT min(update_id) + 100 FROM inbox))
	SELECT coalesce(max(update_id) - min(update_id) + 1 - count(*), 0) FROM kept`

// settle waits until nothing is owed, and says what still is when it gives up.
func (s *subject) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		n, err := s.count(ctx, `
			SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting')
				+ (SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'notify', 'open_invoice') AND finalized_at IS NULL)
				+ (SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NULL)`)
		owed := n + s.world.Telegram.Pending() + s.world.CryptoPay.Pending()
		if err == nil && owed == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d updates, jobs and orders are still owed, %w", owed, err)
		}
	}
}
