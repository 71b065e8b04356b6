package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/shop"
)

// claim is the wish to work a lane.
type claim struct {
	turn   shop.Turn
	lease  time.Duration
	update shop.Update
	ok     bool
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

// ClaimUpdate begins a turn or goes on with it, for as long as the lease, and returns the
// lane's first waiting update, or while that is not due its first payment: money waits
// behind nothing. ok is false if neither is due, or if another process or a later turn holds the lane.
func (s *Store) ClaimUpdate(ctx context.Context, turn shop.Turn, lease time.Duration) (u shop.Update, ok bool, err error) {
	c := &claim{turn: turn, lease: lease}
	if err := s.claims.add(ctx, c); err != nil {
		return shop.Update{}, false, err
	}
	return c.update, c.ok, nil
}

// claimUpdates takes leases and looks, in two statements sent at once: the look must see
// what the holder before had finished, so its snapshot must be younger than the lease.
func (s *Store) claimUpdates(ctx context.Context, claims []*claim) error {
	claims, again := apart(claims, func(c *claim) int64 { return c.turn.Lane })
	leased := make(map[int64]bool, len(claims))
	heads := make(map[int64]updateRow, len(claims))
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	queueLeases(&batch, claims, leased)
	queueLook(&batch, claims, heads)
	err := s.use(ctx, "claim updates", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return err
	}
	for _, c := range claims {
		head := heads[c.turn.Lane]
		c.update, c.ok = head.update(), leased[c.turn.Lane] && head.Due
	}
	if len(again) > 0 {
		return s.claimUpdates(ctx, again)
	}
	return nil
}

// queueLeases takes the leases that are to be had, in the order of the lanes, so that two
// processes never wait for each other.
func queueLeases(batch *pgx.Batch, claims []*claim, leased map[int64]bool) {
	turns, leases := newTurns(len(claims)), make([]time.Duration, len(claims))
	for i, c := range claims {
		turns.set(i, c.turn)
		leases[i] = c.lease
	}
	batch.Queue(`
		INSERT INTO lanes (lane, holder, turn, leased_until)
		SELECT lane, holder, turn, now() + lease
		FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::interval[]) AS claims (lane, holder, turn, lease)
		ON CONFLICT (lane) DO UPDATE SET holder = excluded.holder, turn = excluded.turn, leased_until = excluded.leased_until
		WHERE lanes.holder = excluded.holder AND lanes.turn <= excluded.turn OR lanes.leased_until NOT BETWEEN now() AND now() + $5::interval
		RETURNING lane`, turns.lanes, turns.holders, turns.numbers, leases, farthest).Query(into(leased))
}

// queueLook reads the first waiting update of each lane, or the first payment if that
// is due and the other is not.
func queueLook(batch *pgx.Batch, claims []*claim, heads map[int64]updateRow) {
	lanes := make([]int64, len(claims))
	for i, c := range claims {
		lanes[i] = c.turn.Lane
	}
	batch.Queue(`
		SELECT head.update_id, head.lane, head.kind, head.body, now() - head.received_at AS age,
			greatest(head.run_after - head.tried_at, '0') AS trying, head.attempt,
			head.run_after NOT BETWEEN now() AND now() + $2::interval AS due,
			(SELECT count(*) FROM (
				SELECT FROM inbox later
				WHERE later.lane = head.lane AND later.state = 'waiting' AND later.arrival > head.arrival LIMIT 100
			) others) AS behind,
			coalesce((SELECT screen FROM dialogs WHERE user_id = head.lane), '') AS screen
		FROM unnest($1::bigint[]) AS claims (lane)
		CROSS JOIN LATERAL (
			SELECT * FROM (
				(SELECT update_id, lane, arrival, kind, body, received_at, tried_at, attempt, run_after FROM inbox
				WHERE inbox.lane = claims.lane AND state = 'waiting'
				ORDER BY arrival LIMIT 1)
				UNION ALL
				(SELECT update_id, lane, arrival, kind, body, received_at, tried_at, attempt, run_after FROM inbox
				WHERE inbox.lane = claims.lane AND state = 'waiting' AND kind = 'payment'
				ORDER BY arrival LIMIT 1)
			) firsts
			ORDER BY run_after NOT BETWEEN now() AND now() + $2::interval DESC, arrival LIMIT 1
		) head`, lanes, farthest).
		Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowToStructByName[updateRow])
			for _, head := range found {
				heads[head.Lane] = head
			}
			return err
		})
}

// into returns what adds the rows, each a number, to a set.
func into(set map[int64]bool) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		for _, n := range found {
			set[n] = true
		}
		return err
	}
}

// update returns what a handler gets. When it was received is told by one clock, the
// database's.
func (r updateRow) update() shop.Update {
	return shop.Update{
		ID: r.UpdateID, Lane: r.Lane, Kind: r.Kind, Body: r.Body,
		ReceivedAt: time.Now().Add(-r.Age), Behind: r.Behind, Screen: r.Screen, Trying: r.Trying, Attempt: r.Attempt,
	}
}

// apart sorts the items, and sets those aside whose lane has come before: a statement
// can do each lane once.
func apart[T any](items []*T, lane func(*T) int64) (once, again []*T) {
	slices.SortStableFunc(items, func(a, b *T) int { return cmp.Compare(lane(a), lane(b)) })
	for i, item := range items {
		if i > 0 && lane(items[i-1]) == lane(item) {
			again = append(again, item)
		} else {
			once = append(once, item)
		}
	}
	return once, again
}

// turns are arguments of a statement.
type turns struct {
	lanes, numbers []int64
	holders        []string
}

func newTurns(n int) turns {
	return turns{lanes: make([]int64, n), numbers: make([]int64, n), holders: make([]string, n)}
}

func (t turns) set(i int, turn shop.Turn) {
	t.lanes[i], t.holders[i], t.numbers[i] = turn.Lane, turn.Holder, turn.Number
}

// release gives a lane back.
type release struct {
	turn shop.Turn
	more bool
}

// ReleaseLane ends the turn and reports whether an update came in meanwhile that nobody
// else would pick up at once.
func (s *Store) ReleaseLane(ctx context.Context, turn shop.Turn) (more bool, err error) {
	r := &release{turn: turn}
	if err := s.releases.add(ctx, r); err != nil {
		return false, err
	}
	return r.more, nil
}

// releaseLanes does not wait for the disk: a lease that comes back with a crash of the
// database ends by itself.
func (s *Store) releaseLanes(ctx context.Context, releases []*release) error {
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	queueReleases(&batch, releases)
	return s.use(ctx, "release lanes", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.SendBatch(ctx, &batch).Close()
	})
}

// queueReleases gives lanes back and then looks: whoever brings an update too late for
// the look finds the lane free, at the latest when this is committed.
func queueReleases(batch *pgx.Batch, releases []*release) {
	if len(releases) == 0 {
		return
	}
	slices.SortFunc(releases, func(a, b *release) int { return cmp.Compare(a.turn.Lane, b.turn.Lane) })
	turns := newTurns(len(releases))
	for i, r := range releases {
		turns.set(i, r.turn)
	}
	given, due := make(map[int64]bool, len(releases)), make(map[int64]bool)
	batch.Queue(`
		DELETE FROM lanes USING unnest($1::bigint[], $2::text[], $3::bigint[]) WITH ORDINALITY AS releases (lane, holder, turn, nth)
		WHERE lanes.lane = releases.lane AND lanes.holder = releases.holder AND lanes.turn = releases.turn
		RETURNING nth`, turns.lanes, turns.holders, turns.numbers).Query(into(given))
	batch.Queue(`
		SELECT DISTINCT releases.lane FROM unnest($1::bigint[]) AS releases (lane)
		CROSS JOIN LATERAL (
			(SELECT run_after FROM inbox WHERE inbox.lane = releases.lane AND state = 'waiting' ORDER BY arrival LIMIT 1)
			UNION ALL
			(SELECT run_after FROM inbox WHERE inbox.lane = releases.lane AND state = 'waiting' AND kind = 'payment'
			ORDER BY arrival LIMIT 1)
		) firsts
		WHERE firsts.run_after NOT BETWEEN now() AND now() + $2::interval`, turns.lanes, farthest).Query(func(rows pgx.Rows) error {
		err := into(due)(rows)
		for i, r := range releases {
			r.more = given[int64(i+1)] && due[r.turn.Lane]
		}
		return err
	})
}

// closing is the end of an update.
type closing struct {
	turn          shop.Turn
	id            int64
	state, reason string
	closed        bool
	then          *release // nil if the lane is kept
}

// CloseUpdate ends an update as "done", "stale" or "dead"; reason says why, if not
// done. It returns shop.ErrLaneLost if the turn is over.
func (s *Store) CloseUpdate(ctx context.Context, turn shop.Turn, id int64, state, reason string) error {
	return s.close(ctx, &closing{turn: turn, id: id, state: state, reason: reason})
}

// CloseLane ends an update as CloseUpdate does and the turn as ReleaseLane does, at once.
func (s *Store) CloseLane(ctx context.Context, turn shop.Turn, id int64, state, reason string) (more bool, err error) {
	c := &closing{turn: turn, id: id, state: state, reason: reason, then: &release{turn: turn}}
	if err := s.close(ctx, c); err != nil {
		return false, err
	}
	return c.then.more, nil
}

func (s *Store) close(ctx context.Context, c *closing) error {
	if err := s.closings.add(ctx, c); err != nil {
		return err
	}
	if !c.closed {
		return shop.ErrLaneLost
	}
	return nil
}

// closeUpdates ends updates and gives lanes back, with one commit.
func (s *Store) closeUpdates(ctx context.Context, closings []*closing) error {
	var batch pgx.Batch
	queueClosings(&batch, closings)
	var releases []*release
	for _, c := range closings {
		if c.then != nil {
			releases = append(releases, c.then)
		}
	}
	queueReleases(&batch, releases)
	return s.use(ctx, "close updates", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.SendBatch(ctx, &batch).Close()
	})
}

// queueClosings locks the lane of each update before it ends it, so the claim of another
// turn comes either before the end, which then does nothing, or after it. Lanes are locked
// in their order, so that two processes never wait for each other. Only of the dead is the
// body needed any more. The updates are named twice, and closed_at is asked for instead of
// state, lest the planner begin with all that waits, which is little most of the time.
func queueClosings(batch *pgx.Batch, closings []*closing) {
	slices.SortFunc(closings, func(a, b *closing) int { return cmp.Compare(a.turn.Lane, b.turn.Lane) })
	turns, ids := newTurns(len(closings)), make([]int64, len(closings))
	states, reasons := make([]string, len(closings)), make([]string, len(closings))
	for i, c := range closings {
		turns.set(i, c.turn)
		ids[i], states[i], reasons[i] = c.id, c.state, c.reason
	}
	batch.Queue(`
		WITH held AS (
			SELECT closings.* FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
				WITH ORDINALITY AS closings (lane, holder, turn, update_id, state, reason, nth)
			CROSS JOIN LATERAL (
				SELECT FROM lanes
				WHERE lanes.lane = closings.lane AND lanes.holder = closings.holder AND lanes.turn = closings.turn
				FOR UPDATE
			) locked
		)
		UPDATE inbox SET state = held.state, error = held.reason, closed_at = now(),
			body = CASE WHEN held.state = 'dead' THEN body ELSE '' END
		FROM held
		WHERE inbox.update_id = ANY ($4) AND inbox.update_id = held.update_id AND inbox.lane = held.lane AND closed_at IS NULL
		RETURNING nth`, turns.lanes, turns.holders, turns.numbers, ids, states, reasons).
		Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			for _, nth := range found {
				closings[nth-1].closed = true
			}
			return err
		})
}
