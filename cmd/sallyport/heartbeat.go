package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/outbound"
)

const (
	// heartbeatEvery is how often HEARTBEAT_URL is told that the shop is well.
	heartbeatEvery = time.Minute
	// heartbeatBudget bounds one word.
	heartbeatBudget = 10 * time.Second
)

// heartbeat tells somebody outside that the shop is well, for as long as it is: when
// nothing comes any more, they tell the operator what the shop cannot tell by itself.
type heartbeat struct {
	url    secret // whoever has it can speak for us
	host   *outbound.Host
	report func() api.Report // the last that was made; empty if that is long ago
	onDuty func() bool
	log    *zap.Logger
}

// isWell says whether the shop would be heard if something were wrong: it looks at
// itself, the database answers, and the operator can be told.
func isWell(r api.Report) bool {
	if r.State == "" || r.State == api.StateFail {
		return false
	}
	operator, telegram := r.Components["operator"], r.Components["telegram"]
	return (operator.State == "" || operator.State == api.StateOK) && telegram.State != api.StateFail
}

// beat says one word.
func (h heartbeat) beat(ctx context.Context) error {
	return h.host.Do(ctx, "beat", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(h.url), http.NoBody)
		if err != nil {
			return errors.New("HEARTBEAT_URL is no address") // the cause quotes it
		}
		answer, err := h.host.HTTP().Do(request)
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			return wrapped.Err // without the address
		}
		if err != nil {
			return errors.New("no answer")
		}
		defer answer.Body.Close()
		if answer.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("answered %d", answer.StatusCode)
		}
		return nil
	})
}

// run beats until ctx ends.
func (h heartbeat) run(ctx context.Context, every <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-every:
		}
		switch {
		case !h.onDuty():
		case !isWell(h.report()):
			h.log.Warn("no heartbeat: the shop is not well, or cannot tell its operator")
		default:
			if err := h.beat(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("heartbeat not told", zap.NamedError("err", err))
			}
		}
	}
}

// keepHeartbeat beats until ctx ends, if there is anybody to be told.
func (p *program) keepHeartbeat(ctx context.Context) {
	if p.config.Heartbeat == "" {
		return
	}
	tick := time.NewTicker(min(heartbeatEvery, 6*p.config.WatchEvery))
	defer tick.Stop()
	heartbeat{
		url: p.config.Heartbeat, host: p.hosts["heartbeat"], report: p.watch.Last, onDuty: p.eldest.Load, log: p.log.Named("heartbeat"),
	}.run(ctx, tick.C)
}
