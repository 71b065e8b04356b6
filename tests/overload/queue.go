package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sallyport/sandbox/telegram"
	"sallyport/tests/load"
)

// backlog says how many messages of each kind wait at once.
type backlog struct {
	notices  int // that access has ended
	replies  int // to as many people
	talkers  int // who write several commands each, one right after another
	keys     int // queued when all the others wait
	strike   int // one of so many calls is refused with 429 whatever its turn; 0 means none
	deadline time.Duration
}

const (
	firstNotice = 2_000_000
	firstReply  = 3_000_000
	firstTalker = 4_000_000
	firstKey    = 5_000_000
	// afterOthers is how long the others leave before the keys are queued.
	afterOthers = 3 * time.Second
	// telegramGlobal is what Telegram allows in a second, keyWait what the last of the
	// keys may wait besides the time that sending them takes.
	telegramGlobal = 30
	sendRate       = 26
	keyWait        = 1500 * time.Millisecond
	// inHand is how many others may be under way when the keys come, noticeShare how many
	// notices a second go beside them.
	inHand      = 10
	noticeShare = 4
)

// commands are what a talker writes, and what each answer shows.
func commands() [][2]string {
	return [][2]string{{"/menu", "Fast and private"}, {"/help", "How to connect"}, {"/profile", "Profile"}, {"/buy", "Choose a plan"}, {"/language", "Choose your language"}}
}

// queue has far more messages to be sent than Telegram takes.
func queue(ctx context.Context, o options, b backlog) (r result, err error) {
	s, err := open(ctx, o, stage{limits: true})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.people(ctx, b); err != nil {
		return r, err
	}
	s.world.Telegram.TakeRecord()
	s.world.Telegram.Strike(b.strike)
	began := time.Now()
	if err := s.pile(ctx, b); err != nil {
		return r, err
	}
	timer := time.NewTimer(afterOthers)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	keysAt := time.Now()
	if err := s.tell(ctx, "messages", "ready", firstKey, b.keys); err != nil {
		return r, err
	}
	if err := s.sentAll(ctx, b); err != nil {
		return r, err
	}
	s.world.Telegram.Strike(0)
	record := s.world.Telegram.TakeRecord().Calls
	r.say("%d messages (%d notices, %d replies, %d keys queued last) sent within %s",
		b.total(), b.notices, b.replies+b.talkers*len(commands()), b.keys, load.Brief(time.Since(began)))
	r.tellLimits(b, record)
	r.tellOrder(b, record, keysAt)
	s.tellChats(&r, b)
	return r, nil
}

func (b backlog) total() int { return b.notices + b.replies + b.talkers*len(commands()) + b.keys }

// people makes everybody known, to Telegram and to the shop.
func (s *scene) people(ctx context.Context, b backlog) error {
	for first, n := range map[int64]int{firstNotice: b.notices, firstReply: b.replies, firstTalker: b.talkers, firstKey: b.keys} {
		for i := range int64(n) {
			s.world.Telegram.Meet(telegram.User{ID: first + i, FirstName: "P", LanguageCode: "en"})
		}
		if err := s.sql(ctx, fmt.Sprintf(`INSERT INTO users (id, language, chosen) SELECT %d + n, 'en', true FROM generate_series(0, %d - 1) n`, first, n)); err != nil {
			return err
		}
	}
	return s.sql(ctx,
		fmt.Sprintf(`INSERT INTO subscriptions (user_id, plan, status, expires_at)
			SELECT id, 'basic', 'expired', now() - interval '1 minute' FROM users WHERE id BETWEEN %d AND %d`, firstNotice, firstReply-1),
		fmt.Sprintf(`INSERT INTO subscriptions (user_id, plan, status, expires_at)
			SELECT id, 'basic', 'active', now() + interval '1 day' FROM users WHERE id >= %d`, firstKey))
}

// pile queues notices and has people write.
func (s *scene) pile(ctx context.Context, b backlog) error {
	if err := s.tell(ctx, "notices", "expired", firstNotice, b.notices); err != nil {
		return err
	}
	for i := range int64(b.talkers) {
		for _, command := range commands() {
			if err := load.Person(s.world, firstTalker+i).Write(command[0]); err != nil {
				return err
			}
		}
	}
	for i := range int64(b.replies) {
		if err := load.Person(s.world, firstReply+i).Write("/menu"); err != nil {
			return err
		}
	}
	return nil
}

// tell queues a notice for so many people and has the queue hear of it, as the shop does
// with the fact that causes it.
func (s *scene) tell(ctx context.Context, queue, notice string, first int64, n int) error {
	return s.sql(ctx, fmt.Sprintf(`INSERT INTO river_job (kind, queue, args, max_attempts, state)
		SELECT 'notify', '%s', jsonb_build_object('user_id', %d + n, 'notice', '%s'), 12, 'available' FROM generate_series(0, %d - 1) n`, queue, first, notice, n),
		fmt.Sprintf(`SELECT pg_notify(current_schema() || '.river_insert', json_build_object('queue', '%s')::text)`, queue))
}

// sentAll waits until nothing waits any more.
func (s *scene) sentAll(ctx context.Context, b backlog) error {
	return until(ctx, "all messages to be sent", b.deadline, func() (bool, error) {
		owed, err := s.count(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting')
			+ (SELECT count(*) FROM river_job WHERE kind = 'notify' AND finalized_at IS NULL)`)
		return owed == 0 && s.world.Telegram.Pending() == 0, err
	})
}

// tellLimits judges the calls by what Telegram says to them.
func (r *result) tellLimits(b backlog, calls []telegram.Addressed) {
	refused, early := 0, 0
	var at []time.Time
	for _, c := range calls {
		switch {
		case c.Early:
			early++
		case !c.Refused:
			at = append(at, c.At)
		}
		if c.Refused {
			refused++
		}
	}
	most, later := busiest(at, time.Time{}), 0
	if len(at) > 0 {
		later = busiest(at, at[0].Add(time.Second))
	}
	r.say("calls in any second: at most %d with the burst at the beginning, %d after it; %d answered with 429, %d made before a 429's time was over", most, later, refused, early)
	if b.strike > 0 {
		r.judge("429 is honoured: no call to the chat before its time", fmt.Sprintf("%d of %d calls refused, %d early", refused, len(calls), early), early == 0 && refused > 0)
		return
	}
	r.judge(fmt.Sprintf("%d queued messages: Telegram's limits are never reached", b.total()), fmt.Sprintf("%d answered with 429", refused), refused == 0)
	r.judgeTime(fmt.Sprintf("at most %d in any second after the burst", telegramGlobal), fmt.Sprint(later), later <= telegramGlobal)
}

// busiest counts the most that fell into one second, from then on.
func busiest(at []time.Time, from time.Time) (most int) {
	first := 0
	for i, t := range at {
		if t.Before(from) {
			first = i + 1
			continue
		}
		for !at[first].After(t.Add(-time.Second)) {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// tellOrder judges in which order the kinds left.
func (r *result) tellOrder(b backlog, calls []telegram.Addressed, keysAt time.Time) {
	keys, replies, notices := sentTo(calls, firstKey, math.MaxInt64), sentTo(calls, firstReply, firstKey), sentTo(calls, firstNotice, firstReply)
	lastKey, lastReply, lastNotice := last(keys), last(replies), last(notices)
	meanwhile := within(replies, firstOf(keys), lastKey) + within(notices, firstOf(keys), lastKey) // how soon keys are taken up is the machine's
	early := within(notices, time.Time{}, lastReply)
	sending := time.Duration(float64(b.keys) / sendRate * float64(time.Second))
	wait := lastKey.Sub(keysAt)
	r.say("the last key left %s after the keys were queued, %d others since the first did; the last reply left %d notices before it, the last notice %s after it",
		load.Brief(wait), meanwhile, early, load.Brief(lastNotice.Sub(lastReply)))
	if b.strike == 0 {
		r.judge("keys queued last leave first, beside the notices' share", fmt.Sprintf("%d others since the first key", meanwhile), float64(meanwhile) <= inHand+noticeShare*lastKey.Sub(firstOf(keys)).Seconds())
		r.judgeTime("keys queued last leave at once", fmt.Sprintf("%s, sending them takes %s", load.Brief(wait), load.Brief(sending)), wait <= sending+keyWait)
	}
	if b.strike > 0 { // a chat with a 429 waits for its own time, whatever is due elsewhere
		r.judge("most replies leave before most notices", fmt.Sprintf("half of the notices %s after half of the replies", load.Brief(middle(notices).Sub(middle(replies)))),
			middle(notices).After(middle(replies)))
		return
	}
	r.judge("notices wait for replies", fmt.Sprintf("the last notice %s after the last reply", load.Brief(lastNotice.Sub(lastReply))), lastNotice.After(lastReply))
	// What a busy machine has no replies for may be taken by notices.
	r.judgeTime("replies leave before notices", fmt.Sprintf("%d of %d notices before the last reply", early, b.notices), early < b.notices/2)
}

// middle returns when half of them had left.
func middle(at []time.Time) time.Time {
	if len(at) == 0 {
		return time.Time{}
	}
	return slices.SortedFunc(slices.Values(at), time.Time.Compare)[len(at)/2]
}

// sentTo returns when messages left for a range of chats.
func sentTo(calls []telegram.Addressed, from, to int64) (at []time.Time) {
	for _, c := range calls {
		if c.Chat >= from && c.Chat < to && !c.Refused && strings.HasPrefix(c.Method, "send") {
			at = append(at, c.At)
		}
	}
	return at
}

// firstOf is the beginning of what is in order, zero of nothing.
func firstOf(at []time.Time) time.Time {
	if len(at) == 0 {
		return time.Time{}
	}
	return at[0]
}

// last is the end of what is in order, zero of nothing.
func last(at []time.Time) time.Time {
	if len(at) == 0 {
		return time.Time{}
	}
	return at[len(at)-1]
}

// within counts those between two moments.
func within(at []time.Time, from, to time.Time) (n int) {
	for _, t := range at {
		if t.After(from) && t.Before(to) {
			n++
		}
	}
	return n
}

// tellChats looks whether everybody has what they were to get, in order.
func (s *scene) tellChats(r *result, b backlog) {
	for _, kind := range []struct {
		what  string
		first int64
		n     int
		want  []string
	}{
		{"notice", firstNotice, b.notices, []string{"ended"}},
		{"reply", firstReply, b.replies, []string{"Fast and private"}},
		{"key", firstKey, b.keys, []string{"vless://"}},
		{"answers in order", firstTalker, b.talkers, seconds(commands())},
	} {
		without := 0
		for i := range int64(kind.n) {
			if !shows(s.world.Telegram.Chat(kind.first+i), kind.want) {
				without++
			}
		}
		if without > 0 {
			r.lose("%d of %d have no %s", without, kind.n, kind.what)
		}
	}
	r.judge("each has exactly what was queued for them, in its order", fmt.Sprintf("%d kinds not", len(r.lost)), len(r.lost) == 0)
}

// shows says whether the bot sent exactly these, one after another.
func shows(chat telegram.Chat, want []string) bool {
	sent := slices.DeleteFunc(slices.Clone(chat.Messages), func(m telegram.Message) bool { return !m.FromBot })
	return slices.EqualFunc(sent, want, func(m telegram.Message, text string) bool { return strings.Contains(m.Text, text) })
}

func seconds(pairs [][2]string) (all []string) {
	for _, p := range pairs {
		all = append(all, p[1])
	}
	return all
}

func fullBacklog() backlog {
	return backlog{notices: 2900, replies: 1900, talkers: 20, keys: 100, deadline: 5 * time.Minute}
}

// smallBacklog takes some seconds.
func smallBacklog(strike int) backlog {
	return backlog{notices: 100, replies: 60, talkers: 6, keys: 10, strike: strike, deadline: time.Minute}
}
