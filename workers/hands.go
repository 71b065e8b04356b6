package workers

import (
	"maps"
	"slices"
	"sync"
)

// hands are the jobs that this process is trying right now.
type hands struct {
	mu  sync.Mutex
	ids map[int64]struct{}
}

func (h *hands) take(id int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids[id] = struct{}{}
}

func (h *hands) leave(id int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ids, id)
}

func (h *hands) list() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.ids))
}
