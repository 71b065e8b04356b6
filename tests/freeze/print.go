package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const row = "%-16s %7s %7s %7s  %7s %7s %7s %6s %6s  %7s %6s  %-24s %-24s %7s %8s\n"

func printHead(out io.Writer) {
	fmt.Fprintf(out, row, "", "webhook", "", "", "reply", "", "", "press", "", "healthz", "", "acquire wait", "longest hold", "most", "all done")
	fmt.Fprintf(out, row, "phase", "p50", "p99", "max", "p50", "p99", "max", "failed", "bought", "p99", "failed", "p99", "", "waiting", "after")
}

func printFigures(out io.Writer, f figures) {
	done := brief(f.done)
	if f.owed != nil {
		done = "never"
	}
	fmt.Fprintf(out, row, f.phase.name, brief(f.webhook.p50()), brief(f.webhook.p99()), brief(f.webhook.max()),
		brief(f.reply.p50()), brief(f.reply.p99()), brief(f.reply.max()), fmt.Sprint(f.failed), fmt.Sprint(f.bought),
		brief(f.health.p99()), fmt.Sprint(f.unwell), spans(f.wait), spans(f.hold), fmt.Sprint(f.waiting), done)
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

// brief writes a time to two or three digits.
func brief(d time.Duration) string {
	switch {
	case d == beyond:
		return "more"
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
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
			parts = append(parts, name+" "+strings.ReplaceAll(brief(s.upTo), " ", ""))
		}
	}
	return strings.Join(parts, ", ")
}

// bar is a promise and whether it was kept.
type bar struct {
	what, got string
	kept      bool
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
func bars(r report) (all []bar) {
	calm := r.calm()
	for _, f := range r.phases {
		if f.phase.outside() {
			all = append(all, outsideBars(calm, f)...)
		}
	}
	if len(r.bursts) > 0 {
		worst, late := times(r.bursts).max(), times(r.bursts).over(burstBar)
		all = append(all, bar{
			fmt.Sprintf("%d newcomers at once are answered within %s, in all of %d tries", newcomers, burstBar, len(r.bursts)),
			fmt.Sprintf("%d late, the last after %s", late, brief(worst)), late == 0,
		})
	}
	return append(all, bar{"nothing is lost", fmt.Sprintf("%d", len(r.lost)), len(r.lost) == 0})
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

func outsideBars(calm, f figures) []bar {
	in := f.phase.name + ": "
	all := []bar{pressBars(in+"p99 of the acknowledgement", calm.webhook, f.webhook)}
	slow := f.webhook.over(worstBar)
	if !f.deafness {
		all = append(all, pressBars(in+"p99 of the reply", calm.reply, f.reply))
		slow += f.reply.over(worstBar)
	}
	held := longest(f.hold)
	return append(all,
		bar{in + "no press takes over 1 s", fmt.Sprint(slow), slow == 0},
		bar{in + "no press fails", fmt.Sprint(f.failed + f.retold), f.failed+f.retold == 0},
		bar{in + "/healthz answers within 1 s, always", fmt.Sprintf("%d failed, max %s", f.unwell, brief(f.health.max())), f.unwell == 0 && f.health.max() < healthBar},
		bar{in + "no connection is held over 100 ms", "up to " + brief(held), held <= holdBar},
		bar{in + "everything owed is done within 5 s", brief(f.done), f.owed == nil && f.done <= doneBar},
	)
}

func pressBars(what string, calm, now times) bar {
	limit := min(time.Duration(calmBar*float64(calm.p99())), pressBar)
	return bar{
		fmt.Sprintf("%s at most %.1f x calm and %s", what, calmBar, pressBar),
		fmt.Sprintf("%s, calm %s", brief(now.p99()), brief(calm.p99())), now.p99() <= limit,
	}
}

func printBars(out io.Writer, r report) {
	fmt.Fprintln(out)
	for _, b := range bars(r) {
		verdict := "pass"
		if !b.kept {
			verdict = "MISS"
		}
		fmt.Fprintf(out, "  %s  %-78s %s\n", verdict, b.what, b.got)
	}
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
		calm := r.calm().reply.p99()
		for _, f := range r.phases {
			if f.phase.calm() || f.deafness {
				continue
			}
			fmt.Fprintf(out, " %s %.1f x,", f.phase.name, float64(f.reply.p99())/float64(max(calm, 1)))
		}
		fmt.Fprintf(out, " calm %s\n", brief(calm))
	}
}
