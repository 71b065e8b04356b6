package books

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"sallyport/sandbox/cryptopay"
)

// CheckInvoices checks that each order has one invoice at the provider, that each
// paid one paid its order exactly once, and that the books hold what it left there.
func (b *Books) CheckInvoices(ctx context.Context) error {
	var problems []error
	paid, made, held := 0, make(map[string]int64), make(map[string]*big.Rat)
	for _, invoice := range b.world.CryptoPay.Invoices() {
		order, _, _ := strings.Cut(invoice.Payload, " ") // the customer stands behind it
		if other, twice := made[order]; twice {
			problems = append(problems, fmt.Errorf("order %s has two invoices, %d and %d", order, other, invoice.ID))
		}
		made[order] = invoice.ID
		if invoice.Status != cryptopay.StatusPaid {
			continue
		}
		paid++
		problems = append(problems, b.checkPaid(ctx, "cryptobot", order, fmt.Sprint(invoice.ID)))
		if held[invoice.PaidAsset] == nil {
			held[invoice.PaidAsset] = new(big.Rat)
		}
		sum := held[invoice.PaidAsset]
		sum.Add(sum, counted(invoice.PaidAmount)).Sub(sum, counted(invoice.FeeAmount))
	}
	return errors.Join(append(problems, b.checkNumber(ctx, "cryptobot", paid), b.checkHeld(ctx, "cryptobot", held))...)
}

// counted reads an amount to the last digit that is counted.
func counted(decimal string) *big.Rat {
	whole, fraction, _ := strings.Cut(decimal, ".")
	amount, _ := new(big.Rat).SetString("0" + whole + "." + fraction[:min(len(fraction), 9)] + "0")
	return amount
}

// checkHeld checks that a provider holds of what was sold what the books say, in each coin.
func (b *Books) checkHeld(ctx context.Context, provider string, want map[string]*big.Rat) error {
	if b.Before {
		return nil
	}
	type coin struct{ Currency, Billionths string }
	list, err := rows[coin](ctx, b, `
		SELECT currency, sum(minor)::text AS billionths FROM ledger_entries e JOIN ledger_postings p ON p.id = e.posting_id
		WHERE account = 'provider:' || $1::text AND kind = 'sale' GROUP BY currency`, provider)
	problems := []error{err}
	for _, c := range list {
		got, _ := new(big.Rat).SetString(c.Billionths + "/1000000000")
		if want[c.Currency] == nil || got.Cmp(want[c.Currency]) != 0 {
			problems = append(problems, fmt.Errorf("%s holds %v %s, the books say %s", provider, want[c.Currency], c.Currency, got.FloatString(9)))
		}
	}
	if len(list) != len(want) && err == nil {
		problems = append(problems, fmt.Errorf("%s holds %d coins, the books know of %d", provider, len(want), len(list)))
	}
	return errors.Join(problems...)
}

// CheckStars checks that each charge of Stars paid its order exactly once.
func (b *Books) CheckStars(ctx context.Context) error {
	var problems []error
	charges := 0
	for _, user := range b.world.Telegram.Users() {
		for _, m := range b.world.Telegram.Chat(user).Messages {
			if m.Payment != nil {
				charges++
				problems = append(problems, b.checkPaid(ctx, "stars", m.Payment.Payload, m.Payment.ChargeID))
			}
		}
	}
	return errors.Join(append(problems, b.checkNumber(ctx, "stars", charges))...)
}

// checkPaid checks that what was paid at the provider paid its order exactly once.
func (b *Books) checkPaid(ctx context.Context, provider, order, payment string) error {
	var status string
	var delivered bool
	var events, sales int
	err := b.DB.QueryRow(ctx, `
		SELECT o.status, o.delivered_at IS NOT NULL,
			(SELECT count(*) FROM payment_events e WHERE e.order_id = o.id
				AND (e.provider, e.external_id, e.outcome, e.currency) = ($2, $3, 'settled', o.currency)),
			(SELECT count(*) FROM ledger_postings p WHERE p.order_id = o.id AND p.kind = 'sale')
		FROM orders o WHERE o.id = $1::uuid AND o.provider = $2`, order, provider, payment).Scan(&status, &delivered, &events, &sales)
	if err != nil {
		return fmt.Errorf("%s %s is paid; its order: %w", provider, payment, err)
	}
	if status != "paid" || !delivered || events != 1 || sales != 1 {
		return fmt.Errorf("%s %s is paid; its order is %q, delivered: %t, %d settled events, %d sales",
			provider, payment, status, delivered, events, sales)
	}
	return nil
}

// checkNumber checks how many orders were paid by way of a provider.
func (b *Books) checkNumber(ctx context.Context, provider string, paid int) error {
	orders, err := b.Count(ctx, `SELECT count(*) FROM orders WHERE status = 'paid' AND provider = $1`, provider)
	if err == nil && orders != paid {
		err = fmt.Errorf("%d orders are paid by %s, want %d", orders, provider, paid)
	}
	events, failed := b.Count(ctx, `SELECT count(*) FROM payment_events WHERE provider = $1 AND outcome = 'settled'`, provider)
	if failed == nil && events != paid {
		failed = fmt.Errorf("%d settled payments of %s, want %d", events, provider, paid)
	}
	return errors.Join(err, failed)
}

// CheckFlagged checks that nothing was flagged but what may be.
func (b *Books) CheckFlagged(ctx context.Context) error {
	type event struct{ External, Reason string }
	list, err := rows[event](ctx, b, `SELECT external_id, reason FROM payment_events WHERE outcome = 'flagged'`)
	problems := []error{err}
	for _, e := range list {
		if !b.Flagged[e.External] {
			problems = append(problems, fmt.Errorf("payment %s is flagged: %s", e.External, e.Reason))
		}
	}
	return errors.Join(problems...)
}
