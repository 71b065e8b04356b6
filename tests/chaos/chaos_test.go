package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The seed is one whose short plan has every sort of fault.
const (
	shortSeed   = 11
	shortLength = 40 * time.Second
)

func TestAShortRunWithEverySortOfFaultLosesNothing(t *testing.T) {
	t.Parallel()
	if missing := absent(newPlan(shortSeed, shortLength)); len(missing) > 0 {
		t.Errorf("the plan lacks %v: choose another seed", missing)
	}
	var out bytes.Buffer
	err := chaos(t.Context(), options{seed: shortSeed, length: shortLength, root: filepath.Join("..", "..")}, &out)
	t.Logf("%s", &out)
	if err != nil {
		t.Error(err)
	}
}

// absent lists the sorts of faults that a plan lacks.
func absent(p plan) []event {
	missing := deck()
	for _, e := range p.faults {
		missing = slices.DeleteFunc(missing, func(card event) bool {
			return card.kind == e.kind && card.target == e.target && card.mode == e.mode && (card.step < 0) == (e.step < 0)
		})
	}
	return missing
}
