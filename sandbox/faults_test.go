package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
)

const (
	// webhookLimit is what the p99 of the product's answers to Telegram must stay
	// under, whatever hangs: a call that hangs is given up after 3 s at the earliest. How
	// fast the answers are is measured by make freeze.
	webhookLimit = 2 * time.Second
	// completionLimit is how long after a fault everything owed may take.
	completionLimit = 2 * time.Minute
	// healthLimit is how long /healthz may take: it waits for nobody, and a look for 5 s.
	healthLimit  = 4 * time.Second
	crowdSize    = 20
	crowdPace    = 50 * time.Millisecond // between two presses of the crowd
	crowdPresses = 40
)

// firstRawUpdate is far from the ids that the emulator gives.
const firstRawUpdate = 4_000_000_000

// crowd are customers whose presses come straight to the product's door.
type crowd struct {
	w       *sandbox.World
	next    atomic.Int64
	client  http.Client
	screens map[int64]int // where the screen of each lives
}

func newCrowd(ctx context.Context, t *testing.T, w *sandbox.World) *crowd {
	t.Helper()
	c := &crowd{w: w, screens: make(map[int64]int)}
	c.client = http.Client{Timeout: limit, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	c.next.Store(firstRawUpdate)
	t.Cleanup(c.client.CloseIdleConnections)
	for n := range int64(crowdSize) {
		p := newCustomer(w, 500+n)
		if err := p.until(ctx, "Choose your language", p.writes("/start")); err != nil {
			t.Fatal(err)
		}
		messages := w.Telegram.Chat(p.id).Messages
		c.screens[p.id] = messages[len(messages)-1].ID
	}
	return c
}

// rawPress is an update: a person presses a button.
func rawPress(update, user int64, message int, data string) []byte {
	person := map[string]any{"id": user, "is_bot": false, "first_name": "Crowd", "language_code": "en"}
	body, _ := json.Marshal(map[string]any{"update_id": update, "callback_query": map[string]any{
		"id": fmt.Sprint(update), "from": person, "chat_instance": "1", "data": data,
		"message": map[string]any{
			"message_id": message, "date": 1_700_000_000, "text": "Menu",
			"chat": map[string]any{"id": user, "type": "private", "first_name": "Crowd"},
		},
	}})
	return body
}

// deliver posts an update as Telegram would.
func (c *crowd) deliver(ctx context.Context, body []byte) (status int, header http.Header, err error) {
	ready := c.w.Ready()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, ready.AppURL+ready.WebhookPath, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-Telegram-Bot-Api-Secret-Token", ready.WebhookSecret)
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header, err
}

// press has the crowd press 20 buttons a second for two seconds, and returns how
// long the product took to take each press, shortest first.
func (c *crowd) press(ctx context.Context) ([]time.Duration, error) {
	pace := time.NewTicker(crowdPace)
	defer pace.Stop()
	var mu sync.Mutex
	var times []time.Duration
	var g errgroup.Group
	for n := range int64(crowdPresses) {
		user := 500 + n%crowdSize
		g.Go(func() error {
			began := time.Now()
			status, _, err := c.deliver(ctx, rawPress(c.next.Add(1), user, c.screens[user], "menu"))
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("a press was answered %d", status)
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Since(began))
			return err
		})
		<-pace.C
	}
	err := g.Wait()
	slices.Sort(times)
	return times, err
}

func TestWebhooksAnswerAtOnceWhateverHangsAndAllIsDoneAfterwards(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	f := &faultTest{ctx: ctx, w: w, crowd: newCrowd(ctx, t, w)}
	for i, c := range []struct {
		target          sandbox.Target
		mode            fault.Mode
		component, told string // what fails in the health report, and what the buyer hears meanwhile
	}{
		{sandbox.TelegramTarget, fault.Hung, "telegram", ""},
		{sandbox.TelegramTarget, fault.Error, "telegram", ""},
		{sandbox.CryptoPayTarget, fault.Hung, "cryptopay", "vless://"},
		{sandbox.CryptoPayTarget, fault.Down, "cryptopay", "vless://"},
		{sandbox.XrayTarget, fault.Hung, "node:local", "Payment received"},
		{sandbox.XrayTarget, fault.Down, "node:local", "Payment received"},
	} {
		t.Run(fmt.Sprintf("%s %s", c.target, c.mode), func(t *testing.T) { // not parallel: one fault at a time
			f.t, f.books = t, newBooks(t, w)
			f.run(int64(i), c.target, c.mode, c.component, c.told)
		})
	}
}

// faultTest is a world with a crowd and one fault after another.
type faultTest struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // of the test
	w     *sandbox.World
	crowd *crowd
	books *ledgers
}

func (f *faultTest) run(i int64, target sandbox.Target, mode fault.Mode, component, told string) {
	f.t.Helper()
	other := newCustomer(f.w, 200+i)
	if err := other.greets(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	buyer, before := f.payUnder(100+i, target, mode)
	var bought errgroup.Group
	bought.Go(func() error { _, err := other.orders(f.ctx); return err }) // begins now, ends when it can
	f.pressUnderFault()
	f.checkHealth(component)
	if told != "" {
		if err := buyer.receives(f.ctx, before, told); err != nil {
			f.t.Error(err)
		}
	}
	f.w.Fault(target).Clear()
	f.completes(func() error {
		return errors.Join(buyer.receives(f.ctx, before, "vless://"), bought.Wait())
	})
}

// payUnder has a customer order, then breaks the target, until the end of the
// test, then has the customer pay.
func (f *faultTest) payUnder(id int64, target sandbox.Target, mode fault.Mode) (p *customer, before int) {
	f.t.Helper()
	p = newCustomer(f.w, id)
	address, err := p.orders(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.w.Fault(target).Set(mode, 0, 0); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(f.w.Fault(target).Clear)
	if before, err = p.settles(address); err != nil {
		f.t.Fatal(err)
	}
	return p, before
}

// completes checks that the customers get theirs, that nothing stays owed, and
// that the books are right: the time that was waited is added too.
func (f *faultTest) completes(get func() error) {
	f.t.Helper()
	began := time.Now()
	if err := get(); err != nil {
		f.t.Error(err)
	}
	got := time.Since(began)
	if err := f.books.Settle(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	took := time.Since(began)
	if took > completionLimit {
		f.t.Errorf("everything owed took %s", took)
	}
	f.t.Logf("afterwards the customers had theirs in %s, everything was done in %s", got.Round(time.Millisecond), took.Round(time.Millisecond))
	if n := f.books.count(`SELECT count(*) FROM inbox WHERE state <> 'done'`); n != 0 {
		f.t.Errorf("%d updates were not handled", n)
	}
	f.books.check(f.books.CheckInvoices, f.books.CheckLedger, f.books.CheckPeriods, f.books.CheckNode, f.books.CheckKeys)
}

func (f *faultTest) pressUnderFault() {
	f.t.Helper()
	times, err := f.crowd.press(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	p99 := times[(len(times)*99+99)/100-1]
	f.t.Logf("under the fault: %d presses taken, p50 %s, p99 %s", len(times), times[len(times)/2], p99)
	if p99 > webhookLimit {
		f.t.Errorf("p99 of the webhook is %s, want under %s", p99, webhookLimit)
	}
}

// checkHealth checks that /healthz names the culprit, and does not wait for it.
func (f *faultTest) checkHealth(component string) {
	f.t.Helper()
	eventually(f.t, func() error {
		began := time.Now()
		err := healthy(f.t, f.w, component, false)
		if took := time.Since(began); took > healthLimit {
			f.t.Errorf("/healthz took %s", took)
		}
		return err
	})
}

func TestWhileTelegramIsSlowTheInvoiceStillAppearsByItself(t *testing.T) {
	t.Parallel()
	w := start(t, sandbox.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := w.Fault(sandbox.TelegramTarget).Set(fault.Slow, 200*time.Millisecond, 0); err != nil {
		t.Fatal(err)
	}
	p := newCustomer(w, 7)
	if err := p.greets(ctx); err != nil {
		t.Fatal(err)
	}
	for _, press := range [][2]string{
		{"Buy access", "Choose a plan"},
		{"Plus", "For how long?"},
		{"30 days", "How would you like to pay?"},
		{"CryptoBot", "Press the button and pay"},
	} {
		if _, err := p.Press(press[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := p.See(ctx, press[1]); err != nil { // without pressing again
			t.Fatal(err)
		}
	}
}
