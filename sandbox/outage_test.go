package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
)

// paidFor is how long a customer waited for what they paid, and for how long they
// were given access from the delivery.
func (b *ledgers) paidFor(user int64) (waited, access time.Duration) {
	b.t.Helper()
	var paid, delivered, expires time.Time
	err := b.DB.QueryRow(b.t.Context(), `
		SELECT o.paid_at, o.delivered_at, s.expires_at FROM orders o JOIN subscriptions s USING (user_id)
		WHERE o.user_id = $1 AND o.status = 'paid'`, user).Scan(&paid, &delivered, &expires)
	if err != nil {
		b.t.Fatal(err)
	}
	return delivered.Sub(paid), expires.Sub(delivered)
}

func TestWhoPaidWhileXrayIsAwayIsToldAndLosesNoTime(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	b := newBooks(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	p := newCustomer(w, 7)
	address, err := p.orders(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.Node.Kill()
	before, err := p.settles(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.receives(ctx, before, "Payment received"); err != nil {
		t.Fatal(err)
	}
	if err := p.until(ctx, "being prepared", p.writes("/profile")); err != nil {
		t.Error(err)
	}
	eventually(t, func() error { // they wait long enough to measure
		if n := b.count(`SELECT count(*) FROM subscriptions WHERE waiting_since < now() - interval '2 seconds'`); n != 1 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	if err := w.Node.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	f := &faultTest{t: t, ctx: ctx, w: w, books: b}
	f.completes(func() error { return p.receives(ctx, before, "vless://") })
	if waited, access := b.paidFor(7); waited < 2*time.Second || (access-30*24*time.Hour).Abs() > time.Second {
		t.Errorf("after %s they got %s, want the whole of 30 days", waited, access)
	}
}

func TestWithoutItsDatabaseItAsksToComeAgainAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	f := &faultTest{ctx: ctx, w: w, crowd: newCrowd(ctx, t, w)}
	for i, mode := range []fault.Mode{fault.Down, fault.Hung} {
		t.Run(string(mode), func(t *testing.T) { // not parallel: one fault at a time
			f.t, f.books = t, newBooks(t, w)
			f.withoutDatabase(int64(i), mode)
		})
	}
}

func (f *faultTest) withoutDatabase(i int64, mode fault.Mode) {
	f.t.Helper()
	p, before := f.payUnder(100+i, sandbox.PostgresTarget, mode)
	if err := p.Write("/profile"); err != nil {
		f.t.Fatal(err)
	}
	update := f.crowd.next.Add(1)
	press := rawPress(update, 500, f.crowd.screens[500], "menu")
	f.isSentAway(press)
	f.checkHealth("database")
	for page, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if status, _, _ := send(f.t, http.MethodGet, f.w.Ready().AppURL+page, "", nil); status != want {
			f.t.Errorf("%s: %d, want %d", page, status, want)
		}
	}
	f.w.Fault(sandbox.PostgresTarget).Clear()
	f.isTaken(update, press)
	f.completes(func() error { return f.keyAndProfile(p, before) })
}

// keyAndProfile waits until the customer, who paid and asked for the profile, got both.
func (f *faultTest) keyAndProfile(p *customer, before int) error {
	return errors.Join(p.receives(f.ctx, before, "vless://"), p.receives(f.ctx, before, "Profile"))
}

// isSentAway checks that a delivery is answered soon, with the wish to come again.
func (f *faultTest) isSentAway(body []byte) {
	f.t.Helper()
	began := time.Now()
	status, header, err := f.crowd.deliver(f.ctx, body)
	if err != nil || status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		f.t.Errorf("a delivery without a database: %v, %d, Retry-After %q", err, status, header.Get("Retry-After"))
	}
	if took := time.Since(began); took > 9*time.Second {
		f.t.Errorf("it was sent away after %s", took)
	}
}

// isTaken repeats the delivery, as Telegram does, until it is taken, and once
// more: it is kept once.
func (f *faultTest) isTaken(update int64, body []byte) {
	f.t.Helper()
	for range 2 {
		eventually(f.t, func() error {
			status, _, err := f.crowd.deliver(f.ctx, body)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("answered %d", status)
			}
			return err
		})
	}
	if n := f.books.count(`SELECT count(*) FROM inbox WHERE update_id = $1`, update); n != 1 {
		f.t.Errorf("the update is kept %d times", n)
	}
}

func TestItStopsInTenSecondsWhateverHangsAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for i, target := range sandbox.Targets() {
		t.Run(string(target), func(t *testing.T) { // not parallel: one fault at a time
			f := &faultTest{t: t, ctx: ctx, w: w, books: newBooks(t, w)}
			f.stopWhileHung(int64(i), target)
		})
	}
}

func (f *faultTest) stopWhileHung(i int64, target sandbox.Target) {
	f.t.Helper()
	p, before := f.payUnder(100+i, target, fault.Hung)
	if err := p.Write("/profile"); err != nil {
		f.t.Fatal(err)
	}
	wait(f.ctx, time.Second) // for work to be in hand
	began := time.Now()
	control(f.t, f.w, "stop")
	took := time.Since(began)
	f.t.Logf("stopped in %s", took.Round(time.Millisecond))
	if took > stopLimit {
		f.t.Errorf("it took %s to stop", took)
	}
	f.w.Fault(target).Clear()
	control(f.t, f.w, "start")
	f.completes(func() error { return f.keyAndProfile(p, before) })
	f.books.check(f.books.CheckInbox)
}

// control has the product's supervisor do something.
func control(t *testing.T, w *sandbox.World, what string) {
	t.Helper()
	status, answer := ask[map[string]any](t, http.MethodPost, w.Ready().ControlURL+"/product/"+what, "")
	if status != http.StatusOK {
		t.Errorf("%s the product: %d %v", what, status, answer)
	}
}

// A new release migrates the database when it starts, and may be killed there too.
func TestKilledWhileItMakesItsTablesItMakesThemInTheEnd(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	control(t, w, "stop")
	for _, do := range []func(context.Context, string) error{w.Postgres.DropDatabase, w.Postgres.EnsureDatabase} {
		if err := do(ctx, "sallyport"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 12 {
		control(t, w, "start")
		wait(ctx, time.Duration(20+10*n)*time.Millisecond)
		control(t, w, "kill")
	}
	if err := newCustomer(w, 7).buys(ctx); err != nil {
		t.Fatal(err)
	}
	b := newBooks(t, w)
	if err := b.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	b.check()
}
