package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// BuryLetter keeps an authenticated delivery that could not be understood.
func (s *Store) BuryLetter(ctx context.Context, source, reason string, body []byte) error {
	digest := sha256.Sum256(body)
	_, err := s.exec(ctx, "bury letter", `
		INSERT INTO dead_letters (source, reason, body, digest) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		source, reason, body, digest[:])
	return err
}

type updateRow struct {
	UpdateID int64
	Lane     int64
	Kind     string
	Body     []byte
	Age      time.Duration
	Trying   time.Duration
	Attempt  int
	Due      bool
	Behind   int
	Screen   string
}

func (r updateRow) update() shop.Update {
	return shop.Update{
		ID: r.UpdateID, Lane: r.Lane, Kind: r.Kind, Body: r.Body,
		ReceivedAt: time.Now().Add(-r.Age), // by one clock, the database's
		Behind:     r.Behind, Screen: r.Screen, Trying: r.Trying, Attempt: r.Attempt,
	}
}

// ClaimUpdate takes or renews the lane's lease for holder and returns the lane's
// first waiting update. ok is false if there is none due or if another holds the lane.
//
// The lease and the look are two statements sent at once: the look must see what
// the holder before had finished, so its snapshot must be younger than the lease.
func (s *Store) ClaimUpdate(ctx context.Context, lane int64, holder string, lease time.Duration) (u shop.Update, ok bool, err error) {
	var batch pgx.Batch
	var leased bool
	batch.Queue(`
		INSERT INTO lanes (lane, holder, leased_until) VALUES ($1, $2, now() + $3)
		ON CONFLICT (lane) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until
		WHERE lanes.holder = excluded.holder OR lanes.leased_until < now()`, lane, holder, lease).
		Exec(func(tag pgconn.CommandTag) error {
			leased = tag.RowsAffected() == 1
			return nil
		})
	batch.Queue(`
		SELECT update_id, lane, kind, body, now() - received_at AS age,
			coalesce(now() - tried_at, '0') AS trying, attempt, run_after <= now() AS due,
			(SELECT count(*) FROM (
				SELECT FROM inbox later
				WHERE later.lane = $1 AND later.state = 'waiting' AND later.arrival > inbox.arrival LIMIT 100
			) others) AS behind,
			coalesce((SELECT screen FROM dialogs WHERE user_id = $1), '') AS screen
		FROM inbox
		WHERE lane = $1 AND state = 'waiting'
		ORDER BY arrival LIMIT 1`, lane).
		Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowToStructByName[updateRow])
			if err != nil || len(found) == 0 {
				return err
			}
			ok, u = leased && found[0].Due, found[0].update()
			return nil
		})
	err = s.use(ctx, "claim update", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.SendBatch(ctx, &batch).Close()
	})
	return u, ok && err == nil, err
}

// ReleaseLane gives the lane back and reports whether an update came in meanwhile
// that nobody else would pick up at once.
func (s *Store) ReleaseLane(ctx context.Context, lane int64, holder string) (more bool, err error) {
	err = s.use(ctx, "release lane", func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, `DELETE FROM lanes WHERE lane = $1 AND holder = $2`, lane, holder)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return conn.QueryRow(ctx, `
			SELECT coalesce((SELECT run_after <= now() FROM inbox
				WHERE lane = $1 AND state = 'waiting' ORDER BY arrival LIMIT 1), false)`, lane).Scan(&more)
	})
	return more, err
}

// CloseUpdate ends an update as "done", "stale" or "dead"; reason says why, if not
// done. It returns shop.ErrLaneLost if holder does not hold the update's lane any more.
func (s *Store) CloseUpdate(ctx context.Context, id int64, holder, state, reason string) error {
	n, err := s.exec(ctx, "close update", `
		UPDATE inbox SET state = $3, error = $4, closed_at = now()
		WHERE update_id = $1 AND state = 'waiting'
			AND EXISTS (SELECT FROM lanes WHERE lanes.lane = inbox.lane AND holder = $2)`, id, holder, state, reason)
	return held(n, err)
}

// RetryUpdate lets the update wait before its next try; fault counts this one as a
// fault of ours. It returns shop.ErrLaneLost if holder does not hold the update's lane
// any more.
func (s *Store) RetryUpdate(ctx context.Context, id int64, holder string, after time.Duration, fault bool, reason string) error {
	n, err := s.exec(ctx, "retry update", `
		UPDATE inbox SET attempt = attempt + $4, run_after = now() + $3, error = $5, tried_at = coalesce(tried_at, now())
		WHERE update_id = $1 AND state = 'waiting'
			AND EXISTS (SELECT FROM lanes WHERE lanes.lane = inbox.lane AND holder = $2)`,
		id, holder, after, map[bool]int{true: 1}[fault], reason)
	return held(n, err)
}

func held(affected int64, err error) error {
	if err == nil && affected == 0 {
		return shop.ErrLaneLost
	}
	return err
}

// IdleLanes returns at most limit lanes whose first waiting update is due and that
// nobody works: what a crash, a full queue or another replica left.
func (s *Store) IdleLanes(ctx context.Context, limit int) (lanes []int64, err error) {
	err = s.use(ctx, "idle lanes", func(ctx context.Context, conn *pgxpool.Conn) error {
		lanes, err = column[int64](ctx, conn, `
			SELECT lane FROM (
				SELECT DISTINCT ON (lane) lane, arrival, run_after FROM inbox
				WHERE state = 'waiting' ORDER BY lane, arrival
			) head
			WHERE run_after <= now()
				AND NOT EXISTS (SELECT FROM lanes l WHERE l.lane = head.lane AND l.leased_until >= now())
			ORDER BY arrival LIMIT $1`, limit)
		return err
	})
	return lanes, err
}

// CleanUp removes handled updates received before then, and leases long over.
func (s *Store) CleanUp(ctx context.Context, before time.Time) (removed int, err error) {
	for {
		n, err := s.exec(ctx, "clean up inbox", `
			DELETE FROM inbox WHERE update_id IN (
				SELECT update_id FROM inbox
				WHERE received_at < $1 AND state IN ('done', 'stale')
				ORDER BY received_at LIMIT 5000)`, before)
		removed += int(n)
		if err != nil || n < 5000 {
			return removed, errors.Join(err, s.dropOldLeases(ctx))
		}
	}
}

func (s *Store) dropOldLeases(ctx context.Context) error {
	_, err := s.exec(ctx, "drop old leases", `DELETE FROM lanes WHERE leased_until < now() - interval '1 hour'`)
	return err
}

type dialogRow struct {
	MessageID int64
	Screen    string
}

// Dialog returns the message in which the customer's screen lives and the name of
// the screen it shows; zero if there is none.
func (s *Store) Dialog(ctx context.Context, id shop.UserID) (messageID int64, screen string, err error) {
	err = s.use(ctx, "read dialog", func(ctx context.Context, conn *pgxpool.Conn) error {
		row, err := one[dialogRow](ctx, conn, shop.ErrNotFound, `
			SELECT message_id, screen FROM dialogs WHERE user_id = $1`, id)
		if errors.Is(err, shop.ErrNotFound) {
			return nil
		}
		messageID, screen = row.MessageID, row.Screen
		return err
	})
	return messageID, screen, err
}

// SaveDialog remembers where the customer's screen lives and what it shows.
func (s *Store) SaveDialog(ctx context.Context, id shop.UserID, messageID int64, screen string) error {
	_, err := s.exec(ctx, "save dialog", `
		INSERT INTO dialogs (user_id, message_id, screen) VALUES ($1, $2, $3)
		ON CONFLICT (user_id) DO UPDATE SET message_id = excluded.message_id, screen = excluded.screen, updated_at = now()`,
		id, messageID, screen)
	return err
}
