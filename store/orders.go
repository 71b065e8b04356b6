package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

type orderRow struct {
	ID            uuid.UUID
	UserID        shop.UserID
	Purpose       string
	Plan          *shop.PlanID // and the period of BuyAccess alone
	PeriodID      *shop.PeriodID
	PeriodSeconds *int64
	Provider      shop.Provider
	BaseMinor     int64
	PriceRule     string
	PriceMinor    int64
	Currency      string
	Assets        []string
	Status        shop.OrderStatus
	CreatedAt     time.Time
	ExpiresAt     time.Time
	PaidAt        *time.Time
	Agreed        bool `db:"checkout_agreed"`
}

func (r orderRow) order() shop.Order {
	return shop.Order{
		ID: shop.OrderID{UUID: r.ID}, UserID: r.UserID, Purpose: r.purpose(),
		Provider: r.Provider, Quote: r.quote(), Assets: r.Assets,
		Status: r.Status, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(), PaidAt: orZero(r.PaidAt), Agreed: r.Agreed,
	}
}

// orderColumns are those of an orderRow.
const orderColumns = `id, user_id, purpose, plan, period_id, period_seconds, provider,
	coalesce(base_minor, price_minor) AS base_minor, price_rule, price_minor, currency, assets, status, created_at, expires_at, paid_at, checkout_agreed`

// accessPurpose is how orders of access are stored.
const accessPurpose = "access"

// purpose returns what the order buys. An order of another program may be of a purpose
// that is unknown here.
func (r orderRow) purpose() shop.Purpose {
	if r.Purpose != accessPurpose || r.Plan == nil || r.PeriodID == nil || r.PeriodSeconds == nil {
		return shop.UnknownPurpose{Kind: r.Purpose}
	}
	return shop.BuyAccess{Plan: *r.Plan, PeriodID: *r.PeriodID, Period: time.Duration(*r.PeriodSeconds) * time.Second}
}

// quote returns what the order costs. One of the program before knows its total alone.
func (r orderRow) quote() shop.Quote {
	return shop.Quote{
		Base: shop.Money{Minor: r.BaseMinor, Currency: r.Currency}, Rule: r.PriceRule,
		Total: shop.Money{Minor: r.PriceMinor, Currency: r.Currency},
	}
}

// LockOpenOrder returns the user's open order, locked, or ErrNotFound.
func (w *work) LockOpenOrder(ctx context.Context, user shop.UserID) (shop.Order, error) {
	row, err := one[orderRow](ctx, w, shop.ErrNotFound, `
		SELECT `+orderColumns+`
		FROM orders WHERE user_id = $1 AND status = 'open'
		FOR UPDATE`, user)
	return row.order(), err
}

// AddOrder stores an order that is open.
func (w *work) AddOrder(ctx context.Context, o shop.Order) error {
	access, known := o.Purpose.(shop.BuyAccess)
	if !known {
		return fmt.Errorf("add order: %w", shop.ErrUnknownPurpose)
	}
	w.reached(orderPlaced, 1)
	_, err := w.Exec(ctx, `
		INSERT INTO orders (id, user_id, purpose, plan, period_id, period_seconds, provider,
			base_minor, price_rule, price_minor, currency, assets, status, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		o.ID.UUID, o.UserID, accessPurpose, access.Plan, access.PeriodID, int64(access.Period/time.Second), o.Provider,
		o.Quote.Base.Minor, o.Quote.Rule, o.Quote.Total.Minor, o.Quote.Total.Currency, o.Assets, o.Status, o.CreatedAt, o.ExpiresAt)
	return err
}

// CancelOrder closes an order that is open and locked.
func (w *work) CancelOrder(ctx context.Context, id shop.OrderID) error {
	w.reached(orderCancelled, 1)
	_, err := w.Exec(ctx, `UPDATE orders SET status = 'cancelled' WHERE id = $1`, id.UUID)
	return err
}

// OrdersSince returns how many orders the user has placed since then.
func (s *Store) OrdersSince(ctx context.Context, id shop.UserID, since time.Time) (n int, err error) {
	err = s.use(ctx, "count orders", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FROM orders WHERE user_id = $1 AND created_at >= $2`, id, since).Scan(&n)
	})
	return n, err
}

// Order returns the order, or ErrUnknownOrder.
func (s *Store) Order(ctx context.Context, id shop.OrderID) (o shop.Order, err error) {
	err = s.use(ctx, "read order", func(ctx context.Context, conn *pgxpool.Conn) error {
		row, err := one[orderRow](ctx, conn, shop.ErrUnknownOrder, `
			SELECT `+orderColumns+`
			FROM orders WHERE id = $1`, id.UUID)
		o = row.order()
		return err
	})
	return o, err
}

// CloseOrder moves an open order to status; it reports whether it was open.
func (s *Store) CloseOrder(ctx context.Context, id shop.OrderID, status shop.OrderStatus) (bool, error) {
	n, err := s.exec(ctx, "close order", `
		UPDATE orders SET status = $2 WHERE id = $1 AND status = 'open'`, id.UUID, status)
	s.books.reached(string(status), int(n))
	return n == 1, err
}

// ExpireOrders closes at most limit open orders that were not paid in time, and returns
// them.
func (w *work) ExpireOrders(ctx context.Context, now time.Time, limit int) ([]shop.Order, error) {
	rows, err := w.Query(ctx, `
		UPDATE orders SET status = 'expired'
		WHERE id IN (SELECT id FROM orders WHERE status = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT $2) AND status = 'open'
		RETURNING `+orderColumns,
		now, limit)
	if err != nil {
		return nil, err
	}
	orders, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (shop.Order, error) {
		found, err := pgx.RowToStructByName[orderRow](row)
		return found.order(), err
	})
	w.reached(orderExpired, len(orders))
	return orders, err
}

// LockUndelivered returns the user's paid orders whose access no node has confirmed,
// locked.
func (w *work) LockUndelivered(ctx context.Context, user shop.UserID) ([]shop.OrderID, error) {
	found, err := column[uuid.UUID](ctx, w, `
		SELECT id FROM orders WHERE user_id = $1 AND status = 'paid' AND delivered_at IS NULL
		ORDER BY id FOR UPDATE`, user)
	ids := make([]shop.OrderID, len(found))
	for i, id := range found {
		ids[i] = shop.OrderID{UUID: id}
	}
	return ids, err
}

// DeliverOrders notes that a node has confirmed their access.
func (w *work) DeliverOrders(ctx context.Context, ids []shop.OrderID) error {
	w.reached(orderDelivered, len(ids))
	delivered := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		delivered[i] = id.UUID
	}
	_, err := w.Exec(ctx, `UPDATE orders SET delivered_at = now() WHERE id = ANY ($1)`, delivered)
	return err
}

// BeginCheckout notes on an open order that this checkout is about to be agreed to; again
// says that this was noted before. It reports false, and changes nothing, if another was
// begun that may still be paid: for so long, and then until a sweep that began later has
// not found its payment; or if this one has been agreed to before.
func (s *Store) BeginCheckout(ctx context.Context, id shop.OrderID, checkout string, now time.Time, lasts time.Duration) (begun, again bool, err error) {
	err = s.use(ctx, "begin checkout", func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, `
			WITH before AS (
				SELECT id, provider, checkout_id, checkout_at, checkout_agreed FROM orders
				WHERE id = $1 AND status = 'open' FOR UPDATE
			)
			UPDATE orders SET checkout_id = $2, checkout_at = $3, checkout_agreed = false
			FROM before WHERE orders.id = before.id
				AND (before.checkout_at IS NULL OR (before.checkout_id = $2 AND NOT before.checkout_agreed)
					OR before.checkout_at + $4::interval <= (SELECT began_at FROM sweeps WHERE sweeps.provider = before.provider))
			RETURNING before.checkout_at IS NOT NULL AND before.checkout_id = $2`, id.UUID, checkout, now, lasts).Scan(&again)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		begun = err == nil
		return err
	})
	return begun, again, err
}

// EndCheckout notes that the provider took our consent to this checkout, or removes
// the note of it.
func (s *Store) EndCheckout(ctx context.Context, id shop.OrderID, checkout string, taken bool) error {
	_, err := s.exec(ctx, "end checkout", `
		UPDATE orders SET checkout_agreed = $3, checkout_at = CASE WHEN $3 THEN checkout_at END
		WHERE id = $1 AND checkout_id = $2`, id.UUID, checkout, taken)
	return err
}

// RequestInvoice records that an invoice is about to be asked for, by nobody else for as
// long as the lease, and reports whether it was asked for before. It returns KindLimited
// while another has the lease.
func (s *Store) RequestInvoice(ctx context.Context, id shop.OrderID, provider shop.Provider, lease time.Duration) (again bool, err error) {
	err = s.tx(ctx, "request invoice", func(ctx context.Context, tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO invoices (order_id, provider, leased_until) VALUES ($1, $2, now() + $3::interval)
			ON CONFLICT (order_id, provider) DO UPDATE SET leased_until = excluded.leased_until
			WHERE invoices.leased_until IS NULL OR invoices.leased_until NOT BETWEEN now() AND now() + $4::interval
			RETURNING requested_at <> now()`, id.UUID, provider, lease, farthest).Scan(&again)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var left time.Duration
		if err := tx.QueryRow(ctx, `
			SELECT leased_until - now() FROM invoices WHERE order_id = $1 AND provider = $2`, id.UUID, provider).Scan(&left); err != nil {
			return err
		}
		return shop.Limited(left, errors.New("the invoice is being asked for"))
	})
	return again, err
}

// ReleaseInvoice ends the lease: the provider has said that it made none.
func (s *Store) ReleaseInvoice(ctx context.Context, id shop.OrderID, provider shop.Provider) error {
	_, err := s.exec(ctx, "release invoice", `
		UPDATE invoices SET leased_until = NULL WHERE order_id = $1 AND provider = $2`, id.UUID, provider)
	return err
}

// SaveInvoice stores the invoice of an order with the jobs that follow.
func (s *Store) SaveInvoice(ctx context.Context, i shop.Invoice, jobs []shop.Job) error {
	return s.tx(ctx, "save invoice", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE invoices SET external_id = $3, url = $4, expires_at = $5
			WHERE order_id = $1 AND provider = $2`,
			i.OrderID.UUID, i.Provider, i.ExternalID, i.URL, nullable(i.ExpiresAt))
		if err != nil {
			return err
		}
		return s.enqueue(ctx, tx, jobs)
	})
}

// RefuseInvoice ends the lease, and notes that the provider has refused to make the
// order's invoice; with the second refusal it stores the jobs.
func (s *Store) RefuseInvoice(ctx context.Context, id shop.OrderID, provider shop.Provider, jobs []shop.Job) error {
	return s.tx(ctx, "refuse invoice", func(ctx context.Context, tx pgx.Tx) error {
		var refusals int
		err := tx.QueryRow(ctx, `
			INSERT INTO invoices AS i (order_id, provider, refusals) VALUES ($1, $2, 1)
			ON CONFLICT (order_id, provider) DO UPDATE SET refusals = i.refusals + 1, leased_until = NULL
			RETURNING refusals`, id.UUID, provider).Scan(&refusals)
		if err != nil || refusals != 2 {
			return err
		}
		return s.enqueue(ctx, tx, jobs)
	})
}

// Trouble returns what is wrong with the payment of an order.
func (s *Store) Trouble(ctx context.Context, id shop.OrderID) (trouble shop.Trouble, err error) {
	err = s.use(ctx, "read trouble", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT
				EXISTS (SELECT FROM invoices WHERE order_id = $1 AND refusals > 1 AND external_id IS NULL),
				EXISTS (SELECT FROM payment_events WHERE order_id = $1 AND outcome = 'flagged' AND reviewed_at IS NULL AND reason <> $2)`,
			id.UUID, reasonOf(shop.ErrRefunded)).Scan(&trouble.Refused, &trouble.Doubtful)
	})
	return trouble, err
}

// Invoice returns the invoice of an order, or ErrNotFound.
func (s *Store) Invoice(ctx context.Context, id shop.OrderID) (i shop.Invoice, err error) {
	err = s.use(ctx, "read invoice", func(ctx context.Context, conn *pgxpool.Conn) error {
		var order uuid.UUID
		var expires *time.Time
		err := conn.QueryRow(ctx, `
			SELECT order_id, provider, external_id, url, expires_at FROM invoices
			WHERE order_id = $1 AND external_id IS NOT NULL`, id.UUID).
			Scan(&order, &i.Provider, &i.ExternalID, &i.URL, &expires)
		if errors.Is(err, pgx.ErrNoRows) {
			return shop.ErrNotFound
		}
		i.OrderID, i.ExpiresAt = shop.OrderID{UUID: order}, orZero(expires)
		return err
	})
	return i, err
}

// UnpaidInvoices returns the external ids of at most limit invoices made since then
// whose order is not paid, newest first.
func (s *Store) UnpaidInvoices(ctx context.Context, provider shop.Provider, since time.Time, limit int) (ids []string, err error) {
	err = s.use(ctx, "unpaid invoices", func(ctx context.Context, conn *pgxpool.Conn) error {
		ids, err = column[string](ctx, conn, `
			SELECT i.external_id FROM invoices i JOIN orders o ON o.id = i.order_id
			WHERE i.provider = $1 AND i.external_id IS NOT NULL AND i.requested_at >= $2 AND o.status <> 'paid'
			ORDER BY i.requested_at DESC LIMIT $3`, provider, since, limit)
		return err
	})
	return ids, err
}
