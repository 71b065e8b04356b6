package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sallyport/tests/load"
)

// crashes says what happens while updates arrive.
type crashes struct {
	perSecond int
	lasts     time.Duration
	kills     []time.Duration // from the beginning
	payers    int
	starts    int // that are measured afterwards
}

const (
	// lanesAtOnce is how many updates the shop has in hand: whoever was answered right
	// before a kill may be answered once more.
	lanesAtOnce = 32
	startBar    = 250 * time.Millisecond
	// recovery is when what is not done by then is given up.
	recovery = time.Minute
)

// crash kills the shop while updates arrive and customers pay.
func crash(ctx context.Context, o options, c crashes) (r result, err error) {
	s, err := open(ctx, o, stage{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	others, err := s.invite(ctx, c.payers, 0, 0)
	if err != nil {
		return r, err
	}
	s.world.Telegram.TakeRecord()
	paying := make(chan *visits, 1)
	go func() { paying <- others.visit(ctx, c.lasts) }()
	sent, err := s.underFire(ctx, c)
	if err != nil {
		return r, err
	}
	ended := time.Now()
	paid := <-paying
	if err := s.settled(ctx, c); err != nil {
		return r, err
	}
	r.say("%d updates at %d a second and %d payments, killed %d times: all done %s after the last update",
		sent, c.perSecond, c.payers, len(c.kills), load.Brief(time.Since(ended)))
	r.lost = append(r.lost, paid.late...)
	if err := s.afterCrash(ctx, &r, c, sent); err != nil {
		return r, err
	}
	r.judge(fmt.Sprintf("kill -9 at %d/s: nothing answered 200 is lost, nothing is done twice", c.perSecond), fmt.Sprintf("%d", len(r.lost)), len(r.lost) == 0)
	return r, s.starts(ctx, &r, c.starts)
}

// underFire has newcomers write at the pace, and kills the shop at its moments.
func (s *scene) underFire(ctx context.Context, c crashes) (sent int, err error) {
	tick := time.NewTicker(time.Second / time.Duration(c.perSecond))
	defer tick.Stop()
	began := time.Now()
	kills := c.kills
	for ; time.Since(began) < c.lasts; sent++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return sent, ctx.Err()
		}
		if err := load.Person(s.world, firstNewcomer+int64(sent)).Write("/start"); err != nil {
			return sent, err
		}
		if len(kills) > 0 && time.Since(began) > kills[0] {
			kills = kills[1:]
			if err := s.product(ctx, "kill"); err != nil {
				return sent, err
			}
		}
	}
	return sent, nil
}

// settled waits until nothing is owed.
func (s *scene) settled(ctx context.Context, c crashes) error {
	return until(ctx, "all to be done", recovery, func() (bool, error) {
		if s.world.Telegram.Pending()+s.world.CryptoPay.Pending() > 0 {
			return false, nil
		}
		owed, err := s.count(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting')
			+ (SELECT count(*) FROM river_job WHERE kind IN ('converge_user', 'converge_users', 'converge_node', 'notify', 'open_invoice') AND finalized_at IS NULL)
			+ $1 - (SELECT count(*) FROM orders WHERE delivered_at IS NOT NULL)`, c.payers)
		return owed == 0, err
	})
}

// afterCrash compares what Telegram was told with what is in the books and the chats.
func (s *scene) afterCrash(ctx context.Context, r *result, c crashes, sent int) error {
	var taken []int64
	for _, d := range s.world.Telegram.TakeRecord().Deliveries {
		if d.Taken {
			taken = append(taken, d.Update)
		}
	}
	for _, check := range []struct {
		what, query string
		want        int
		arg         any
	}{
		{"updates that were answered 200 are handled", `SELECT count(*) FROM inbox WHERE update_id = ANY($1) AND state = 'done'`, len(taken), taken},
		{"newcomers are handled once", `SELECT count(DISTINCT lane) FROM inbox WHERE lane >= $1 AND state = 'done'`, sent, firstNewcomer},
		{"updates of newcomers are kept", `SELECT count(*) FROM inbox WHERE lane >= $1`, sent, firstNewcomer},
		{"newcomers are customers", `SELECT count(*) FROM users WHERE id >= $1`, sent, firstNewcomer},
		{"payments are settled", `SELECT count(*) FROM payment_events WHERE outcome = 'settled' AND $1 >= 0`, c.payers, 0},
		{"events are flagged", `SELECT count(*) FROM payment_events WHERE outcome = 'flagged' AND $1 >= 0`, 0, 0},
		{"sales are in the ledger", `SELECT count(*) FROM ledger_postings WHERE kind = 'sale' AND $1 >= 0`, c.payers, 0},
		{"subscriptions have one period", `SELECT count(*) FROM subscriptions WHERE status = 'active' AND $1 >= 0
			AND expires_at BETWEEN now() + interval '29 days' AND now() + interval '31 days'`, c.payers, 0},
	} {
		n, err := s.count(ctx, check.query, check.arg)
		if err != nil {
			return err
		}
		if n != check.want {
			r.lose("%d %s, want %d", n, check.what, check.want)
		}
	}
	unanswered, twice := s.answers(sent)
	r.say("%d of %d newcomers saw their answer twice: it was in hand when the shop was killed", twice, sent)
	if most := lanesAtOnce * len(c.kills); unanswered > 0 || twice > most {
		r.lose("%d newcomers have no answer, %d were answered twice, at most %d were in hand", unanswered, twice, most)
	}
	return nil
}

// starts measures how long the shop takes from its start to its first durable answer.
func (s *scene) starts(ctx context.Context, r *result, n int) error {
	var took load.Times
	for i := range n {
		if err := s.product(ctx, "stop"); err != nil {
			return err
		}
		update := 2_000_000_000 + i
		began := time.Now()
		if err := s.product(ctx, "start"); err != nil {
			return err
		}
		if err := s.knock(ctx, update); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if stored, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE update_id = $1`, update); err != nil || stored != 1 {
			return errors.Join(err, fmt.Errorf("update %d was answered 200 and is not stored", update))
		}
	}
	r.say("start to the first durable 200: p50 %s, max %s of %d", load.Brief(took.P50()), load.Brief(took.Max()), n)
	r.judgeTime("start to the first durable 200 at most 250 ms, on a migrated database (median)", load.Brief(took.P50()), took.P50() <= startBar)
	return nil
}

// knock delivers an update as Telegram does, until it is taken.
func (s *scene) knock(ctx context.Context, update int) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ready := s.world.Ready()
	body := fmt.Sprintf(`{"update_id":%d,"message":{"message_id":1,"date":1,"from":{"id":%d,"first_name":"K"},"chat":{"id":%d,"type":"private"},"text":"/start"}}`,
		update, firstPayer, firstPayer)
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, ready.AppURL+ready.WebhookPath, bytes.NewReader([]byte(body)))
		if err != nil {
			return fmt.Errorf("knock: %w", err)
		}
		request.Header.Set("X-Telegram-Bot-Api-Secret-Token", ready.WebhookSecret)
		response, err := client.Do(request)
		if err != nil {
			if !strings.Contains(err.Error(), "refused") && ctx.Err() == nil {
				return fmt.Errorf("knock: %w", err)
			}
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body) // it is empty
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("knock: %w", ctx.Err())
}
