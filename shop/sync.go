package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// fewOrphans is how many users a node may lose in one comparison without question.
	fewOrphans = 20
	// lateOrphan is how long ago a subscription ended if its user on a node is as odd as
	// one who is not known at all.
	lateOrphan = 24 * time.Hour
)

// moreListed is how many more users than it counted, beside an eighth of them, a node may list.
const moreListed = 1000

// syncPage is how many users are read from the storage at a time.
const syncPage = 5000

// syncNode makes the node's users equal to the desired ones, in both directions:
// who is missing or differs is ensured; who does not belong is removed after a
// second look at the storage, and ensured again if a third one finds that they bought
// meanwhile.
func (s *Shop) syncNode(ctx context.Context, n Node) error {
	users, err := n.Count(ctx)
	if err != nil {
		return err
	}
	listed, err := n.List(ctx, users+users/8+moreListed)
	if err != nil {
		return err
	}
	extra := make(map[AccessID]Access, len(listed))
	for _, a := range listed {
		extra[a.ID] = a
	}
	if err := s.ensureMissing(ctx, n, extra); err != nil {
		return err
	}
	return s.removeOrphans(ctx, n, extra, len(listed))
}

// ensureMissing walks over the desired users, repairs those that the node lacks,
// and leaves in listed only those that are not desired.
func (s *Shop) ensureMissing(ctx context.Context, n Node, listed map[AccessID]Access) error {
	var after AccessID
	for {
		page, err := s.store.GrantedAfter(ctx, after, syncPage)
		if err != nil {
			return err
		}
		var missing []Access
		for _, a := range page {
			if listed[a.ID] != a {
				missing = append(missing, a)
			}
			delete(listed, a.ID)
			after = a.ID
		}
		if err := eachAtOnce(missing, func(a Access) error { return n.Ensure(ctx, a) }); err != nil {
			return err
		}
		if len(page) < syncPage {
			return nil
		}
	}
}

// removeOrphans removes who does not belong on the node. When most of many are not known
// here, or not for long, the database is more likely wrong than the node, and nobody is
// removed.
func (s *Shop) removeOrphans(ctx context.Context, n Node, extra map[AccessID]Access, listed int) error {
	ids := make([]AccessID, 0, len(extra))
	for id := range extra {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	orphans, err := s.store.Orphans(ctx, ids, now.Add(-orphanGrace))
	if err != nil {
		return err
	}
	odd, err := s.store.Orphans(ctx, orphans, now.Add(-lateOrphan))
	if err != nil {
		return err
	}
	if len(odd) > fewOrphans && 2*len(odd) > listed {
		return fmt.Errorf("node %s: %d of its %d users are unknown here: is this the right database? none is removed",
			n.Name(), len(odd), listed)
	}
	if len(orphans) < len(ids) { // some have ended only now: another look removes who is left of them
		if err := s.owe(ctx, []string{n.Name()}); err != nil {
			return err
		}
	}
	failed := eachAtOnce(orphans, func(id AccessID) error { return n.Absent(ctx, id) })
	granted, err := s.store.GrantedAmong(ctx, orphans)
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, eachAtOnce(granted, func(a Access) error { return n.Ensure(ctx, a) }))
}

// eachAtOnce does the items syncWorkers at a time and stops a worker at its first error.
func eachAtOnce[T any](items []T, do func(T) error) error {
	work := make(chan T)
	errs := make([]error, syncWorkers)
	var wg sync.WaitGroup
	for i := range syncWorkers {
		wg.Go(func() {
			for item := range work {
				if errs[i] == nil {
					errs[i] = caught(func() error { return do(item) })
				}
			}
		})
	}
	for _, item := range items {
		work <- item
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}
