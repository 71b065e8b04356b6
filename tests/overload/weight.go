package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport/tests/load"
)

// weight says how much there is when the memory is looked at.
type weight struct {
	waiting   int // updates in the inbox
	perSecond int // that arrive meanwhile
	lasts     time.Duration
	writers   int // whom they come from

	subscriptions int
	quiet         time.Duration // before the memory of an idle shop is looked at
}

const (
	firstWaiting    = 6_000_000
	firstWriter     = 20_000_000
	firstSubscriber = 30_000_000
	waitingBar      = 100.0 // MB
	idleBar         = 40.0
	fillLimit       = 5 * time.Minute
)

// fullInbox weighs the shop while it is told of more than it can answer, with many
// updates waiting already: Telegram's limits are on.
func fullInbox(ctx context.Context, o options, h weight) (r result, err error) {
	s, err := open(ctx, o, stage{limits: true})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.fillInbox(ctx, h.waiting); err != nil {
		return r, err
	}
	s.world.Telegram.TakeRecord()
	scales := s.weigh(ctx)
	if err := s.write(ctx, h); err != nil {
		return r, err
	}
	if err := s.taken(ctx); err != nil {
		return r, err
	}
	peak, last := scales.end()
	r.say("%d updates wait, %d a second arrive for %s: memory (PSS) at most %.0f MB, at the end %.0f MB", h.waiting, h.perSecond, h.lasts, peak, last)
	r.judge(fmt.Sprintf("memory at %d/s with %d updates waiting at most %.0f MB", h.perSecond, h.waiting, waitingBar), fmt.Sprintf("%.0f MB", peak), peak <= waitingBar)
	return r, s.tellInbox(ctx, &r)
}

// fillInbox has so many people wait for an answer.
func (s *scene) fillInbox(ctx context.Context, n int) error {
	return s.sql(ctx, fmt.Sprintf(`INSERT INTO inbox (update_id, lane, kind, body)
		SELECT 3000000000 + n, %[1]d + n, 'message', convert_to(format('{"update_id":%%s,"message":{"message_id":1,'
			'"from":{"id":%%s,"is_bot":false,"first_name":"Anna","last_name":"Example","username":"annaexample","language_code":"en"},'
			'"chat":{"id":%%s,"first_name":"Anna","last_name":"Example","username":"annaexample","type":"private"},'
			'"date":1790000000,"text":"/start","entities":[{"offset":0,"length":6,"type":"bot_command"}]}}',
			3000000000 + n, %[1]d + n, %[1]d + n), 'UTF8')
		FROM generate_series(0, %[2]d - 1) n`, firstWaiting, n), `ANALYZE inbox`)
}

// tellInbox compares what was acknowledged with what is there.
func (s *scene) tellInbox(ctx context.Context, r *result) error {
	var took load.Times
	refused := 0
	for _, d := range s.world.Telegram.TakeRecord().Deliveries {
		took = append(took, d.Took)
		if !d.Taken {
			refused++
		}
	}
	waiting, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE state = 'waiting'`)
	if err != nil {
		return err
	}
	kept, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE lane >= $1`, firstWriter)
	if err != nil {
		return err
	}
	r.say("acknowledged p50 %s, p99 %s, %d not taken at first; %d wait at the end", load.Brief(took.P50()), load.Brief(took.P99()), refused, waiting)
	if kept != len(took)-refused {
		r.lose("%d updates were answered 200 and %d are in the inbox", len(took)-refused, kept)
	}
	return nil
}

// write has the writers write, one after another at the pace.
func (s *scene) write(ctx context.Context, h weight) error {
	const ticks = 100 // a second
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	began := time.Now()
	for sent := 0; time.Since(began) < h.lasts; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for due := int(time.Since(began).Seconds() * float64(h.perSecond)); sent < due; sent++ {
			if err := load.Person(s.world, firstWriter+int64(sent%h.writers)).Write("/start"); err != nil {
				return err
			}
		}
	}
	return nil
}

// idle weighs a shop that has many customers, all let in, and nothing to do.
func idle(ctx context.Context, o options, h weight) (r result, err error) {
	s, err := open(ctx, o, stage{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	err = s.sql(ctx, fmt.Sprintf(`INSERT INTO users (id, language, chosen) SELECT %d + n, 'en', true FROM generate_series(0, %d - 1) n`, firstSubscriber, h.subscriptions),
		`INSERT INTO subscriptions (user_id, plan, status, expires_at, updated_at)
		SELECT id, 'basic', 'active', now() + interval '1 day', now() - interval '1 day' FROM users`, `ANALYZE`)
	if err != nil {
		return r, err
	}
	scales := s.weigh(ctx)
	began := time.Now()
	if err := s.letIn(ctx, h.subscriptions); err != nil {
		return r, err
	}
	filled := time.Since(began)
	if err := sleep(ctx, h.quiet); err != nil {
		return r, err
	}
	peak, after := scales.end()
	fresh, err := s.freshStart(ctx, h)
	if err != nil {
		return r, err
	}
	r.say("%d subscriptions: all let in by an empty node within %s, memory (PSS) at most %.0f MB meanwhile", h.subscriptions, load.Brief(filled), peak)
	r.say("idle: %.0f MB %s after that, %.0f MB %s after a new start", after, h.quiet, fresh, h.quiet)
	r.judgeTime(fmt.Sprintf("memory idle with %d subscriptions at most %.0f MB", h.subscriptions, idleBar), fmt.Sprintf("%.0f MB", max(after, fresh)), max(after, fresh) <= idleBar)
	return r, nil
}

// freshStart weighs the shop when it has started anew and was quiet for a while.
func (s *scene) freshStart(ctx context.Context, h weight) (float64, error) {
	for _, order := range []string{"stop", "start"} {
		if err := s.product(ctx, order); err != nil {
			return 0, err
		}
	}
	if err := s.letIn(ctx, h.subscriptions); err != nil {
		return 0, err
	}
	if err := sleep(ctx, h.quiet); err != nil {
		return 0, err
	}
	return pss(s.world.Ready().ProductPID)
}

// letIn waits until the shop has seen that the node lets everybody in.
func (s *scene) letIn(ctx context.Context, n int) error {
	seen := fmt.Sprintf(`sallyport_node_users{node="local"} %s`, strconv.FormatFloat(float64(n), 'g', -1, 64))
	return until(ctx, "the node to be full", fillLimit, func() (bool, error) {
		page, status, err := load.Get(ctx, http.DefaultClient, s.world.Ready().AppURL+"/metrics")
		return err == nil && status == http.StatusOK && strings.Contains(string(page), seen), nil // one that starts has no page yet
	})
}

// sleep lets time pass: what is measured is what is left after it.
func sleep(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
