package main

import (
	"testing"
	"time"

	"sallyport/shop"
)

// A node is checked at once when it has restarted, or answers again, and otherwise by
// schedule.
func TestANodeThatRestartsOrComesBackIsNews(t *testing.T) {
	t.Parallel()
	s := newSentry()
	down := shop.ErrNotFound
	for i, step := range []struct {
		uptime time.Duration
		err    error
		news   bool
	}{
		{time.Hour, nil, false},
		{time.Hour + time.Second, nil, false},
		{time.Hour + time.Second, nil, false},
		{2 * time.Second, nil, true},
		{3 * time.Second, nil, false},
		{0, down, false},
		{0, down, false},
		{9 * time.Second, nil, true},
		{10 * time.Second, nil, false},
	} {
		if got := s.isNews("de1", step.uptime, step.err); got != step.news {
			t.Errorf("look %d: news %t", i+1, got)
		}
	}
	s.hasten("de1")
	if s.isNews("de1", 0, down) || !s.wanted("de1", true) {
		t.Error("a node that is away cannot be checked")
	}
	s.hasten("nl1")
	if !s.wanted("nl1", false) || !s.isNews("nl1", time.Hour, nil) || s.isNews("nl1", time.Hour, nil) {
		t.Error("a difference is not looked at again, or for ever")
	}
	if s.wanted("de1", false) {
		t.Error("two processes ask")
	}
	if s.isNews("de1", time.Second, nil) {
		t.Error("what was seen before another was the eldest is news")
	}
	if !s.begin("de1") || s.begin("de1") {
		t.Error("a node that hangs is asked again and again")
	}
	s.end("de1")
	if !s.begin("de1") {
		t.Error("never asked again")
	}
}
