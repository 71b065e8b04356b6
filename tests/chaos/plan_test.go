package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestThePlanIsAFunctionOfSeedAndLength(t *testing.T) {
	t.Parallel()
	printed := func(seed uint64, length time.Duration) string {
		var out bytes.Buffer
		newPlan(seed, length).print(&out)
		return out.String()
	}
	once := newPlan(7, time.Minute)
	if diff := cmp.Diff(once, newPlan(7, time.Minute), cmp.AllowUnexported(plan{}, event{}, act{})); diff != "" {
		t.Errorf("the same seed gave another plan:\n%s", diff)
	}
	if printed(7, time.Minute) == printed(8, time.Minute) || printed(7, time.Minute) == printed(7, 2*time.Minute) {
		t.Error("other arguments gave the same plan")
	}
}

func TestEveryPlanKeepsItsBounds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		for _, length := range []time.Duration{45 * time.Second, time.Minute, 5 * time.Minute} {
			p := newPlan(seed, length)
			busy := make(map[string]time.Duration)
			for _, e := range p.faults {
				if e.at < calm || e.end() > length-calm || e.length < shortestFault || e.length > longestFault {
					t.Errorf("seed %d, %s: %s from %s for %s", seed, length, e, e.at, e.length)
				}
				if e.at < busy[e.place()] {
					t.Errorf("seed %d, %s: two faults of %s overlap", seed, length, e.place())
				}
				busy[e.place()] = e.end()
			}
			for _, a := range p.acts {
				if a.deed == "" || a.at > length+time.Second {
					t.Errorf("seed %d, %s: %+v", seed, length, a)
				}
			}
		}
	}
}

func TestAPlanOfAMinuteHasMostSortsOfFaultsAndOfFiveMinutesAll(t *testing.T) {
	t.Parallel()
	for length, most := range map[time.Duration]int{time.Minute: 8, 5 * time.Minute: 0} {
		for seed := range uint64(50) {
			missing := absent(newPlan(seed, length))
			if len(missing) > most {
				t.Errorf("seed %d, %s: missing %v", seed, length, missing)
			}
		}
	}
}
