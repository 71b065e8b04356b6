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

// crowd says how many come, and how many others pay meanwhile.
type crowd struct {
	newcomers               int
	payers, stars, choosers int           // before, and as many times busy meanwhile
	busy                    int           //
	within                  time.Duration // in which as many as before act
	limits                  bool          // Telegram's are on, so that most answers must wait
}

// name tells the crowd apart from others.
func (c crowd) name() string {
	if c.limits {
		return fmt.Sprintf("%d newcomers, Telegram's limits on", c.newcomers)
	}
	return fmt.Sprintf("%d newcomers", c.newcomers)
}

func fullCrowd() crowd {
	return crowd{newcomers: 20_000, payers: 50, stars: 20, choosers: 20, busy: 2, within: 10 * time.Second}
}

// limitedCrowd is the same with Telegram's limits on: answering takes over ten minutes.
func limitedCrowd() crowd {
	return crowd{newcomers: 20_000, payers: 16, stars: 8, choosers: 8, busy: 2, within: 10 * time.Second, limits: true}
}

// answerLimit is when newcomers without an answer are given up.
const answerLimit = 5 * time.Minute

// The promises.
const (
	usualSpeed = 1.5                    // of the calm
	keyBar     = 250 * time.Millisecond // the promise of pay to connected
	aheadBar   = time.Second            // of what passes a lane, besides what Telegram takes to deliver
)

// newcomers come all at once while others pay.
func newcomers(ctx context.Context, o options, c crowd) (r result, err error) {
	s, err := open(ctx, o, stage{limits: c.limits})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	m := 1 + c.busy
	all, err := s.invite(ctx, m*c.payers, m*c.stars, m*c.choosers)
	if err != nil {
		return r, fmt.Errorf("those who pay: %w", err)
	}
	calm := all.some(c.payers, c.stars, c.choosers).visit(ctx, c.within)
	s.world.Telegram.TakeRecord()
	scales := s.weigh(ctx)
	began := time.Now()
	paying := make(chan *visits, 1)
	go func() { paying <- all.visit(ctx, time.Duration(c.busy)*c.within) }()
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
	r.tellPaid(c, taken, calm, storm)
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
	r.judge(c.name()+": memory at most 100 MB", fmt.Sprintf("%.0f MB", peak), peak <= waitingBar)
}

// tellPaid says how others paid meanwhile. What comes to the shop as an update stands
// behind the newcomers at Telegram already, for as long as all were delivered in.
func (r *result) tellPaid(c crowd, taken time.Duration, calm, storm *visits) {
	r.say("others, p50/p99:")
	r.say("%s", calm.row("calm"))
	r.say("%s", storm.row("meanwhile"))
	r.lost = append(append(r.lost, calm.late...), storm.late...)
	for _, one := range []struct {
		what        string
		calm, storm load.Times
	}{{"callback taken", calm.settled, storm.settled}, {"key", calm.key, storm.key}} {
		limit := max(keyBar, time.Duration(usualSpeed*float64(one.calm.P99())))
		r.judgeTime(fmt.Sprintf("%s: %s of others, p99 at most 250 ms or 1.5 x calm", c.name(), one.what),
			fmt.Sprintf("%s, calm %s", load.Brief(one.storm.P99()), load.Brief(one.calm.P99())), len(storm.late) == 0 && one.storm.P99() <= limit)
	}
	for _, one := range []struct {
		what        string
		calm, storm load.Times
	}{{"key for Stars", calm.stars, storm.stars}, {"pay page", calm.checkout, storm.checkout}} {
		r.judgeTime(fmt.Sprintf("%s: %s of others, p99 within %s of the last delivery", c.name(), one.what, aheadBar),
			fmt.Sprintf("%s, delivered within %s", load.Brief(one.storm.P99()), load.Brief(taken)), len(storm.late) == 0 && one.storm.P99() <= taken+aheadBar)
	}
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
	if unanswered > waiting {
		r.lose("%d newcomers have no answer, %d of them are owed one", unanswered, waiting)
	}
	if waiting > 0 {
		r.say("%d answered so far, %d are owed an answer", c.newcomers-unanswered, waiting)
	}
	r.judge(c.name()+": none lost", fmt.Sprintf("%d lost", len(r.lost)-before), len(r.lost) == before)
	r.judgeTime(c.name()+": none answered twice", fmt.Sprintf("%d were", twice), twice == 0) // whose end could not be noted in time
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
