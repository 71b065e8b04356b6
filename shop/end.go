package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// EndsState is what is remembered between two looks for what has run out.
type EndsState struct {
	JudgedAt time.Time // until when it was judged, by the storage's clock
	Held     int       // ends that are held until an operator releases them; 0: none
}

const (
	// ClockLimit is how far a process's clock may be from the storage's before the
	// process ends nothing.
	ClockLimit = 30 * time.Second
	// longLook is how long nobody may have looked for what has run out before the ends
	// since then are counted: the schedule explains all that ran out between two looks
	// that follow each other, however many.
	longLook = time.Hour
	// fewEnds is how many may end after a longer time without question.
	fewEnds = 20
	// manyEnds is the part of all who are let in, one in so many, that is too many to end
	// after a longer time without question.
	manyEnds = 20
	// judgedEvery is how often it is noted that ends were judged.
	judgedEvery = time.Minute
)

// leaps says whether so much time has passed since ends were judged last that either
// nobody was there or the clock has leapt.
func (s EndsState) leaps(now time.Time) bool { return now.Sub(s.JudgedAt) > longLook }

// tooMany says whether so many ends at once after a leap look like a wrong clock.
func tooMany(due, granted int) bool { return due > fewEnds && due*manyEnds > granted }

// Ends is what the shop asks of the storage about when what ends.
type Ends interface {
	// Now returns the time by the storage's clock, by which every end is judged.
	Now(ctx context.Context) (time.Time, error)
	// EndsState returns what is remembered of the last look.
	EndsState(ctx context.Context) (EndsState, error)
	// ChangeEndsState remembers after, if what is remembered is still before.
	ChangeEndsState(ctx context.Context, before, after EndsState) (changed bool, err error)
	// CountDue returns how many subscriptions are due, and how many users are let in,
	// those among them.
	CountDue(ctx context.Context, now time.Time) (due, granted int, err error)
	// DueSubscriptions returns at most limit users whose subscription is due.
	DueSubscriptions(ctx context.Context, now time.Time, limit int) ([]UserID, error)
}

// Expire ends what has run out: orders not paid in time, and subscriptions. All of it
// is judged by the storage's clock; a process whose own is far from that ends nothing,
// since one of the two is wrong.
func (s *Shop) Expire(ctx context.Context) error {
	now, err := s.clock(ctx)
	if err != nil {
		return err
	}
	ordersErr := s.expireOrders(ctx, now)
	_, err = s.expireUntil(ctx, now)
	return errors.Join(ordersErr, err)
}

// expireOrders closes orders that were not paid in time, and brings their screens up to
// date.
func (s *Shop) expireOrders(ctx context.Context, now time.Time) error {
	return s.store.Do(ctx, "expire orders", func(ctx context.Context, tx Tx) error {
		orders, err := tx.ExpireOrders(ctx, now, expireLook)
		if err != nil {
			return err
		}
		closed := make([]Job, len(orders))
		for i, o := range orders {
			closed[i] = Notify{UserID: o.UserID, Notice: NoticeClosed, OrderID: o.ID}
		}
		return tx.Enqueue(ctx, closed...)
	})
}

// ExpireDue ends every subscription that is due, a batch at a time; the end of a batch,
// their removal from the nodes and the word to each are one transaction.
// It returns how many it ended, and may be repeated safely; one that fails does not
// keep the others from their end. Between two batches it leaves the database and the
// nodes to others for twice as long as a batch takes.
// When far more are due than the time since the last look explains, none is ended until
// an operator releases them.
func (s *Shop) ExpireDue(ctx context.Context) (ended int, err error) {
	now, err := s.clock(ctx)
	if err != nil {
		return 0, err
	}
	return s.expireUntil(ctx, now)
}

// clock returns the time by the storage's clock, if the process's own agrees.
func (s *Shop) clock(ctx context.Context) (time.Time, error) {
	before := s.now()
	now, err := s.store.Now(ctx)
	if err != nil {
		return now, err
	}
	ahead, behind := before.Sub(now), now.Sub(s.now()) // the answer may have taken long
	if off := max(ahead, behind); off > ClockLimit {
		return now, Unavailable(fmt.Errorf("this process's clock is %s off the database's: nothing is ended by it", off.Round(time.Second)))
	}
	return now, nil
}

// ReleaseEnds has the ends that are held go on, and returns how many those were.
func (s *Shop) ReleaseEnds(ctx context.Context) (held int, err error) {
	for {
		state, err := s.store.EndsState(ctx)
		if err != nil || state.Held == 0 {
			return 0, err
		}
		now, err := s.clock(ctx)
		if err != nil {
			return 0, err
		}
		if changed, err := s.store.ChangeEndsState(ctx, state, EndsState{JudgedAt: now}); changed || err != nil {
			return state.Held, err
		}
	}
}

// holds says whether what is due by now must wait for an operator, and remembers what
// it finds. What is held stays so until it is released, or until it is little again,
// because the clock is right again. Who finds that another has judged meanwhile leaves
// it at that until the next look.
func (s *Shop) holds(ctx context.Context, now time.Time) (bool, error) {
	state, err := s.store.EndsState(ctx)
	if err != nil {
		return false, err
	}
	if state.leaps(now) {
		due, granted, err := s.store.CountDue(ctx, now)
		if err != nil {
			return false, err
		}
		if tooMany(due, granted) {
			_, err := s.store.ChangeEndsState(ctx, state, EndsState{JudgedAt: state.JudgedAt, Held: due})
			return true, err
		}
	}
	if state.Held == 0 && now.Sub(state.JudgedAt).Abs() < judgedEvery {
		return false, nil
	}
	changed, err := s.store.ChangeEndsState(ctx, state, EndsState{JudgedAt: now})
	return !changed, err
}

const (
	// expireBatch bounds how many subscriptions end in one transaction: it should hold
	// its connection for a few milliseconds.
	expireBatch = 50
	// expireLook bounds how many that are due are looked up at once: each look passes
	// those that have just ended.
	expireLook = 20 * expireBatch
)

// expireUntil ends every subscription that is due at the time.
func (s *Shop) expireUntil(ctx context.Context, now time.Time) (ended int, err error) {
	if held, err := s.holds(ctx, now); held || err != nil {
		return 0, err
	}
	for {
		due, readErr := s.store.DueSubscriptions(ctx, now, expireLook)
		if err = errors.Join(err, readErr); readErr != nil {
			return ended, err
		}
		for batch := range slices.Chunk(due, expireBatch) {
			began := time.Now()
			n, batchErr := s.expireEach(ctx, now, batch)
			ended, err = ended+n, errors.Join(err, batchErr)
			if len(batch) < expireBatch {
				return ended, err
			}
			if waitErr := pause(ctx, 2*time.Since(began)); waitErr != nil {
				return ended, errors.Join(err, waitErr)
			}
		}
		if err != nil || len(due) < expireLook {
			return ended, err
		}
	}
}

// pause waits, but not beyond ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return Unavailable(context.Cause(ctx))
	}
}

// expireEach ends the subscriptions of these users together or, if that fails, one by one.
func (s *Shop) expireEach(ctx context.Context, now time.Time, ids []UserID) (ended int, err error) {
	if ended, err = s.expire(ctx, now, ids...); err == nil {
		return ended, nil
	}
	err = nil // what is wrong with one was wrong with all
	for _, id := range ids {
		n, oneErr := s.expire(ctx, now, id)
		ended, err = ended+n, errors.Join(err, oneErr)
	}
	return ended, err
}

// expire ends the subscriptions of these users, if they are due.
func (s *Shop) expire(ctx context.Context, now time.Time, ids ...UserID) (ended int, err error) {
	return do(ctx, s.store, "expire", func(ctx context.Context, tx Tx) (int, error) {
		subs, err := tx.LockSubscriptions(ctx, ids)
		if err != nil {
			return 0, err
		}
		var after []Subscription
		var users []UserID
		var jobs []Job
		for _, sub := range subs {
			if sub.Due(now) {
				after, users = append(after, sub.Expire()), append(users, sub.UserID)
				jobs = append(jobs, Notify{UserID: sub.UserID, Notice: NoticeExpired})
			}
		}
		if len(users) == 0 {
			return 0, nil
		}
		if err := tx.SaveSubscriptions(ctx, after...); err != nil {
			return 0, err
		}
		return len(users), tx.Enqueue(ctx, append(jobs, ConvergeUsers{UserIDs: users})...)
	})
}
