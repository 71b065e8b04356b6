package alerts_test

import (
	"strconv"
	"testing"
)

// strangersEnds is more than may end at once after a leap without a question.
const strangersEnds = 30

func TestClocksThatAreWrong(t *testing.T) {
	t.Parallel()
	s := begin(t)
	plays(t, s, []trouble{
		{
			code: "clock_off", alerts: []string{"SallyportClockOff"},
			breaks: func(s *scene) { // as if every process said so
				s.sql(`CREATE FUNCTION be_ahead() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN NEW.clock_ahead := interval '2 days'; RETURN NEW; END $$`,
					`CREATE TRIGGER be_ahead BEFORE UPDATE ON processes FOR EACH ROW EXECUTE FUNCTION be_ahead()`)
			},
			cures: func(s *scene) { s.sql(`DROP TRIGGER be_ahead ON processes`) },
		},
		{
			// As after a leap of the whole machine's clock, or after two days away. They are
			// let go as the manual says: the program does so in its own test.
			code: "ends_held", alerts: []string{"SallyportEndsHeld"},
			breaks: func(s *scene) {
				s.sql(`UPDATE ends SET judged_at = now() - interval '2 days'`)
				s.gives(strangersEnds)
			},
			cures: func(s *scene) {
				if n := s.number(`SELECT count(*) FROM subscriptions WHERE status = 'active'`); n != strangersEnds {
					s.t.Errorf("%d of %d still have access", n, strangersEnds)
				}
				s.sql(`UPDATE ends SET judged_at = now(), held = 0, held_since = NULL`)
			},
		},
	})
	s.until("the ends", func() bool { return s.number(`SELECT count(*) FROM subscriptions WHERE status = 'active'`) == 0 })
}

// gives gives so many people access that ended yesterday. All of them have blocked the bot.
func (s *scene) gives(n int) {
	s.t.Helper()
	s.sql(`INSERT INTO users (id, language, reachable) SELECT 9000 + n, 'en', false FROM generate_series(1, `+strconv.Itoa(n)+`) n`,
		`INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT id, 'basic', 'active', now() - interval '1 day' FROM users WHERE id > 9000`)
}
