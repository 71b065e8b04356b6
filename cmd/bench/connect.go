package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/sandbox"
	"sallyport/sandbox/node/client"
	"sallyport/sandbox/telegram"
)

const (
	// buyRate is how many customers pay a second.
	buyRate = 10
	// firstCustomer is the first of those who buy by themselves.
	firstCustomer = 5001
	// tryLimit is that of the first try to reach the internet: a server that does not know
	// the key leaves a client waiting. Each further try may take twice as long.
	tryLimit = 500 * time.Millisecond
)

// purchase is one customer's.
type purchase struct {
	person          *sandbox.Person
	invoice         string
	keyed, connects time.Duration // from paying to the key, to the first bytes
}

// connect measures from paying to the first bytes through a real Xray. Everybody has
// an invoice before the first pays.
func (b *bench) connect(ctx context.Context) error {
	if err := b.ensureProduct(ctx); err != nil {
		return err
	}
	buys := make([]*purchase, b.buys)
	for i := range buys {
		buys[i] = &purchase{person: b.world.Person(telegram.User{ID: int64(firstCustomer + i), FirstName: "Anna", LanguageCode: "en"})}
		if err := buys[i].order(ctx); err != nil {
			return err
		}
	}
	due := make(chan time.Time, len(buys))
	go metronome(ctx, time.Now(), buyRate, time.Duration(len(buys))*time.Second/buyRate, due)
	g, groupCtx := errgroup.WithContext(ctx)
	for _, p := range buys {
		at := <-due
		g.Go(func() error { return p.pay(groupCtx, at, b.world.Ready()) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	t := table{Title: fmt.Sprintf("pay to connected, %d at %d/s", b.buys, buyRate), Columns: []string{"p50 ms", "p99 ms"}}
	var keyed, connected outcome
	for _, p := range buys {
		keyed.times, connected.times = append(keyed.times, p.keyed), append(connected.times, p.connects)
	}
	for name, o := range map[string]outcome{"the key arrives": keyed, "bytes through the tunnel": connected} {
		slices.Sort(o.times)
		t.Rows = append(t.Rows, row{name, []float64{o.at(0.5), o.at(0.99)}})
	}
	slices.SortFunc(t.Rows, func(a, b row) int { return -strings.Compare(a.Name, b.Name) })
	b.report.add(t)
	b.report.atMost("pay to connected, p50 ms", connected.at(0.5), 50)
	b.report.atMost("pay to connected, p99 ms", connected.at(0.99), 250)
	return nil
}

// order goes from /start to the invoice.
func (p *purchase) order(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	if err := p.person.Write("/start"); err != nil {
		return err
	}
	if _, err := p.person.See(ctx, "Choose your language"); err != nil {
		return err
	}
	for _, step := range [][2]string{
		{"English", "Hello, Anna"},
		{"Buy access", "Choose a plan"},
		{"Basic", "For how long?"},
		{"30 days", "How would you like to pay?"},
		{"CryptoBot", "Press the button and pay"},
	} {
		if _, err := p.person.Press(step[0]); err != nil {
			return err
		}
		if _, err := p.person.See(ctx, step[1]); err != nil {
			return err
		}
	}
	button, err := p.person.Press("Pay")
	p.invoice = button.URL
	return err
}

// pay pays when it is due and connects with the key that comes.
func (p *purchase) pay(ctx context.Context, due time.Time, world sandbox.Ready) error {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	if _, err := p.person.Pay(p.invoice); err != nil {
		return err
	}
	message, err := p.person.See(ctx, "Your access is ready\n")
	if err != nil {
		return err
	}
	p.keyed = time.Since(due)
	device, err := client.Start(ctx, world.Xray.Binary, regexp.MustCompile(`vless://\S+`).FindString(message.Text))
	if err != nil {
		return err
	}
	err = errors.New("not tried")
	for limit := tryLimit; err != nil && ctx.Err() == nil; limit *= 2 {
		err = fetch(ctx, device, world.InternetURL, limit)
	}
	p.connects = time.Since(due)
	return errors.Join(err, device.Stop()) //nolint:contextcheck // ctx may have ended
}

// fetch gets the page behind the tunnel, once.
func fetch(ctx context.Context, device *client.Client, address string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	response, err := device.HTTPClient().Do(request)
	if err != nil {
		return fmt.Errorf("fetch through the tunnel: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || strings.TrimSpace(string(text)) != sandbox.InternetText {
		return fmt.Errorf("fetch through the tunnel: got %q, %w", text, err)
	}
	return nil
}
