package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

type subscriptionRow struct {
	UserID       shop.UserID
	AccessID     shop.AccessID
	UUID         uuid.UUID `db:"uuid"`
	Plan         shop.PlanID
	Status       shop.SubscriptionStatus
	ExpiresAt    *time.Time
	WaitingSince *time.Time
	DelayTold    bool
	Renewal      bool
}

func (r subscriptionRow) subscription() shop.Subscription {
	return shop.Subscription{
		UserID: r.UserID, Plan: r.Plan, Access: shop.Access{ID: r.AccessID, UUID: r.UUID}, Status: r.Status,
		ExpiresAt: orZero(r.ExpiresAt), WaitingSince: orZero(r.WaitingSince), DelayTold: r.DelayTold, Renewal: r.Renewal,
	}
}

// Subscription returns the user's subscription; a new one if they have bought
// nothing yet.
func (s *Store) Subscription(ctx context.Context, id shop.UserID) (sub shop.Subscription, err error) {
	err = s.use(ctx, "read subscription", func(ctx context.Context, conn *pgxpool.Conn) error {
		row, err := one[subscriptionRow](ctx, conn, shop.ErrNotFound, `
			SELECT user_id, access_id, uuid, plan, status, expires_at, waiting_since, delay_told, renewal
			FROM subscriptions WHERE user_id = $1`, id)
		if shop.KindOf(err) == shop.KindNotFound {
			sub = shop.Subscription{UserID: id, Status: shop.SubscriptionNew}
			return nil
		}
		sub = row.subscription()
		return err
	})
	return sub, err
}

// Subscriptions returns those that these users have.
func (s *Store) Subscriptions(ctx context.Context, ids []shop.UserID) (subs []shop.Subscription, err error) {
	err = s.use(ctx, "read subscriptions", func(ctx context.Context, conn *pgxpool.Conn) error {
		subs, err = subscriptions(ctx, conn, `
			SELECT user_id, access_id, uuid, plan, status, expires_at, waiting_since, delay_told, renewal
			FROM subscriptions WHERE user_id = ANY ($1)`, ids)
		return err
	})
	return subs, err
}

func subscriptions(ctx context.Context, q querier, sql string, args ...any) ([]shop.Subscription, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (shop.Subscription, error) {
		found, err := pgx.RowToStructByName[subscriptionRow](row)
		return found.subscription(), err
	})
}

// LockSubscription returns the user's subscription, locked; one that is stored as new if
// they have bought nothing yet.
func (w *work) LockSubscription(ctx context.Context, id shop.UserID) (shop.Subscription, error) {
	_, err := w.Exec(ctx, `INSERT INTO subscriptions (user_id) SELECT $1
		WHERE NOT EXISTS (SELECT FROM subscriptions WHERE user_id = $1) ON CONFLICT (user_id) DO NOTHING`, id)
	if err != nil {
		return shop.Subscription{}, err
	}
	row, err := one[subscriptionRow](ctx, w, shop.ErrNotFound, `
		SELECT user_id, access_id, uuid, plan, status, expires_at, waiting_since, delay_told, renewal
		FROM subscriptions WHERE user_id = $1
		FOR UPDATE`, id)
	return row.subscription(), err
}

// SaveSubscriptions stores what was made of subscriptions that are locked.
func (w *work) SaveSubscriptions(ctx context.Context, subs ...shop.Subscription) error {
	users, plans, states := make([]shop.UserID, len(subs)), make([]shop.PlanID, len(subs)), make([]shop.SubscriptionStatus, len(subs))
	expiring, waiting := make([]*time.Time, len(subs)), make([]*time.Time, len(subs))
	told, renewals := make([]bool, len(subs)), make([]bool, len(subs))
	for i, sub := range subs {
		users[i], plans[i], states[i] = sub.UserID, sub.Plan, sub.Status
		expiring[i], waiting[i], told[i], renewals[i] = nullable(sub.ExpiresAt), nullable(sub.WaitingSince), sub.DelayTold, sub.Renewal
	}
	_, err := w.Exec(ctx, `
		UPDATE subscriptions
		SET plan = saved.plan, status = saved.status, expires_at = saved.expires_at,
			waiting_since = saved.waiting_since, delay_told = saved.delay_told, renewal = saved.renewal, updated_at = now()
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::boolean[], $7::boolean[])
			AS saved (user_id, plan, status, expires_at, waiting_since, delay_told, renewal)
		WHERE subscriptions.user_id = saved.user_id`, users, plans, states, expiring, waiting, told, renewals)
	return err
}

// LockSubscriptions returns those that these users have, locked.
func (w *work) LockSubscriptions(ctx context.Context, ids []shop.UserID) ([]shop.Subscription, error) {
	return subscriptions(ctx, w, `
		SELECT user_id, access_id, uuid, plan, status, expires_at, waiting_since, delay_told, renewal
		FROM subscriptions WHERE user_id = ANY ($1)
		ORDER BY user_id FOR UPDATE`, ids)
}

// WaitingUsers returns at most limit users who paid and still wait.
func (s *Store) WaitingUsers(ctx context.Context, limit int) ([]shop.UserID, error) {
	return s.userIDs(ctx, "waiting users", `
		SELECT user_id FROM subscriptions WHERE status = 'waiting' ORDER BY waiting_since LIMIT $1`, limit)
}

func (s *Store) userIDs(ctx context.Context, op, sql string, args ...any) (ids []shop.UserID, err error) {
	err = s.use(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		ids, err = column[shop.UserID](ctx, conn, sql, args...)
		return err
	})
	return ids, err
}
