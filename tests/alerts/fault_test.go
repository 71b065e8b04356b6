package alerts_test

import (
	"testing"
)

// trouble is a fault, what it must set off, and its cure.
type trouble struct {
	code   string   // that /healthz shows and the operator is told of; empty if /healthz does not see it
	alerts []string // of Prometheus, that fire
	deaf   bool     // the operator cannot be told while it lasts, only afterwards
	breaks func(*scene)
	cures  func(*scene)
}

// play breaks the world, waits until everybody who should know knows, mends it and
// waits for all-clear everywhere: each operator's message once.
func (s *scene) play(d trouble) {
	t := s.t
	t.Helper()
	s.until("a world that is well", func() bool { return s.quiet(d) && s.well() && s.even(d.code) })
	begun, ended := len(s.begins(d.code)), len(s.ends(d.code))
	d.breaks(s)
	if d.code != "" {
		s.until(d.code+" in /healthz", func() bool { return s.shows(d.code) })
	}
	for _, alert := range d.alerts {
		s.until(alert+" to fire", func() bool { return s.prometheus.firing(alert) > 0 })
	}
	if d.code != "" && !d.deaf {
		s.until("the operator to be told of "+d.code, func() bool { return len(s.begins(d.code)) > begun })
	}
	d.cures(s)
	if d.code != "" {
		s.until("no "+d.code+" in /healthz", func() bool { return !s.shows(d.code) })
	}
	for _, alert := range d.alerts {
		s.until(alert+" to resolve", func() bool { return s.prometheus.firing(alert) == 0 })
	}
	if d.code == "" {
		return
	}
	s.until("the all-clear of "+d.code, func() bool { return len(s.ends(d.code)) > ended })
	s.until("a world that is well again", s.well) // nothing more is told after that
	if n := len(s.begins(d.code)) - begun; n > 1 || n == 0 && !d.deaf {
		t.Errorf("%s: the operator was told %d times that it began: %q", d.code, n, s.begins(d.code))
	}
	if n := len(s.ends(d.code)) - ended; n != 1 {
		t.Errorf("%s: the operator was told %d times that it is over: %q", d.code, n, s.ends(d.code))
	}
}

// quiet says that none of the alerts that are about to be set off fires yet.
func (s *scene) quiet(d trouble) bool {
	for _, alert := range d.alerts {
		if s.prometheus.firing(alert) > 0 {
			return false
		}
	}
	return true
}

// even says that the operator was told the end of each beginning, of those while the shop started, too.
func (s *scene) even(code string) bool {
	return code == "" || len(s.ends(code)) >= len(s.begins(code))
}

// well says that the shop finds nothing wrong with itself and owes the operator
// nothing, but for what is wrong with the scene from its beginning.
func (s *scene) well() bool {
	for component, code := range s.prometheus.found() {
		if code != "ok" && component != s.ill {
			return false
		}
	}
	for component, c := range s.health() {
		if c.Status != "ok" && component != s.ill {
			return false
		}
	}
	return s.number(`SELECT count(*) FROM incidents WHERE component <> '`+s.ill+`'`) == 0
}

// plays plays troubles one after another in one world.
func plays(t *testing.T, s *scene, all []trouble) {
	t.Helper()
	for _, d := range all {
		name := d.code
		if name == "" {
			name = d.alerts[0]
		}
		t.Run(name, func(t *testing.T) { // not parallel: one fault at a time
			outer := s.t
			s.t = t
			defer func() { s.t = outer }()
			s.play(d)
		})
		if t.Failed() {
			return
		}
	}
}
