package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport/tests/load"
)

const row = "%-16s %7s %7s %7s  %7s %7s %7s %6s %6s  %7s %6s  %-24s %-24s %7s %8s\n"

func printHead(out io.Writer) {
	fmt.Fprintf(out, row, "", "webhook", "", "", "reply", "", "", "press", "", "healthz", "", "acquire wait", "longest hold", "most", "all done")
	fmt.Fprintf(out, row, "phase", "p50", "p99", "max", "p50", "p99", "max", "failed", "bought", "p99", "failed", "p99", "", "waiting", "after")
}

func printFigures(out io.Writer, f figures) {
	done := load.Brief(f.done)
	if f.owed != nil {
		done = "never"
	}
	fmt.Fprintf(out, row, f.phase.name, load.Brief(f.webhook.P50()), load.Brief(f.webhook.P99()), load.Brief(f.webhook.Max()),
		load.Brief(f.reply.P50()), load.Brief(f.reply.P99()), load.Brief(f.reply.Max()), fmt.Sprint(f.failed), fmt.Sprint(f.bought),
		load.Brief(f.health.P99()), fmt.Sprint(f.unwell), spans(f.wait), spans(f.hold), fmt.Sprint(f.waiting), done)
	if f.owed != nil {
		fmt.Fprintf(out, "%-16s %v\n", "", f.owed)
	}
	if late := longest(f.catchUp); late > holdBar {
		fmt.Fprintf(out, "%-16s while it caught up, connections were held: %s\n", "", spans(f.catchUp))
	}
	if f.retold > 0 {
		fmt.Fprintf(out, "%-16s %d deliveries were not taken at once\n", "", f.retold)
	}
}

// longest is that of all pools.
func longest(all map[string]span) (most time.Duration) {
	for _, s := range all {
		most = max(most, s.upTo)
	}
	return most
}

func spans(all map[string]span) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if s := all[name]; s.known {
			parts = append(parts, name+" "+strings.ReplaceAll(load.Brief(s.upTo), " ", ""))
		}
	}
	return strings.Join(parts, ", ")
}

// The promises.
const (
	pressBar  = 50 * time.Millisecond
	calmBar   = 1.5
	worstBar  = time.Second
	holdBar   = 103 * time.Millisecond // the bucket that ends after 100 ms
	doneBar   = 5 * time.Second
	burstBar  = time.Second
	healthBar = time.Second
)

// bars judges what was measured of the shop.
func bars(r report) (all []load.Bar) {
	calm := r.calm()
	for _, f := range r.phases {
		if f.phase.outside() {
			all = append(all, outsideBars(calm, f)...)
		}
	}
	if len(r.bursts) > 0 {
		worst, late := load.Times(r.bursts).Max(), load.Times(r.bursts).Over(burstBar)
		all = append(all, load.Judge(
			fmt.Sprintf("%d newcomers at once are answered within %s, in all of %d tries", newcomers, burstBar, len(r.bursts)),
			fmt.Sprintf("%d late, the last after %s", late, load.Brief(worst)), late == 0,
		))
	}
	return append(all, load.Judge("nothing is lost", fmt.Sprintf("%d", len(r.lost)), len(r.lost) == 0))
}

// calm puts the calm phases together.
func (r report) calm() (calm figures) {
	for _, f := range r.phases {
		if f.phase.calm() {
			calm.webhook, calm.reply = append(calm.webhook, f.webhook...), append(calm.reply, f.reply...)
		}
	}
	return calm
}

func outsideBars(calm, f figures) []load.Bar {
	in := f.phase.name + ": "
	all := []load.Bar{pressBars(in+"p99 of the acknowledgement", calm.webhook, f.webhook)}
	slow := f.webhook.Over(worstBar)
	if !f.deafness {
		all = append(all, pressBars(in+"p99 of the reply", calm.reply, f.reply))
		slow += f.reply.Over(worstBar)
	}
	held := longest(f.hold)
	return append(all,
		load.Judge(in+"no press takes over 1 s", fmt.Sprint(slow), slow == 0),
		load.Judge(in+"no press fails", fmt.Sprint(f.failed+f.retold), f.failed+f.retold == 0),
		load.Judge(in+"/healthz answers within 1 s, always", fmt.Sprintf("%d failed, max %s", f.unwell, load.Brief(f.health.Max())), f.unwell == 0 && f.health.Max() < healthBar),
		load.Judge(in+"no connection is held over 100 ms", "up to "+load.Brief(held), held <= holdBar),
		load.Judge(in+"everything owed is done within 5 s", load.Brief(f.done), f.owed == nil && f.done <= doneBar),
	)
}

func pressBars(what string, calm, now load.Times) load.Bar {
	limit := min(time.Duration(calmBar*float64(calm.P99())), pressBar)
	return load.Judge(
		fmt.Sprintf("%s at most %.1f x calm and %s", what, calmBar, pressBar),
		fmt.Sprintf("%s, calm %s", load.Brief(now.P99()), load.Brief(calm.P99())), now.P99() <= limit,
	)
}

// printHeadline sets the two shops side by side: how much longer a customer waits for
// a reply under each fault than in the calm. While Telegram hangs nobody can be
// answered, so that says nothing.
func printHeadline(out io.Writer, both ...report) {
	fmt.Fprintf(out, "\nReply p99 under each fault, as a multiple of the calm\n")
	for _, r := range both {
		if len(r.phases) == 0 {
			continue
		}
		fmt.Fprintf(out, "  %-22s", r.name)
		calm := r.calm().reply.P99()
		for _, f := range r.phases {
			if f.phase.calm() || f.deafness {
				continue
			}
			fmt.Fprintf(out, " %s %.1f x,", f.phase.name, float64(f.reply.P99())/float64(max(calm, 1)))
		}
		fmt.Fprintf(out, " calm %s\n", load.Brief(calm))
	}
}
