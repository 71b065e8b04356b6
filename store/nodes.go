package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

type nodeRow struct {
	Name         string
	BootAt       time.Time
	Drifted      bool
	Owed         bool
	CheckedAt    time.Time
	SyncedAt     time.Time
	FailingSince *time.Time
	SyncAfter    *time.Time
}

// NodeState returns what is remembered of the node; the zero state if nothing is.
func (s *Store) NodeState(ctx context.Context, name string) (n shop.NodeState, err error) {
	err = s.use(ctx, "read node", func(ctx context.Context, conn *pgxpool.Conn) error {
		row, err := one[nodeRow](ctx, conn, shop.ErrNotFound, `
			SELECT name, boot_at, drifted, owed, checked_at, synced_at, failing_since, sync_after FROM nodes WHERE name = $1`, name)
		if shop.KindOf(err) == shop.KindNotFound {
			return nil
		}
		n = shop.NodeState{
			Name: row.Name, BootAt: row.BootAt, Drifted: row.Drifted, Owed: row.Owed, CheckedAt: row.CheckedAt, SyncedAt: row.SyncedAt,
			FailingSince: orZero(row.FailingSince), SyncAfter: orZero(row.SyncAfter),
		}
		return err
	})
	return n, err
}

// SaveNodeState remembers a node's state, but for what is owed.
func (s *Store) SaveNodeState(ctx context.Context, n shop.NodeState) error {
	return s.saveNode(ctx, n, false)
}

// BeginSync remembers a node's state, and that nothing is owed that was before.
func (s *Store) BeginSync(ctx context.Context, n shop.NodeState) error {
	return s.saveNode(ctx, n, true)
}

func (s *Store) saveNode(ctx context.Context, n shop.NodeState, begins bool) error {
	_, err := s.exec(ctx, "save node", `
		INSERT INTO nodes (name, boot_at, drifted, checked_at, synced_at, failing_since, sync_after)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (name) DO UPDATE SET boot_at = excluded.boot_at,
			drifted = excluded.drifted, checked_at = excluded.checked_at, synced_at = excluded.synced_at,
			failing_since = excluded.failing_since, sync_after = excluded.sync_after, owed = nodes.owed AND NOT $8`,
		n.Name, n.BootAt, n.Drifted, n.CheckedAt, n.SyncedAt, nullable(n.FailingSince), nullable(n.SyncAfter), begins)
	return err
}

// OweSync notes that full comparisons of these nodes are owed. One that was never
// checked owes one anyway.
func (s *Store) OweSync(ctx context.Context, nodes []string) error {
	_, err := s.exec(ctx, "owe comparison", `UPDATE nodes SET owed = true WHERE name = ANY ($1) AND NOT owed`, nodes)
	return err
}

// GrantedCount returns how many users belong on every node, and how many do not any more
// and are about to be taken off.
func (s *Store) GrantedCount(ctx context.Context) (granted, leaving int, err error) {
	err = s.use(ctx, "count granted", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM subscriptions WHERE status IN ('waiting', 'active')),
				(SELECT coalesce(sum(jsonb_array_length(args->'user_ids')), 0) FROM river_job
				WHERE kind = $1 AND finalized_at IS NULL)`, shop.ConvergeUsers{}.Kind()).Scan(&granted, &leaving)
	})
	return granted, leaving, err
}

// GrantedAfter returns at most limit of the users who belong on every node, with an
// id above after, by id.
func (s *Store) GrantedAfter(ctx context.Context, after shop.AccessID, limit int) ([]shop.Access, error) {
	return s.granted(ctx, `
		SELECT access_id, uuid FROM subscriptions
		WHERE status IN ('waiting', 'active') AND access_id > $1
		ORDER BY access_id LIMIT $2`, after, limit)
}

// GrantedAmong returns those of the ids that belong on every node.
func (s *Store) GrantedAmong(ctx context.Context, ids []shop.AccessID) ([]shop.Access, error) {
	return s.granted(ctx, `
		SELECT access_id, uuid FROM subscriptions
		WHERE status IN ('waiting', 'active') AND access_id = ANY($1)`, ids)
}

func (s *Store) granted(ctx context.Context, sql string, args ...any) (granted []shop.Access, err error) {
	err = s.use(ctx, "read granted", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		granted, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a shop.Access, err error) {
			err = row.Scan(&a.ID, &a.UUID)
			return a, err
		})
		return err
	})
	return granted, err
}

// Orphans returns those of the ids that belong on no node and have not changed
// since the time. What seems to change in a time to come changed while the database's
// clock was ahead, and not since.
func (s *Store) Orphans(ctx context.Context, ids []shop.AccessID, since time.Time) (orphans []shop.AccessID, err error) {
	err = s.use(ctx, "find orphans", func(ctx context.Context, conn *pgxpool.Conn) error {
		orphans, err = column[shop.AccessID](ctx, conn, `
			SELECT listed FROM unnest($1::text[]) AS listed
			LEFT JOIN subscriptions ON access_id = listed
			WHERE access_id IS NULL OR (status NOT IN ('waiting', 'active') AND (updated_at <= $2 OR updated_at > now()))`, ids, since)
		return err
	})
	return orphans, err
}
