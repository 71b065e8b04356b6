package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// farthest is what no lease, and no wait for another try, is longer than. What seems to
// be was stored while the database's clock was ahead, and is over.
const farthest = 90 * time.Second

// BuryLetter keeps an authenticated delivery that could not be understood.
func (s *Store) BuryLetter(ctx context.Context, source, reason string, body []byte) error {
	digest := sha256.Sum256(body)
	_, err := s.exec(ctx, "bury letter", `
		INSERT INTO dead_letters (source, reason, body, digest) VALUES ($1, $2, $3, $4) ON CONFLICT (source, digest) DO NOTHING`,
		source, reason, body, digest[:])
	return err
}

// RetryUpdate lets the update wait before its next try; fault counts this one as a
// fault of ours. It returns shop.ErrLaneLost if the turn is over.
func (s *Store) RetryUpdate(ctx context.Context, turn shop.Turn, id int64, after time.Duration, fault bool, reason string) error {
	n, err := s.exec(ctx, "retry update", `
		UPDATE inbox SET attempt = attempt + $4, run_after = now() + $3, error = $5,
			tried_at = least(tried_at + greatest(now() - run_after - $6::interval, '0'), now())
		WHERE update_id = $1 AND closed_at IS NULL
			AND (SELECT holder FROM lanes WHERE lanes.lane = inbox.lane AND turn = $7 FOR UPDATE) = $2`,
		id, turn.Holder, after, map[bool]int{true: 1}[fault], reason, farthest, turn.Number)
	return held(n, err)
}

// HastenUpdates has updates tried now whose next try is at most so far away.
func (s *Store) HastenUpdates(ctx context.Context, within time.Duration) error {
	_, err := s.exec(ctx, "hasten updates", `
		UPDATE inbox SET run_after = now() WHERE state = 'waiting' AND run_after > now() AND run_after <= now() + $1`, within)
	return err
}

func held(affected int64, err error) error {
	if err == nil && affected == 0 {
		return shop.ErrLaneLost
	}
	return err
}

// IdleLanes returns at most limit lanes whose first waiting update, or whose first
// payment, is due and that nobody works: what a crash, a full queue or another replica left. Those in which an
// urgent update waits come first, and are returned apart.
func (s *Store) IdleLanes(ctx context.Context, limit int) (urgent, others []int64, err error) {
	err = s.use(ctx, "idle lanes", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT lane, urgent FROM (
				SELECT DISTINCT ON (lane) lane, arrival, run_after, bool_or(kind = ANY($2)) OVER (PARTITION BY lane) AS urgent
				FROM inbox WHERE state = 'waiting' ORDER BY lane, arrival
			) head
			WHERE (run_after NOT BETWEEN now() AND now() + $3::interval OR (
					SELECT run_after NOT BETWEEN now() AND now() + $3::interval FROM inbox
					WHERE inbox.lane = head.lane AND state = 'waiting' AND kind = 'payment' ORDER BY arrival LIMIT 1))
				AND (SELECT leased_until BETWEEN now() AND now() + $3::interval FROM lanes WHERE lanes.lane = head.lane) IS NOT TRUE
			ORDER BY urgent DESC, arrival LIMIT $1`, limit, shop.UrgentKinds(), farthest)
		if err != nil {
			return err
		}
		var lane int64
		var hurry bool
		_, err = pgx.ForEachRow(rows, []any{&lane, &hurry}, func() error {
			if hurry {
				urgent = append(urgent, lane)
			} else {
				others = append(others, lane)
			}
			return nil
		})
		return err
	})
	return urgent, others, err
}

const (
	// aloneSlack is how much longer than its chat is left alone what waits for that may
	// wait without being late: until its next try, and what is before it.
	aloneSlack = time.Minute
	// aloneMost bounds how long a chat is taken to be left alone.
	aloneMost = time.Hour
)

// LeaveAlone remembers that the customer's chat takes no more messages for so long:
// what waits for that is not late.
func (s *Store) LeaveAlone(ctx context.Context, id shop.UserID, wait time.Duration) error {
	_, err := s.exec(ctx, "leave alone", `
		INSERT INTO left_alone (user_id, alone_until) VALUES ($1, now() + $2)
		ON CONFLICT (user_id) DO UPDATE SET alone_until = excluded.alone_until`, id, min(wait, aloneMost)+aloneSlack)
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
