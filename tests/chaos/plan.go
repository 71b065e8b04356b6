package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// replicas is how many there are from the beginning to the end.
	replicas = 3
	// calm is how long the load runs before the first fault and after the last.
	calm = 2 * time.Second
	// shortestFault and longestFault bound a fault's length.
	shortestFault, longestFault = time.Second, 12 * time.Second
	// widestGap is the longest mean time between the beginnings of two faults.
	widestGap = 4 * time.Second
	// shortestStep and longestStep bound a step of a clock.
	shortestStep, longestStep = 2 * time.Minute, 3 * time.Hour
	// actsPerSecond is how often somebody begins to do something.
	actsPerSecond = 3
)

// plan is all that is drawn from the seed.
type plan struct {
	seed   uint64
	length time.Duration
	faults []event
	acts   []act
}

// newPlan draws a plan. It is a function of its arguments alone.
func newPlan(seed uint64, length time.Duration) plan {
	return plan{
		seed: seed, length: length,
		faults: drawFaults(rand.New(rand.NewPCG(seed, 1)), length),
		acts:   drawActs(rand.New(rand.NewPCG(seed, 2)), length),
	}
}

// drawFaults deals the whole deck, again and again, so that every sort has its turn.
func drawFaults(random *rand.Rand, length time.Duration) (faults []event) {
	gap := min(widestGap, (length-2*calm)/time.Duration(len(deck())))
	longest := max(shortestFault+time.Second, min(longestFault, 3*gap))
	free := make(map[string]time.Duration) // when a place is
	for at := calm; ; {
		cards := deck()
		random.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
		for _, e := range cards {
			e.length = between(random, shortestFault, longest)
			e.which = random.IntN(replicas)
			if e.step != 0 {
				e.step *= between(random, shortestStep, longestStep).Round(time.Second)
			}
			e.at = max(at, free[e.place()])
			if at > length-calm {
				slices.SortStableFunc(faults, func(a, b event) int { return int(a.at - b.at) })
				return faults
			}
			if e.end() <= length-calm {
				free[e.place()] = e.end() + time.Second/2
				faults = append(faults, e)
			}
			at += between(random, gap/2, gap+gap/2)
		}
	}
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(random.Int64N(int64(most-least)+1))).Round(time.Millisecond)
}

// steps says whether a clock is ever wrong.
func (p plan) steps() bool {
	return slices.ContainsFunc(p.faults, func(e event) bool { return e.step != 0 })
}

// ahead is how far all clocks are ahead together: only then is access ended before its
// time, since a process whose clock is not the database's ends nothing.
func (p plan) ahead() (most time.Duration) {
	for _, e := range p.faults {
		if e.kind == stepAll {
			most = max(most, e.step)
		}
	}
	return most
}

// without leaves out the faults of some kinds, and returns how many those were.
func (p plan) without(kinds ...kind) (plan, int) {
	kept := slices.DeleteFunc(slices.Clone(p.faults), func(e event) bool { return slices.Contains(kinds, e.kind) })
	left := len(p.faults) - len(kept)
	p.faults = kept
	return p, left
}

// print writes the schedule of the faults, and how much of each act there is.
func (p plan) print(out io.Writer) {
	fmt.Fprintf(out, "%d faults in %s:\n", len(p.faults), p.length)
	for _, e := range p.faults {
		fmt.Fprintf(out, "  %6.1f s  for %4.1f s  %s\n", e.at.Seconds(), e.length.Seconds(), e)
	}
	counts := make(map[deed]int)
	for _, a := range p.acts {
		counts[a.deed]++
	}
	fmt.Fprintf(out, "%d acts:", len(p.acts))
	for _, s := range deeds() {
		fmt.Fprintf(out, " %d %s;", counts[s.deed], s.deed)
	}
	fmt.Fprintln(out)
}
