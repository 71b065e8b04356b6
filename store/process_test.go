package store_test

import (
	"testing"
	"time"

	"sallyport/shop"
)

func TestWhatADeadProcessHadInHandIsHandedBack(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	beat := func(holder string) int64 {
		t.Helper()
		n, _, err := s.Beat(ctx, holder, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	beat("dead")
	add(t, s, 1, 1)
	claim(t, s, 1, "dead", longLease)
	if err := s.Enqueue(ctx, shop.ConvergeUser{UserID: 1}, shop.ExpireDue{}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY['somebody', 'dead']`,
		`INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES ('dead', now(), now() + interval '15 seconds')`,
	} {
		if _, err := s.Pool().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if n := beat("alive"); n != 0 {
		t.Errorf("%d jobs taken from a process that is alive", n)
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE processes SET seen_at = now() - interval '6 seconds'`); err != nil {
		t.Fatal(err)
	}
	if n := beat("alive"); n != 0 {
		t.Errorf("%d jobs taken after a pause in which nobody was seen", n)
	}
	if n := beat("alive"); n != 2 {
		t.Errorf("%d jobs handed back", n)
	}
	if n := count(t, s, `SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0`); n != 2 {
		t.Errorf("%d jobs are there to be taken", n)
	}
	if _, ok := claim(t, s, 1, "alive", longLease); !ok {
		t.Error("the lane is still the dead one's")
	}
	if n := count(t, s, `SELECT count(*) FROM river_leader`); n != 0 {
		t.Error("the dead one still leads")
	}
	if err := s.Leave(ctx, "alive"); err != nil {
		t.Fatal(err)
	}
	beat("third")
	beat("third")
	if n := count(t, s, `SELECT count(*) FROM processes`); n != 1 {
		t.Errorf("%d processes known", n)
	}
}
