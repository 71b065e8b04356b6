package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
		owed := s.owed(ctx)
		if owed == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still owed: %w", owed)
		}
	}
}

// owed says what is still under way, nil if nothing is.
func (s *subject) owed(ctx context.Context) error {
	n, err := s.count(ctx, `
		SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting')
			+ (SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND finalized_at IS NULL)
			+ (SELECT count(*) FROM orders WHERE status = 'paid' AND delivered_at IS NULL)`)
	if err != nil {
		return err
	}
	if told := s.world.Telegram.Pending() + s.world.CryptoPay.Pending(); n+told > 0 {
		return fmt.Errorf("%d updates, jobs and orders, %d deliveries outside", n, told)
	}
	entitled, err := s.count(ctx, `SELECT count(*) FROM subscriptions WHERE status IN ('waiting', 'active')`)
	if err != nil {
		return err
	}
	let, err := s.letIn(ctx)
	if err == nil && let != entitled {
		err = fmt.Errorf("the VPN server lets %d in, %d are entitled", let, entitled)
	}
	return err
}

// letIn asks the VPN server itself how many it lets in.
func (s *subject) letIn(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.world.Ready().ControlURL+"/xray/users", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("users of xray: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("users of xray: %w", err)
	}
	defer response.Body.Close()
	var users []struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&users); err != nil {
		return 0, fmt.Errorf("users of xray: %w", err)
	}
	return len(users), nil
}
