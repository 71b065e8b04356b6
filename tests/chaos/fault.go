package main

import (
	"fmt"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
)

// kind is a way to break something.
type kind string

// The kinds. What needs a target, a mode or a step says so.
const (
	killReplica     kind = "kill -9 of a replica"
	stopReplica     kind = "SIGTERM to a replica, which is started again"
	addThenStop     kind = "one more replica, removed by SIGTERM"
	addThenKill     kind = "one more replica, removed by kill -9"
	restartPostgres kind = "PostgreSQL restarts"
	crashPostgres   kind = "PostgreSQL stops in immediate mode, and is away"
	killPostgres    kind = "kill -9 of PostgreSQL, and it is away"
	fillDisk        kind = "PostgreSQL's disk is full"
	fillDiskAndWAL  kind = "PostgreSQL's disk is full, its last WAL segment too"
	resetRequests   kind = "connections to PostgreSQL are reset on the way there"
	resetAnswers    kind = "connections to PostgreSQL are reset on the way back"
	hangPostgres    kind = "PostgreSQL says nothing"
	slowPostgres    kind = "PostgreSQL is slow"
	restartXray     kind = "Xray restarts"
	killXray        kind = "kill -9 of Xray, and it is away"
	breakHost       kind = "outside host" // target, mode
	stepReplica     kind = "the clock of a replica steps"
	stepReplicas    kind = "the clocks of all replicas step"
	stepPostgres    kind = "the clock of PostgreSQL steps"
	stepAll         kind = "all clocks step"
)

// event is one fault of a plan.
type event struct {
	at     time.Duration // since the beginning of the load
	length time.Duration
	kind   kind
	which  int // of the replicas
	target sandbox.Target
	mode   fault.Mode
	step   time.Duration // of a clock
}

// end is when the fault is healed.
func (e event) end() time.Duration { return e.at + e.length }

// String is the fault's line in the schedule.
func (e event) String() string {
	text := string(e.kind)
	if e.kind == breakHost {
		text = fmt.Sprintf("%s %s", e.target, e.mode)
	}
	if e.kind == killReplica || e.kind == stopReplica || e.kind == stepReplica {
		text += fmt.Sprintf(" (number %d)", e.which)
	}
	if e.step != 0 {
		text += fmt.Sprintf(" by %+.0f s", e.step.Seconds())
	}
	return text
}

// place is what a fault takes hold of: two of one place do not overlap.
func (e event) place() string {
	switch e.kind {
	case killReplica, stopReplica, addThenStop, addThenKill:
		return "replicas"
	case restartPostgres, crashPostgres, killPostgres, fillDisk, fillDiskAndWAL:
		return "postgres"
	case resetRequests, resetAnswers, hangPostgres, slowPostgres:
		return "connections"
	case restartXray, killXray:
		return "xray process"
	case breakHost:
		return string(e.target)
	default:
		return "clocks"
	}
}

// deck has one event of every sort; moments, lengths and steps are still to be drawn.
func deck() []event {
	var cards []event
	for _, k := range []kind{
		killReplica, stopReplica, addThenStop, addThenKill, restartPostgres, crashPostgres, killPostgres, fillDisk, fillDiskAndWAL,
		resetRequests, resetAnswers, hangPostgres, slowPostgres, restartXray, killXray,
	} {
		cards = append(cards, event{kind: k})
	}
	for _, target := range []sandbox.Target{sandbox.TelegramTarget, sandbox.CryptoPayTarget, sandbox.XrayTarget} {
		for _, mode := range []fault.Mode{fault.Down, fault.Hung, fault.Slow, fault.Error} {
			cards = append(cards, event{kind: breakHost, target: target, mode: mode})
		}
	}
	for _, k := range []kind{stepReplica, stepReplicas, stepPostgres, stepAll} {
		for _, direction := range []time.Duration{1, -1} {
			cards = append(cards, event{kind: k, step: direction})
		}
	}
	return cards
}
