package workers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sallyport/shop"
)

func TestEveryKindOfErrorHasItsVerdict(t *testing.T) {
	t.Parallel()
	once, often := &rivertype.JobRow{MaxAttempts: 1, CreatedAt: time.Now()}, &rivertype.JobRow{MaxAttempts: 12, CreatedAt: time.Now()}
	for _, c := range []struct {
		name    string
		job     *rivertype.JobRow
		err     error
		outcome string
		snoozed time.Duration // at least
	}{
		{"success", often, nil, "done", 0},
		{"a dependency is down", often, fmt.Errorf("ask: %w", shop.Unavailable(errors.New("refused"))), "waiting", 2 * time.Second},
		{"a dependency has been down for minutes", &rivertype.JobRow{MaxAttempts: 12, CreatedAt: time.Now().Add(-time.Hour)}, shop.Unavailable(errors.New("x")), "waiting", 20 * time.Second},
		{"a limit", often, shop.Limited(7*time.Second, errors.New("429")), "waiting", 7 * time.Second},
		{"a limit of an hour", often, shop.Limited(time.Hour, errors.New("429")), "waiting", time.Minute},
		{"a fault of ours", often, errors.New("bug"), "failed", 0},
		{"something that is gone", often, shop.ErrUnknownOrder, "dropped", 0},
		{"the end of the process", often, fmt.Errorf("stop: %w", context.Canceled), "handed_back", 0},
		{"a tick that finds a node down", once, shop.Unavailable(errors.New("refused")), "left_to_next_tick", 0},
		{"a tick with a fault of ours", once, errors.New("bug"), "failed", 0},
	} {
		outcome, verdict := decide(c.job, c.err)
		if outcome != c.outcome || (verdict == nil) != (c.err == nil) {
			t.Errorf("%s: %s, %v", c.name, outcome, verdict)
		}
		snooze, ok := errors.AsType[*river.JobSnoozeError](verdict)
		if ok != (c.snoozed > 0) || ok && (snooze.Duration < c.snoozed || snooze.Duration > c.snoozed*3/2) {
			t.Errorf("%s: waits %v", c.name, snooze)
		}
		_, cancelled := errors.AsType[*river.JobCancelError](verdict)
		if want := c.job == once && c.err != nil || outcome == "dropped"; cancelled != want {
			t.Errorf("%s: given up: %v", c.name, cancelled)
		}
	}
}

// Whatever level is asked for, the queue's own lines below a warning are left out, and
// nothing is complained of.
func TestTheQueueIsQuietAtEveryLevel(t *testing.T) {
	t.Parallel()
	for _, level := range []zapcore.Level{zap.DebugLevel, zap.InfoLevel, zap.WarnLevel, zap.ErrorLevel} {
		core, seen := observer.New(level)
		var complaints bytes.Buffer
		log := queueLogger(zap.New(core, zap.ErrorOutput(zapcore.AddSync(&complaints))))
		for _, spoken := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(t.Context(), spoken, "x")
		}
		want := 2
		if level > zap.WarnLevel {
			want = 1
		}
		if seen.Len() != want || complaints.Len() > 0 {
			t.Errorf("at %s: %d lines, want %d; %s", level, seen.Len(), want, complaints.String())
		}
	}
}
