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

// Settle stores the event and, if check returns nil for the locked order,
// everything that decide returns, in one transaction.
func (s *Store) Settle(ctx context.Context, e shop.PaymentEvent, check func(shop.Order) error,
	decide func(shop.Order, shop.Subscription) shop.Settlement,
) (outcome shop.Outcome, err error) {
	var posted shop.Posting
	err = s.tx(ctx, "settle", func(ctx context.Context, tx pgx.Tx) error {
		order, err := lockOrderOf(ctx, tx, e)
		if err == nil {
			err = checkUnsettled(ctx, tx, e, order, check)
		}
		switch {
		case errors.Is(err, errSettled):
			outcome = shop.Duplicate
			return nil
		case isRule(err):
			outcome, posted, err = flag(ctx, tx, e, order, err)
			return err
		case err != nil:
			return err
		}
		outcome = shop.Settled
		settlement, err := s.settle(ctx, tx, e, order, decide)
		posted = settlement.Posting
		return err
	})
	if err != nil {
		return outcome, err
	}
	s.books.posted(posted)
	if outcome == shop.Settled {
		s.books.reached(orderPaid, 1)
	}
	return outcome, nil
}

var errSettled = errors.New("settled before")

// isRule says whether err is a rule that the payment breaks, not a fault.
func isRule(err error) bool {
	switch shop.KindOf(err) {
	case shop.KindInvalid, shop.KindNotFound, shop.KindConflict, shop.KindForbidden:
		return true
	default:
		return false
	}
}

// lockOrderOf returns the order that the event pays, locked: the one that we gave
// the provider to know it by, or the one that its invoice was made for.
func lockOrderOf(ctx context.Context, tx pgx.Tx, e shop.PaymentEvent) (shop.Order, error) {
	id, err := shop.ParseOrderID(e.OrderRef)
	if err != nil {
		id = shop.OrderID{}
	}
	row, err := one[orderRow](ctx, tx, shop.ErrUnknownOrder, `
		SELECT id, user_id, plan, period_id, period_seconds, provider, price_minor, currency, assets, status, created_at, expires_at, paid_at, checkout_agreed
		FROM orders
		WHERE id = coalesce((SELECT id FROM orders WHERE id = $1), (SELECT order_id FROM invoices WHERE provider = $2 AND external_id = $3))
		FOR UPDATE`, id.UUID, e.Provider, e.ExternalID)
	return row.order(), err
}

func checkUnsettled(ctx context.Context, tx pgx.Tx, e shop.PaymentEvent, o shop.Order, check func(shop.Order) error) error {
	var settled bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM payment_events WHERE provider = $1 AND external_id = $2 AND outcome = 'settled')`,
		e.Provider, e.ExternalID).Scan(&settled)
	switch {
	case err != nil:
		return err
	case settled:
		return errSettled
	}
	return check(o)
}

// Flag keeps the event for an operator and gives nothing; the same event for the
// same reason again is a duplicate.
func (s *Store) Flag(ctx context.Context, e shop.PaymentEvent, reason error) (outcome shop.Outcome, err error) {
	var posted shop.Posting
	err = s.tx(ctx, "flag", func(ctx context.Context, tx pgx.Tx) error {
		order, err := lockOrderOf(ctx, tx, e)
		if err != nil && !isRule(err) {
			return err
		}
		outcome, posted, err = flag(ctx, tx, e, order, reason)
		return err
	})
	if err == nil {
		s.books.posted(posted)
	}
	return outcome, err
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

// flag keeps an event that breaks a rule, and books the money; the same one again is a
// duplicate.
func flag(ctx context.Context, tx pgx.Tx, e shop.PaymentEvent, o shop.Order, rule error) (shop.Outcome, shop.Posting, error) {
	var order *uuid.UUID
	if o.ID != (shop.OrderID{}) {
		order = &o.ID.UUID
	}
	fresh, err := insertEvent(ctx, tx, e, order, shop.Flagged, reasonOf(rule))
	if err != nil {
		return shop.Flagged, shop.Posting{}, err
	}
	if !fresh {
		return shop.Duplicate, shop.Posting{}, nil
	}
	posting, moves := e.Suspend(rule)
	if !moves {
		return shop.Flagged, shop.Posting{}, nil
	}
	return shop.Flagged, posting, post(ctx, tx, posting)
}

func insertEvent(ctx context.Context, tx pgx.Tx, e shop.PaymentEvent, order *uuid.UUID, outcome shop.Outcome, reason string) (fresh bool, err error) {
	onConflict := ``
	if outcome == shop.Flagged {
		onConflict = ` ON CONFLICT (provider, external_id, reason) WHERE outcome = 'flagged' DO NOTHING`
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO payment_events (provider, external_id, order_id, outcome, reason, invoiced_minor, currency,
			paid_asset, paid_amount, fee_asset, fee_amount, paid_at, raw)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`+onConflict,
		e.Provider, e.ExternalID, order, outcome, reason, e.Invoiced.Minor, e.Invoiced.Currency,
		e.PaidAsset, e.PaidAmount, e.FeeAsset, e.FeeAmount, nullable(e.PaidAt), e.Raw)
	return tag.RowsAffected() == 1, err
}

// settle stores the settled event and all that follows from it.
func (s *Store) settle(ctx context.Context, tx pgx.Tx, e shop.PaymentEvent, o shop.Order, decide func(shop.Order, shop.Subscription) shop.Settlement) (shop.Settlement, error) {
	if _, err := insertEvent(ctx, tx, e, &o.ID.UUID, shop.Settled, ""); err != nil {
		return shop.Settlement{}, err
	}
	if _, err := tx.Exec(ctx, `
		UPDATE payment_events SET reviewed_at = now()
		WHERE provider = $1 AND external_id = $2 AND outcome = 'flagged' AND reason = 'unsettled' AND reviewed_at IS NULL`,
		e.Provider, e.ExternalID); err != nil {
		return shop.Settlement{}, err
	}
	sub, err := lockSubscription(ctx, tx, o.UserID)
	if err != nil {
		return shop.Settlement{}, err
	}
	settlement := decide(o, sub)
	tag, err := tx.Exec(ctx, `
		UPDATE orders SET status = $2, paid_at = $3 WHERE id = $1 AND status <> 'paid'`,
		o.ID.UUID, settlement.Order.Status, settlement.Order.PaidAt)
	if err != nil {
		return settlement, err
	}
	if tag.RowsAffected() != 1 {
		return settlement, shop.ErrOrderPaid
	}
	if err := saveSubscriptions(ctx, tx, settlement.Subscription); err != nil {
		return settlement, err
	}
	if err := unsuspend(ctx, tx, e); err != nil {
		return settlement, err
	}
	if err := post(ctx, tx, settlement.Posting); err != nil {
		return settlement, err
	}
	return settlement, s.enqueue(ctx, tx, settlement.Jobs)
}

// post writes one transaction of the ledger. Money that fits no order comes once, for
// however many reasons it is flagged.
func post(ctx context.Context, tx pgx.Tx, p shop.Posting) error {
	var order *uuid.UUID
	if p.OrderID != (shop.OrderID{}) {
		order = &p.OrderID.UUID
	}
	var reference *string
	if p.Reference != "" {
		reference = &p.Reference
	}
	var id int64
	err := tx.QueryRow(ctx, `
		INSERT INTO ledger_postings (kind, order_id, reference) VALUES ($1, $2, $3)
		ON CONFLICT (kind, reference) WHERE reference IS NOT NULL DO NOTHING
		RETURNING id`, p.Kind, order, reference).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range p.Entries {
		_, err := tx.Exec(ctx, `
			INSERT INTO ledger_entries (posting_id, account, minor, currency) VALUES ($1, $2, $3, $4)`,
			id, entry.Account, entry.Amount.Minor, entry.Amount.Currency)
		if err != nil {
			return err
		}
	}
	return nil
}

// unsuspend books the other way round what was booked of the payment before it was known to
// fit its order.
func unsuspend(ctx context.Context, tx pgx.Tx, e shop.PaymentEvent) error {
	_, err := tx.Exec(ctx, `
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
