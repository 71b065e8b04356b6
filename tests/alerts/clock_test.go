package alerts_test

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
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
			// let go as the manual says.
			code: "ends_held", alerts: []string{"SallyportEndsHeld"},
			breaks: func(s *scene) {
				s.leaps(strangersEnds)
			},
			cures: func(s *scene) {
				if n := s.number(`SELECT count(*) FROM subscriptions WHERE status = 'active'`); n != strangersEnds {
					s.t.Errorf("%d of %d still have access", n, strangersEnds)
				}
				command := exec.CommandContext(s.t.Context(), s.program, "ends", "release")
				command.Env = s.w.Environment()
				want := fmt.Sprintf("released %d ends: they go on within seconds\n", strangersEnds)
				if out, err := command.CombinedOutput(); err != nil || string(out) != want {
					s.t.Errorf("said %q, %v, want %q", out, err, want)
				}
			},
		},
	})
	s.until("the ends", func() bool { return s.number(`SELECT count(*) FROM subscriptions WHERE status = 'active'`) == 0 })
}

// leaps gives so many people access that ended yesterday, as if nobody had looked since
// the day before. All of them have blocked the bot. It happens while a look waits to know
// when the last one was: none has read that already.
func (s *scene) leaps(n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.w.Ready().DatabaseDirectURL)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(s.t.Context()))
	run := func(statement string) {
		s.t.Helper()
		if _, err := conn.Exec(s.t.Context(), statement); err != nil {
			s.t.Fatal(err)
		}
	}
	run(`BEGIN`)
	run(`LOCK TABLE ends`)
	s.until("a look for ends", func() bool {
		return s.number(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%SELECT judged_at, held FROM ends%'`) > 0
	})
	run(`UPDATE ends SET judged_at = now() - interval '2 days'`)
	run(`INSERT INTO users (id, language, reachable) SELECT 9000 + n, 'en', false FROM generate_series(1, ` + strconv.Itoa(n) + `) n`)
	run(`INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT id, 'basic', 'active', now() - interval '1 day' FROM users WHERE id > 9000`)
	run(`COMMIT`)
}
