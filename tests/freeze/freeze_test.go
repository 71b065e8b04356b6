package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"sallyport/tests/load"

	"go.uber.org/goleak"

	"sallyport/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tiny is a calm and a hung Xray, a few seconds each.
func tiny(program string) options {
	return options{
		program: program, calm: 2 * time.Second, fault: 4 * time.Second, bursts: 3,
		phases: []phase{{name: "calm"}, {name: "Xray hung", hung: []sandbox.Target{sandbox.XrayTarget}}},
	}
}

func TestTheShopLosesNothingAndAnswersWhileXrayHangs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	program, err := load.Program(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := measure(ctx, tiny(program), &out, startShop)
	t.Logf("%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range r.lost {
		t.Error("lost:", what)
	}
	hung := r.phases[1]
	if n := hung.reply.Over(worstBar) + hung.webhook.Over(worstBar); n != 0 {
		t.Errorf("%d presses took over %s while Xray hung, up to %s", n, worstBar, hung.reply.Max())
	}
	if hung.failed+hung.retold+hung.unwell != 0 {
		t.Errorf("%d presses failed, %d deliveries were not taken, /healthz failed %d times", hung.failed, hung.retold, hung.unwell)
	}
	if hung.owed != nil || hung.bought == 0 || len(hung.reply) < 50 {
		t.Errorf("%d bought, %d presses, %v", hung.bought, len(hung.reply), hung.owed)
	}
	if len(r.bursts) != 3 {
		t.Errorf("%d bursts", len(r.bursts))
	}
}

// The model is worth its comparison only if it works as long as nothing is wrong.
func TestTheModelSellsWhileNothingIsWrong(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	o := tiny("")
	o.phases, o.bursts = o.phases[:1], 0
	var out bytes.Buffer
	r, err := measure(ctx, o, &out, startModel)
	t.Logf("%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	calm := r.phases[0]
	if calm.owed != nil || calm.failed != 0 || calm.bought == 0 || len(calm.reply) < 40 {
		t.Errorf("%d bought, %d presses, %d failed, %v", calm.bought, len(calm.reply), calm.failed, calm.owed)
	}
}

func TestPartsOfTimes(t *testing.T) {
	t.Parallel()
	var all load.Times
	if all.P99() != 0 || all.Max() != 0 {
		t.Error("no times have a length")
	}
	for n := range 200 {
		all = append(all, time.Duration(200-n))
	}
	if all.P50() != 100 || all.P99() != 198 || all.Max() != 200 || all.Over(198) != 2 {
		t.Errorf("%d %d %d %d", all.P50(), all.P99(), all.Max(), all.Over(198))
	}
}

func TestHistogramsAreReadByDifference(t *testing.T) {
	t.Parallel()
	before := histogram{1: 10, 4: 20, load.Beyond: 20}
	after := histogram{1: 11, 4: 119, load.Beyond: 120}
	d := after.less(before)
	if got := d.at(0.99); got.upTo != 4 || !got.known {
		t.Errorf("99 of 100: %+v", got)
	}
	if got := d.at(1); got.upTo != load.Beyond {
		t.Errorf("all: %+v", got)
	}
	if got := d.less(d).at(1); got.known {
		t.Errorf("of none: %+v", got)
	}
}

func TestBarsTellAKeptPromiseFromABrokenOne(t *testing.T) {
	t.Parallel()
	fine := load.Times{10 * time.Millisecond}
	good := report{phases: []figures{
		{phase: phase{name: "calm"}, webhook: fine, reply: fine},
		{phase: phase{name: "hung", hung: []sandbox.Target{sandbox.XrayTarget}}, webhook: fine, reply: fine, health: fine},
	}, bursts: fine}
	for _, b := range bars(good) {
		if !b.Kept {
			t.Errorf("%s: %s", b.What, b.Got)
		}
	}
	bad := report{phases: []figures{good.phases[0], {
		phase: good.phases[1].phase, webhook: load.Times{2 * time.Second}, reply: load.Times{2 * time.Second}, failed: 1, unwell: 1,
		hold: map[string]span{"dialogs": {upTo: time.Second, known: true}}, done: time.Minute,
	}}, bursts: load.Times{2 * time.Second}, lost: []string{"a payment"}}
	for _, b := range bars(bad) {
		if b.Kept {
			t.Errorf("%s: %s", b.What, b.Got)
		}
	}
	var out bytes.Buffer
	load.PrintBars(&out, bars(bad))
	if strings.Contains(out.String(), "pass") || !strings.Contains(out.String(), "MISS") {
		t.Error(out.String())
	}
}
