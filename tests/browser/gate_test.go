package browser_test

import (
	"net/http"
	"sync/atomic"
)

// gate stands before a handler and answers 502 while it is shut.
type gate struct {
	next http.Handler
	shut atomic.Bool
}

func newGate(next http.Handler) *gate { return &gate{next: next} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.shut.Load() {
		http.Error(w, "shut", http.StatusBadGateway)
		return
	}
	g.next.ServeHTTP(w, r)
}
