package main

import (
	"testing"
	"time"
)

// A node is checked at once when it is seen for the first time, has restarted or answers
// again, and otherwise by schedule.
func TestANodeThatRestartsOrComesBackIsNews(t *testing.T) {
	t.Parallel()
	s := newSentry()
	began := time.Now()
	// look is one at the time, answered after took with an uptime.
	look := func(at, took, uptime time.Duration) glimpse {
		return glimpseOf(began.Add(at), began.Add(at+took), uptime)
	}
	away := glimpse{}
	const second, moment = time.Second, 10 * time.Millisecond
	for i, step := range []struct {
		seen glimpse
		news bool
	}{
		{look(0, moment, 1*second), true}, // it may have restarted since it was checked
		{look(1*second, moment, 2*second), false},
		{look(2*second, moment, 4*second), false}, // whole seconds
		{look(3*second, moment, 4*second), false},
		{look(4*second, 3*second, 8*second), false}, // it took its time
		{look(8*second, moment, 2*second), true},
		{look(9*second, moment, 3*second), false},
		{away, false},
		{away, false},
		{look(18*second, moment, 9*second), true},
		{look(19*second, moment, 10*second), false},
		{look(37*second, moment, 15*second), true}, // it runs longer than when it was seen last, and restarted all the same
		{look(38*second, moment, 16*second), false},
	} {
		if got := s.isNews("de1", step.seen); got != step.news {
			t.Errorf("look %d: news %t", i+1, got)
		}
	}
	s.hasten("de1")
	if s.isNews("de1", away) || !s.wanted("de1", true) {
		t.Error("a node that is away cannot be checked")
	}
	s.isNews("nl1", look(0, moment, time.Hour))
	s.hasten("nl1")
	if !s.wanted("nl1", false) || !s.isNews("nl1", look(1*second, moment, time.Hour+second)) || s.isNews("nl1", look(2*second, moment, time.Hour+2*second)) {
		t.Error("a difference is not looked at again, or for ever")
	}
	if s.wanted("nl1", false) {
		t.Error("two processes ask")
	}
	if !s.isNews("nl1", look(3*second, moment, time.Hour+3*second)) {
		t.Error("a node may restart while the eldest process changes")
	}
	if !s.begin("de1") || s.begin("de1") {
		t.Error("a node that hangs is asked again and again")
	}
	s.end("de1")
	if !s.begin("de1") {
		t.Error("never asked again")
	}
}
