package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/xray"
)

// worker is one that wakes at a period, and never before it has finished.
type worker struct {
	period time.Duration
	run    func(*model, context.Context) error
}

// workers are the audited ones, with the audited periods; all start together, so the
// three of 600 s always wake together (freeze audit, section 2.4).
func workers() []worker {
	return []worker{
		{600 * time.Second, (*model).renew},
		{600 * time.Second, (*model).reconcile},
		{600 * time.Second, (*model).checkHealth},
		{300 * time.Second, (*model).activate},
		{300 * time.Second, (*model).remindTrials},
		{60 * time.Second, (*model).expire},
		{30 * time.Second, (*model).watchPayments},
	}
}

// iterationLimit is what one run of the bounded workers may take.
const iterationLimit = 15 * time.Second

// renew is auto_renewal: one transaction for the batch (freeze audit, section 2.4), in
// which access is granted, and with it the VPN server called.
func (m *model) renew(ctx context.Context) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err //nolint:wrapcheck // of our own statement
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		due, err := rows(ctx, conn, `SELECT telegram_id FROM subscriptions WHERE renew_at < now() LIMIT 100 FOR UPDATE SKIP LOCKED`)
		if err != nil {
			return err
		}
		for _, user := range within(due) {
			if _, err := tx.Exec(ctx, `UPDATE subscriptions SET renew_at = NULL, expires_at = expires_at + interval '30 days' WHERE telegram_id = $1`, user); err != nil {
				return err //nolint:wrapcheck // of our own statement
			}
			_ = m.updateUser(ctx, user, uuid.New()) // a failure was logged only
		}
		return tx.Commit(ctx)
	})
}

// within yields items until the time of an iteration is over.
func within(items []int64) func(func(int, int64) bool) {
	began := time.Now()
	return func(yield func(int, int64) bool) {
		for i, item := range items {
			if time.Since(began) > iterationLimit || !yield(i, item) {
				return
			}
		}
	}
}

// reconcile compares the users; it takes connections for moments only.
func (m *model) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for page := range 3 {
		if err := m.exec(ctx, `SELECT uuid FROM subscriptions ORDER BY telegram_id LIMIT 100 OFFSET $1`, page*100); err != nil {
			return err
		}
	}
	return m.vpn(ctx, 0, func(ctx context.Context, node *xray.Node) error {
		_, err := node.List(ctx, 1_000_000)
		return err
	})
}

// checkHealth is perform_health_check: a connection in hand, the VPN server is asked
// (freeze audit, sections 2.4 and 7).
func (m *model) checkHealth(ctx context.Context) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT 1`); err != nil {
			return err //nolint:wrapcheck // of our own statement
		}
		return m.vpn(ctx, 0, func(ctx context.Context, node *xray.Node) error {
			_, err := node.Uptime(ctx)
			return err
		})
	})
}

// activate is activation_worker: a lock of the session, and so its connection, is held
// while the user is added (freeze audit, section 2.3). The load leaves it nothing to do
// but to look.
func (m *model) activate(ctx context.Context) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		pending, err := rows(ctx, conn, `SELECT telegram_id FROM subscriptions WHERE activation_status = 'pending' LIMIT 50`)
		for _, user := range within(pending) {
			if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, user); err != nil {
				return err //nolint:wrapcheck // of our own statement
			}
			done := m.addUser(ctx, user, uuid.New())
			_, unlocked := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, user)
			if err := errors.Join(done, unlocked); err != nil {
				return err
			}
		}
		return err
	})
}

// remindTrials is trial_notifications: a connection is held while messages are sent
// (architecture audit, section 3).
func (m *model) remindTrials(ctx context.Context) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		due, err := rows(ctx, conn, `SELECT telegram_id FROM subscriptions WHERE trial_message_at < now() ORDER BY trial_message_at LIMIT 100`)
		for _, user := range due {
			_ = m.call(ctx, "sendMessage", show(bystander, 0, "Your trial is ending", nil, "")) // a failure counted as sent
			if _, err := conn.Exec(ctx, `UPDATE subscriptions SET trial_message_at = NULL WHERE telegram_id = $1`, user); err != nil {
				return err //nolint:wrapcheck // of our own statement
			}
		}
		return err
	})
}

// expire is fast_expiry_cleanup: one connection for the whole batch, held while the VPN
// server is asked to remove each (freeze audit, section 2.1).
func (m *model) expire(ctx context.Context) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		due, err := rows(ctx, conn, `SELECT telegram_id FROM subscriptions WHERE status = 'active' AND expires_at < now() LIMIT 100`)
		for _, user := range within(due) {
			if m.removeUser(ctx, user) != nil {
				continue // the next run tries again
			}
			if err := m.exec(ctx, `INSERT INTO audit_log (action, telegram_id) VALUES ('vpn_expire', $1)`, user); err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, `UPDATE subscriptions SET status = 'expired', uuid = NULL WHERE telegram_id = $1`, user); err != nil {
				return err //nolint:wrapcheck // of our own statement
			}
		}
		return err
	})
}

// watchPayments is crypto_payment_watcher: a connection for the whole loop, held while
// Crypto Pay is asked, and while finalize takes a second one (architecture audit,
// sections 3 and 4).
func (m *model) watchPayments(ctx context.Context) error {
	return m.with(ctx, func(conn *pgxpool.Conn) error {
		open, err := rows(ctx, conn, `SELECT provider_invoice_id FROM pending_purchases
			WHERE status = 'pending' AND provider_invoice_id IS NOT NULL ORDER BY id DESC LIMIT 100`)
		for _, invoice := range within(open) {
			var found struct {
				Items []struct{ Status string }
			}
			if err := m.pay(ctx, lookupTimeout, "getInvoices", map[string]any{"invoice_ids": fmt.Sprint(invoice)}, &found); err != nil {
				continue
			}
			if len(found.Items) == 1 && found.Items[0].Status == "paid" {
				_ = m.finalize(ctx, invoice) // the next run tries again
			}
		}
		return err
	})
}
