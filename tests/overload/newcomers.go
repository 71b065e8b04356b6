package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/sandbox/telegram"
	"sallyport/tests/load"
)

// crowd says how many come, and how many others pay.
type crowd struct {
	newcomers int
	calm      int     // payers before
	storm     int     // payers meanwhile
	perSecond float64 // payments
	limits    bool    // Telegram's are on, so that most answers must wait
}

func fullCrowd() crowd { return crowd{newcomers: 20_000, calm: 60, storm: 120, perSecond: 5} }

// answerLimit is when newcomers without an answer are given up.
const answerLimit = 5 * time.Minute

// The promises.
const (
	usualSpeed = 1.5                    // of the calm
	keyBar     = 250 * time.Millisecond // the promise of pay to connected
)

// newcomers come all at once while others pay.
func newcomers(ctx context.Context, o options, c crowd) (r result, err error) {
	s, err := open(ctx, o, stage{limits: c.limits})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	p, err := s.invite(ctx, c.calm+c.storm)
	if err != nil {
		return r, fmt.Errorf("those who pay: %w", err)
	}
	calm := p.pay(ctx, c.calm, c.perSecond)
	s.world.Telegram.TakeRecord()
	scales := s.weigh(ctx)
	began := time.Now()
	paying := make(chan paid, 1)
	go func() { paying <- p.pay(ctx, c.storm, c.perSecond) }()
	if err := s.arrive(c.newcomers); err != nil {
		return r, err
	}
	if err := s.taken(ctx); err != nil {
		return r, err
	}
	taken := time.Since(began)
	if !c.limits {
		err = s.answered(ctx, c.newcomers)
	}
	answered := time.Since(began)
	storm := <-paying
	peak, _ := scales.end()
	if err != nil {
		return r, err
	}
	r.tellCrowd(c, s.world.Telegram.TakeRecord(), taken, answered, peak)
	r.tellPaid(c, calm, storm)
	return r, s.missing(ctx, &r, c)
}

// arrive has everybody press /start.
func (s *scene) arrive(n int) error {
	for i := range int64(n) {
		if err := load.Person(s.world, firstNewcomer+i).Write("/start"); err != nil {
			return err
		}
	}
	return nil
}

// taken waits until Telegram has told the shop of everything.
func (s *scene) taken(ctx context.Context) error {
	return until(ctx, "the deliveries", answerLimit, func() (bool, error) { return s.world.Telegram.Pending() == 0, nil })
}

// answered waits until nothing waits in the inbox.
func (s *scene) answered(ctx context.Context, n int) error {
	return until(ctx, "the answers", answerLimit, func() (bool, error) {
		done, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE lane >= $1 AND state <> 'waiting'`, firstNewcomer)
		return done >= n, err
	})
}

// newcomer says whether it is the chat of one.
func newcomer(key string) bool {
	id, err := strconv.ParseInt(strings.TrimPrefix(key, "chat:"), 10, 64)
	return err == nil && id >= firstNewcomer
}

// tellCrowd says how the newcomers were received.
func (r *result) tellCrowd(c crowd, record telegram.Record, taken, answered time.Duration, peak float64) {
	var took load.Times
	refused := 0
	for _, d := range record.Deliveries {
		switch {
		case !newcomer(d.Person):
		case d.Taken:
			took = append(took, d.Took)
		default:
			refused++
		}
	}
	r.say("%d newcomers: acknowledged within %s, p50 %s, p99 %s, max %s each; %d deliveries not taken at first",
		c.newcomers, load.Brief(taken), load.Brief(took.P50()), load.Brief(took.P99()), load.Brief(took.Max()), refused)
	if !c.limits {
		r.say("all answered within %s, %.0f a second", load.Brief(answered), float64(c.newcomers)/answered.Seconds())
	}
	r.say("memory (PSS) at most %.0f MB", peak)
}

// tellPaid says how others paid meanwhile.
func (r *result) tellPaid(c crowd, calm, storm paid) {
	for _, one := range []struct {
		when string
		paid
	}{{"calm", calm}, {"meanwhile", storm}} {
		r.say("%-10s %d paid: callback taken p50 %s, p99 %s; key p50 %s, p99 %s", one.when, len(one.key),
			load.Brief(one.settled.P50()), load.Brief(one.settled.P99()), load.Brief(one.key.P50()), load.Brief(one.key.P99()))
		r.lost = append(r.lost, one.late...)
	}
	name := fmt.Sprintf("%d newcomers", c.newcomers)
	if c.limits {
		name += ", Telegram's limits on"
	}
	limit := max(keyBar, time.Duration(usualSpeed*float64(calm.key.P99())))
	r.judge(name+": payments at their usual speed (key p99 at most 250 ms, or 1.5 x calm)",
		fmt.Sprintf("%s, calm %s", load.Brief(storm.key.P99()), load.Brief(calm.key.P99())), len(storm.late) == 0 && storm.key.P99() <= limit)
}

// missing looks for newcomers who were forgotten.
func (s *scene) missing(ctx context.Context, r *result, c crowd) error {
	before := len(r.lost)
	for _, check := range []struct {
		what, query string
		want        int
	}{
		{"newcomers are in the inbox", `SELECT count(DISTINCT lane) FROM inbox WHERE lane >= $1`, c.newcomers},
		{"of their updates are neither handled nor waiting", `SELECT count(*) FROM inbox WHERE lane >= $1 AND state NOT IN ('done', 'waiting')`, 0},
		{"of them are done and no customers", `SELECT count(*) FROM inbox WHERE lane >= $1 AND state = 'done' AND lane NOT IN (SELECT id FROM users)`, 0},
	} {
		n, err := s.count(ctx, check.query, firstNewcomer)
		if err != nil {
			return err
		}
		if n != check.want {
			r.lose("%d %s, want %d", n, check.what, check.want)
		}
	}
	waiting, err := s.count(ctx, `SELECT count(*) FROM inbox WHERE lane >= $1 AND state = 'waiting'`, firstNewcomer)
	if err != nil {
		return err
	}
	unanswered, twice := s.answers(c.newcomers)
	if unanswered > waiting || twice > 0 {
		r.lose("%d newcomers have no answer, %d of them are owed one; %d were answered twice", unanswered, waiting, twice)
	}
	if waiting > 0 {
		r.say("%d answered so far, %d are owed an answer", c.newcomers-unanswered, waiting)
	}
	r.judge(fmt.Sprintf("%d newcomers: none lost, none answered twice", c.newcomers), fmt.Sprintf("%d lost", len(r.lost)-before), len(r.lost) == before)
	return nil
}

// answers looks into the chats of the newcomers.
func (s *scene) answers(n int) (none, twice int) {
	for i := range int64(n) {
		shown := 0
		for _, m := range s.world.Telegram.Chat(firstNewcomer + i).Messages {
			if m.FromBot {
				shown++
			}
		}
		if shown == 0 {
			none++
		}
		if shown > 1 {
			twice++
		}
	}
	return none, twice
}
