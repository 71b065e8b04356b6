package store

import (
	"context"
	"slices"
	"sync"

	"sallyport/shop"
)

// maxTogether is how many items are done at once.
const maxTogether = 64

// together does with one commit what comes together. Whoever comes alone waits for
// nobody: only while atOnce commits are under way do items gather.
type together[T any] struct {
	do     func(context.Context, []*T) error // what it finds goes into the items
	atOnce int                               // more than one, so that on a slow disk the next need not wait for the one before
	prompt bool                              // what its caller gives up before it is begun is not done

	mu      sync.Mutex
	waiting []*waiting[T]
	running int
}

// waiting is an item on its way.
type waiting[T any] struct {
	ctx  context.Context //nolint:containedctx // of the caller, who may give up while the item waits
	item *T
	err  error
	done chan struct{} // closed when err is there
}

// add does the item and returns when it is done. If ctx ends before, the item may be done
// all the same, unless it is to be prompt and was not begun, and must not be looked at.
func (g *together[T]) add(ctx context.Context, item *T) error {
	if err := shop.Free(ctx); err != nil {
		return err // with a connection in hand, nobody may wait for those of others
	}
	if ctx.Err() != nil {
		return shop.Unavailable(context.Cause(ctx)) // it must not be done after its caller has given up
	}
	w := &waiting[T]{ctx: ctx, item: item, done: make(chan struct{})}
	if g.join(w) {
		go g.run(context.WithoutCancel(ctx)) // it does what others brought, too
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return shop.Unavailable(context.Cause(ctx))
	}
}

// join reports whether the caller must see to a run.
func (g *together[T]) join(w *waiting[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, w)
	if g.running == g.atOnce {
		return false
	}
	g.running++
	return true
}

// run does what waits until nothing does.
func (g *together[T]) run(ctx context.Context) {
	for batch := g.take(); batch != nil; batch = g.take() {
		items := make([]*T, len(batch))
		for i, w := range batch {
			items[i] = w.item
		}
		err := g.do(ctx, items)
		for _, w := range batch {
			w.err = err
			close(w.done)
		}
	}
}

// take returns what is to be done next; none ends the run.
func (g *together[T]) take() []*waiting[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.prompt {
		g.waiting = slices.DeleteFunc(g.waiting, func(w *waiting[T]) bool { return w.ctx.Err() != nil })
	}
	n := min(len(g.waiting), maxTogether)
	if n == 0 {
		g.running--
		return nil
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return batch
}
