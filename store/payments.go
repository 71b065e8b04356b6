package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// LockOrderOf returns the order that the event pays, locked: the one that we gave
// the provider to know it by, or the one that its invoice was made for.
func (w *work) LockOrderOf(ctx context.Context, e shop.PaymentEvent) (shop.Order, error) {
	id, err := shop.ParseOrderID(e.OrderRef)
	if err != nil {
		id = shop.OrderID{}
	}
	row, err := one[orderRow](ctx, w, shop.ErrUnknownOrder, `
		SELECT `+orderColumns+`
		FROM orders
		WHERE id = coalesce((SELECT id FROM orders WHERE id = $1), (SELECT order_id FROM invoices WHERE provider = $2 AND external_id = $3))
		FOR UPDATE`, id.UUID, e.Provider, e.ExternalID)
	return row.order(), err
}

// IsSettled says whether the payment was settled before.
func (w *work) IsSettled(ctx context.Context, e shop.PaymentEvent) (settled bool, err error) {
	err = w.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM payment_events WHERE provider = $1 AND external_id = $2 AND outcome = 'settled')`,
		e.Provider, e.ExternalID).Scan(&settled)
	return settled, err
}

// SaveSweep remembers that a sweep which began then read all of the provider's list.
func (s *Store) SaveSweep(ctx context.Context, provider shop.Provider, began time.Time) error {
	_, err := s.exec(ctx, "save sweep", `
		INSERT INTO sweeps (provider, began_at) VALUES ($1, $2)
		ON CONFLICT (provider) DO UPDATE SET began_at = excluded.began_at`, provider, began)
	return err
}

// Kept returns at most limit events that are flagged with ErrUnsettled, and that no
// operator has looked at, the oldest first.
func (s *Store) Kept(ctx context.Context, limit int) (events []shop.PaymentEvent, err error) {
	err = s.use(ctx, "kept payments", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT provider, external_id, coalesce(order_id::text, ''), invoiced_minor, currency,
				paid_asset, paid_amount, fee_asset, fee_amount, paid_at, raw
			FROM payment_events WHERE outcome = 'flagged' AND reviewed_at IS NULL AND reason = 'unsettled'
			ORDER BY id LIMIT $1`, limit)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e shop.PaymentEvent, err error) {
			var paid *time.Time
			err = row.Scan(&e.Provider, &e.ExternalID, &e.OrderRef, &e.Invoiced.Minor, &e.Invoiced.Currency,
				&e.PaidAsset, &e.PaidAmount, &e.FeeAsset, &e.FeeAmount, &paid, &e.Raw)
			e.PaidAt = orZero(paid)
			return e, err
		})
		return err
	})
	return events, err
}

// reasonOf names the rule that an event breaks.
func reasonOf(rule error) string {
	if known, ok := errors.AsType[*shop.Error](rule); ok {
		return known.Key
	}
	return "refused"
}

// AddSettled stores an event that settles the order, and that a fault of ours keeps it from
// that no more.
func (w *work) AddSettled(ctx context.Context, e shop.PaymentEvent, id shop.OrderID) error {
	w.reached(orderPaid, 1)
	if _, err := w.addEvent(ctx, e, id, shop.Settled, ""); err != nil {
		return err
	}
	_, err := w.Exec(ctx, `
		UPDATE payment_events SET reviewed_at = now()
		WHERE provider = $1 AND external_id = $2 AND outcome = 'flagged' AND reason = 'unsettled' AND reviewed_at IS NULL`,
		e.Provider, e.ExternalID)
	return err
}

// AddFlagged keeps an event for an operator; fresh is false if it was flagged for the same
// reason before.
func (w *work) AddFlagged(ctx context.Context, e shop.PaymentEvent, id shop.OrderID, reason error) (fresh bool, err error) {
	return w.addEvent(ctx, e, id, shop.Flagged, reasonOf(reason))
}

func (w *work) addEvent(ctx context.Context, e shop.PaymentEvent, id shop.OrderID, outcome shop.Outcome, reason string) (fresh bool, err error) {
	onConflict := ``
	if outcome == shop.Flagged {
		onConflict = ` ON CONFLICT (provider, external_id, reason) WHERE outcome = 'flagged' DO NOTHING`
	}
	tag, err := w.Exec(ctx, `
		INSERT INTO payment_events (provider, external_id, order_id, outcome, reason, invoiced_minor, currency,
			paid_asset, paid_amount, fee_asset, fee_amount, paid_at, raw)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`+onConflict,
		e.Provider, e.ExternalID, orNull(id), outcome, reason, e.Invoiced.Minor, e.Invoiced.Currency,
		e.PaidAsset, e.PaidAmount, e.FeeAsset, e.FeeAmount, nullable(e.PaidAt), e.Raw)
	return tag.RowsAffected() == 1, err
}

// orNull turns the zero id into NULL.
func orNull(id shop.OrderID) *uuid.UUID {
	if id == (shop.OrderID{}) {
		return nil
	}
	return &id.UUID
}

// PayOrder stores that the order is paid, or returns ErrOrderPaid if it was.
func (w *work) PayOrder(ctx context.Context, o shop.Order) error {
	tag, err := w.Exec(ctx, `
		UPDATE orders SET status = $2, paid_at = $3 WHERE id = $1 AND status <> 'paid'`, o.ID.UUID, o.Status, o.PaidAt)
	if err == nil && tag.RowsAffected() != 1 {
		return shop.ErrOrderPaid
	}
	return err
}

// Post writes a posting, unless there is one of the same kind and reference: money that
// fits no order comes once, for however many reasons it is flagged.
func (w *work) Post(ctx context.Context, p shop.Posting) error {
	var reference *string
	if p.Reference != "" {
		reference = &p.Reference
	}
	var id int64
	err := w.QueryRow(ctx, `
		INSERT INTO ledger_postings (kind, order_id, reference) VALUES ($1, $2, $3)
		ON CONFLICT (kind, reference) WHERE reference IS NOT NULL DO NOTHING
		RETURNING id`, p.Kind, orNull(p.OrderID), reference).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	w.count = append(w.count, func(b books) { b.posted(p) })
	accounts, minors, currencies := make([]string, len(p.Entries)), make([]int64, len(p.Entries)), make([]string, len(p.Entries))
	for i, entry := range p.Entries {
		accounts[i], minors[i], currencies[i] = string(entry.Account), entry.Amount.Minor, entry.Amount.Currency
	}
	_, err = w.Exec(ctx, `
		INSERT INTO ledger_entries (posting_id, account, minor, currency)
		SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[])`, id, accounts, minors, currencies)
	return err
}

// Release books the other way round what was booked of the payment while it fitted no order.
func (w *work) Release(ctx context.Context, e shop.PaymentEvent) error {
	_, err := w.Exec(ctx, `
		WITH suspended AS (
			SELECT id, reference FROM ledger_postings WHERE kind = $1 AND reference = $2
		), released AS (
			INSERT INTO ledger_postings (kind, reference) SELECT 'release', reference FROM suspended RETURNING id
		)
		INSERT INTO ledger_entries (posting_id, account, minor, currency)
		SELECT released.id, account, -minor, currency
		FROM released, suspended JOIN ledger_entries ON posting_id = suspended.id`, shop.SuspenseKind, e.Reference())
	return err
}

// Unsettled returns those of the external ids that no settled event bears.
func (s *Store) Unsettled(ctx context.Context, provider shop.Provider, externalIDs []string) (ids []string, err error) {
	err = s.use(ctx, "unsettled payments", func(ctx context.Context, conn *pgxpool.Conn) error {
		ids, err = column[string](ctx, conn, `
			SELECT asked FROM unnest($2::text[]) AS asked
			WHERE NOT EXISTS (SELECT FROM payment_events WHERE provider = $1 AND external_id = asked AND outcome = 'settled')`, provider, externalIDs)
		return err
	})
	return ids, err
}

// Unflagged returns those of the external ids that no event bears which is flagged for
// the reason.
func (s *Store) Unflagged(ctx context.Context, provider shop.Provider, externalIDs []string, reason error) (ids []string, err error) {
	err = s.use(ctx, "unflagged payments", func(ctx context.Context, conn *pgxpool.Conn) error {
		ids, err = column[string](ctx, conn, `
			SELECT asked FROM unnest($2::text[]) AS asked
			WHERE NOT EXISTS (SELECT FROM payment_events WHERE provider = $1 AND external_id = asked AND outcome = 'flagged' AND reason = $3)`,
			provider, externalIDs, reasonOf(reason))
		return err
	})
	return ids, err
}
