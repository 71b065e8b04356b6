package bot

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"sallyport/shop"
)

const (
	// pressLife is how long Telegram takes the answer to a pressed button.
	pressLife = 150 * time.Second
	// patience is how long an update that fails for a dependency's sake is tried,
	// however long it had waited before.
	patience = 15 * time.Minute
	// maxAttempts is how often an update that fails for our own fault is tried.
	maxAttempts = 5
	// maxPause bounds the wait between two tries.
	maxPause = 3 * time.Second
)

// try handles one update in a turn and stores what became of it; keep says, once that is
// known, whether to keep the lane for more.
func (l *Lanes) try(ctx context.Context, turn shop.Turn, u shop.Update, keep func() bool) laneState {
	start := time.Now()
	if u.Attempt == 0 {
		l.waited.Observe(start.Sub(u.ReceivedAt).Seconds())
	}
	state, after, err := l.handle(ctx, u)
	if ctx.Err() != nil {
		return laneIdle // handed back: it stays as it was
	}
	l.handled.WithLabelValues(u.Kind, state).Observe(time.Since(start).Seconds())
	l.report(u, state, time.Since(start), err)
	store, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("no answer from the inbox"))
	defer cancel()
	left := laneIdle
	if state == "retry" {
		err = l.cfg.Inbox.RetryUpdate(store, turn, u.ID, after, shop.KindOf(err) == shop.KindInternal, reasonOf(err))
	} else {
		left, err = l.end(store, turn, u.ID, state, reasonOf(err), keep())
	}
	switch {
	case err != nil:
		l.cfg.Logger.Error("update outcome not stored", zap.Int64("update_id", u.ID), zap.NamedError("err", err))
		time.AfterFunc(maxPause, func() { l.Wake(u.Lane, u.Urgent()) }) // it is handled once more
		return laneLost
	case state == "retry":
		time.AfterFunc(after, func() { l.Wake(u.Lane, u.Urgent()) })
	}
	return left
}

// end closes an update, within the lane's lease, and gives the lane back unless it is
// to be kept.
func (l *Lanes) end(ctx context.Context, turn shop.Turn, id int64, state, reason string, keep bool) (laneState, error) {
	if keep {
		return laneHeld, l.cfg.Inbox.CloseUpdate(ctx, turn, id, state, reason)
	}
	more, err := l.cfg.Inbox.CloseLane(ctx, turn, id, state, reason)
	if more {
		return laneDue, err
	}
	return laneGiven, err
}

func (l *Lanes) handle(ctx context.Context, u shop.Update) (state string, after time.Duration, err error) {
	age := time.Since(u.ReceivedAt)
	if u.Kind == shop.KindPress && age > pressLife {
		return "stale", 0, errors.New("telegram takes no answer any more")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, handleBudget, errors.New("update not handled in time"))
	defer cancel()
	err = guarded(ctx, u, l.cfg.Handle)
	state, after = verdict(u, err)
	return state, after, err
}

// guarded turns a panic into an error: one customer's odd update must not end the
// process for all.
func guarded(ctx context.Context, u shop.Update, handle func(context.Context, shop.Update) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{value: r}
		}
	}()
	return handle(ctx, u)
}

// verdict is the one table from a handler's error to what becomes of the update.
func verdict(u shop.Update, err error) (state string, after time.Duration) {
	pause := min(maxPause, 250*time.Millisecond+u.Trying/4)
	switch kind := shop.KindOf(err); {
	case err == nil, kind == shop.KindForbidden: // who has blocked us needs no answer
		return "done", 0
	case errors.Is(err, errFlood):
		return "stale", 0
	case kind == shop.KindLimited && u.Trying < patience: // there were too many: that is no fault of this one
		known, _ := errors.AsType[*shop.Error](err)
		return "retry", max(pause, min(known.RetryAfter, time.Minute))
	case kind == shop.KindLimited && u.Kind != shop.KindPayment: // an answer so late is none
		return "stale", 0
	case kind == shop.KindUnavailable && u.Trying < patience:
		return "retry", pause
	case kind == shop.KindInternal && u.Attempt+1 < maxAttempts:
		return "retry", pause
	default:
		return "dead", 0
	}
}

func (l *Lanes) report(u shop.Update, state string, took time.Duration, err error) {
	fields := []zap.Field{
		zap.Int64("update_id", u.ID), zap.Int64("user_id", u.Lane), zap.String("event", u.Kind),
		zap.String("outcome", state), zap.Int("attempt", u.Attempt), zap.Duration("dur", took),
	}
	switch {
	case state == "done":
		l.cfg.Logger.Debug("update handled", fields...)
	case errors.Is(err, errFlood):
		l.cfg.Logger.Debug("update left out", fields...) // who floods us need not flood the log
	case state == "dead":
		l.cfg.Logger.Error("update put aside", append(fields, zap.NamedError("err", err))...)
	default:
		l.cfg.Logger.Warn("update not handled", append(fields, zap.NamedError("err", err))...)
	}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	reason := strings.ReplaceAll(err.Error(), "\x00", "")
	return strings.ToValidUTF8(reason[:min(len(reason), 500)], "")
}

// panicError is a panic caught in a handler.
type panicError struct{ value any }

// Error names the panic.
func (p *panicError) Error() string {
	if err, ok := p.value.(error); ok {
		return "panic: " + err.Error()
	}
	return "panic in handler"
}
