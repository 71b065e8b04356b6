package cryptobot_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/outbound"
	"sallyport/payments/cryptobot"
	"sallyport/shop"
)

// busy is a service that takes no calls until it is told to.
type busy struct {
	*cryptobot.Client
	host  *outbound.Host
	calls atomic.Int64
	wait  atomic.Value // what Retry-After says; empty: it takes calls
}

func newBusy(t *testing.T, wait string) *busy {
	t.Helper()
	b := &busy{host: outbound.New(outbound.Config{Name: "cryptobot", Failures: 2, Pause: time.Hour})}
	b.wait.Store(wait)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.calls.Add(1)
		if wait := b.wait.Load().(string); wait != "" {
			w.Header().Set("Retry-After", wait)
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `<html>error code: 1015</html>`)
			return
		}
		_, _ = io.WriteString(w, `{"ok":true,"result":{"invoice_id":5,"bot_invoice_url":"https://t.me/x","app_id":1}}`)
	}))
	t.Cleanup(api.Close)
	b.Client = cryptobot.New(cryptobot.Config{BaseURL: api.URL, Token: token, Now: noon, Host: b.host})
	t.Cleanup(b.Close)
	return b
}

func waitOf(err error) time.Duration {
	known, ok := errors.AsType[*shop.Error](err)
	if !ok || known.Kind != shop.KindLimited {
		return -1
	}
	return known.RetryAfter
}

// A service that wants to be left alone is: by every call, without a breaker that would
// then let one through each second.
func TestAllCallsWaitWhenTheServiceAsksForIt(t *testing.T) {
	t.Parallel()
	b := newBusy(t, "30")
	ways := map[string]func(context.Context) error{
		"createInvoice": func(ctx context.Context) error { _, err := b.CreateInvoice(ctx, order(), ""); return err },
		"findInvoice":   func(ctx context.Context) error { _, _, err := b.FindInvoice(ctx, shop.NewOrderID()); return err },
		"poll":          func(ctx context.Context) error { _, err := b.PaidInvoices(ctx, []string{"1"}); return err },
		"sweep":         func(ctx context.Context) error { _, _, err := b.RecentPaid(ctx, 0); return err },
		"getMe":         b.Check,
	}
	for range 3 {
		for name, call := range ways {
			if wait := waitOf(call(t.Context())); wait <= 0 || wait > 30*time.Second {
				t.Errorf("%s: waits %s", name, wait)
			}
		}
	}
	if b.calls.Load() != 1 || b.host.Open() {
		t.Errorf("%d calls, breaker open: %t", b.calls.Load(), b.host.Open())
	}
}

func TestAnInvoiceIsMadeOnceTheWaitIsOver(t *testing.T) {
	t.Parallel()
	b := newBusy(t, "2")
	if wait := waitOf(b.Check(t.Context())); wait != 2*time.Second {
		t.Fatalf("waits %s", wait)
	}
	asked := time.Now()
	b.wait.Store("")
	for {
		_, err := b.CreateInvoice(t.Context(), order(), "")
		if err == nil {
			break
		}
		wait := waitOf(err)
		if wait < 0 {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			return
		case <-time.After(wait): // as the job queue does
		}
	}
	if took := time.Since(asked); took < 1900*time.Millisecond || b.calls.Load() != 2 {
		t.Errorf("made after %s with %d calls", took, b.calls.Load())
	}
}

func TestHowLongTheServiceWantsToBeLeftAlone(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]time.Duration{
		"7": 7 * time.Second, "no number": 5 * time.Second, "-1": 5 * time.Second, "0": 5 * time.Second, "60000": time.Hour,
		time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat): time.Second,
	} {
		if wait := waitOf(newBusy(t, said).Check(t.Context())); wait != want {
			t.Errorf("%q: %s, want %s", said, wait, want)
		}
	}
	at := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	if wait := waitOf(newBusy(t, at).Check(t.Context())); wait < 30*time.Second || wait > time.Minute {
		t.Errorf("%q: %s", at, wait)
	}
}

// Polls and sweeps go gently, however many there are; an invoice does not wait for them.
func TestQuestionsThatNobodyWaitsForArePaced(t *testing.T) {
	t.Parallel()
	b := newBusy(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	began := time.Now()
	for ctx.Err() == nil {
		if _, err := b.PaidInvoices(ctx, []string{"1"}); waitOf(err) > 0 {
			break // there is no time left to wait for
		}
	}
	if n, most := float64(b.calls.Load()), 5+1+time.Since(began).Seconds(); n < 5 || n > most {
		t.Errorf("%v calls, at most %v", n, most)
	}
	before := b.calls.Load()
	for range 10 {
		if _, err := b.CreateInvoice(t.Context(), order(), ""); err != nil {
			t.Error(err)
		}
	}
	if b.calls.Load() != before+10 {
		t.Errorf("%d invoices", b.calls.Load()-before)
	}
}
