package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/sandbox"
	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/node/client"
	"sallyport/sandbox/telegram"
)

const (
	annaID = 1001
	// seeLimit is how long the shop may take to show something.
	seeLimit = 15 * time.Second
	// refusedWithin is how long after the customer was told of the end the key may still work.
	refusedWithin = 3 * time.Second
	fetchLimit    = 2 * time.Second
	// tryLimit is that of a try which is repeated: a server that does not know the
	// key leaves a client waiting.
	tryLimit   = 500 * time.Millisecond
	fetchPause = 20 * time.Millisecond
)

// story is the scripted path of one customer, Anna.
type story struct {
	out   io.Writer
	world *sandbox.World
	steps int

	anna   *sandbox.Person
	link   string
	device *client.Client
	paid   cryptopay.Invoice

	delivered, connected time.Duration // from paying to the key, from the key to the first bytes
}

// step does one step and prints how long it took.
func (s *story) step(name string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("step %d, %s: %w", s.steps+1, name, err)
	}
	s.steps++
	fmt.Fprintf(s.out, "%2d  %-70s %6d ms\n", s.steps, name, time.Since(began).Milliseconds())
	return nil
}

// play is the story.
func (s *story) play(ctx context.Context) error {
	s.anna = s.world.Person(telegram.User{ID: annaID, FirstName: "Anna", LanguageCode: "ru"})
	period := fmt.Sprintf("%d seconds", int(demoPeriod.Seconds()))
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"Anna writes /start and is asked for her language", func() error {
			return errors.Join(s.anna.Write("/start"), s.sees(ctx, "Choose your language"))
		}},
		{"she chooses English and sees the menu", func() error { return s.press(ctx, "English", "Hello, Anna") }},
		{"she presses Buy and sees the plans", func() error { return s.press(ctx, "Buy access", "Choose a plan") }},
		{"she chooses the plan Taster", func() error { return s.press(ctx, "Taster", "For how long?") }},
		{"she chooses the period, " + period, func() error { return s.press(ctx, period, "How would you like to pay?") }},
		{"she chooses CryptoBot, and the invoice arrives", func() error { return s.press(ctx, "CryptoBot", "Press the button and pay") }},
		{"she pays, and her access is ready", func() error { return s.pay(ctx, &s.delivered) }},
		{"she connects with the key: bytes through the tunnel", func() error { return s.connect(ctx) }},
		{"Crypto Pay calls again for the same payment: nothing changes", func() error { return s.again(ctx) }},
		{"Xray is killed and started: the key works again without help", func() error { return s.crash(ctx) }},
		{"her access ends: she is told, and the key is refused", func() error { return s.expire(ctx) }},
		{"she orders again", func() error { return s.reorder(ctx, period) }},
		{"she pays again, and her access is ready", func() error { return s.pay(ctx, nil) }},
		{"the same key works, on a device that changed nothing", func() error { return s.fetchSoon(ctx) }},
	} {
		if err := s.step(step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

// end stops what the story started.
func (s *story) end() error {
	var err error
	if s.device != nil {
		err = s.device.Stop()
	}
	return errors.Join(err, s.world.Stop())
}

// sees waits until Anna sees the text.
func (s *story) sees(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, seeLimit)
	defer cancel()
	_, err := s.anna.See(ctx, text)
	return err
}

// press presses a button and waits for what it should show.
func (s *story) press(ctx context.Context, label, text string) error {
	if _, err := s.anna.Press(label); err != nil {
		return err
	}
	return s.sees(ctx, text)
}

// pay pays the invoice that Anna is shown, and waits for the key.
func (s *story) pay(ctx context.Context, took *time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, seeLimit)
	defer cancel()
	button, err := s.anna.Press("Pay")
	if err != nil {
		return err
	}
	began := time.Now()
	if s.paid, err = s.anna.Pay(button.URL); err != nil {
		return err
	}
	message, err := s.anna.See(ctx, "Your access is ready\n")
	if err != nil {
		return err
	}
	if took != nil {
		*took = time.Since(began)
	}
	link := regexp.MustCompile(`vless://\S+`).FindString(message.Text)
	switch {
	case link == "" || message.PhotoFileID == "":
		return fmt.Errorf("no key or no picture in %q", message.Text)
	case s.link != "" && link != s.link:
		return errors.New("the key is not the one she has")
	}
	s.link = link
	return nil
}

// connect starts a VPN client that knows the key alone.
func (s *story) connect(ctx context.Context) error {
	began := time.Now()
	var err error
	if s.device, err = client.Start(ctx, s.world.Ready().Xray.Binary, s.link); err != nil {
		return err
	}
	if err := s.fetch(ctx, fetchLimit); err != nil {
		return err
	}
	s.connected = time.Since(began)
	return nil
}

// fetch gets the page behind the tunnel, once.
func (s *story) fetch(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.world.Ready().InternetURL, http.NoBody)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	response, err := s.device.HTTPClient().Do(request)
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

// fetchSoon gets the page, again and again until it comes.
func (s *story) fetchSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, seeLimit)
	defer cancel()
	for {
		err := s.fetch(ctx, tryLimit)
		if err == nil {
			return nil
		}
		if pause(ctx) != nil {
			return err
		}
	}
}

// pause is the time between two tries.
func pause(ctx context.Context) error {
	select {
	case <-time.After(fetchPause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// books is all that a payment changes.
type books struct {
	ExpiresAt                         time.Time
	Orders, Events, Postings, Entries int
}

func (s *story) books(ctx context.Context) (books, error) {
	db, err := pgx.Connect(ctx, s.world.Ready().DatabaseDirectURL)
	if err != nil {
		return books{}, fmt.Errorf("look into the books: %w", err)
	}
	defer func() { _ = db.Close(ctx) }() // it was only read
	rows, err := db.Query(ctx, `
		SELECT (SELECT expires_at FROM subscriptions WHERE user_id = $1) AS expires_at,
		       (SELECT count(*) FROM orders WHERE status = 'paid') AS orders,
		       (SELECT count(*) FROM payment_events) AS events,
		       (SELECT count(*) FROM ledger_postings) AS postings,
		       (SELECT count(*) FROM ledger_entries) AS entries`, annaID)
	if err != nil {
		return books{}, fmt.Errorf("look into the books: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[books])
	if err != nil {
		return books{}, fmt.Errorf("look into the books: %w", err)
	}
	return found, nil
}

// again has the provider repeat its callback, and compares the books.
func (s *story) again(ctx context.Context) error {
	before, err := s.books(ctx)
	if err != nil {
		return err
	}
	if before.Orders != 1 || before.Events != 1 || before.Postings != 1 || before.Entries < 2 {
		return fmt.Errorf("the books are not those of one payment: %+v", before)
	}
	if err := s.world.CryptoPay.Redeliver(s.paid.ID); err != nil {
		return err
	}
	after, err := s.books(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("the books changed from %+v to %+v", before, after)
	}
	return err
}

// crash kills the VPN server, which forgets everybody, and starts it.
func (s *story) crash(ctx context.Context) error {
	s.world.Node.Kill()
	if err := s.world.Node.Restart(ctx); err != nil {
		return err
	}
	return s.fetchSoon(ctx)
}

// expire waits for the end of the access.
func (s *story) expire(ctx context.Context) error {
	if err := s.sees(ctx, "Your access has ended"); err != nil {
		return err
	}
	keys := 0
	for _, m := range s.world.Telegram.Chat(annaID).Messages {
		keys += strings.Count(m.Text, "vless://")
	}
	if keys != 1 {
		return fmt.Errorf("the key was sent %d times", keys)
	}
	for told := time.Now(); s.fetch(ctx, fetchLimit) == nil; {
		if time.Since(told) > refusedWithin {
			return fmt.Errorf("the key works %s after the end", refusedWithin)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reorder buys the same again, up to the invoice.
func (s *story) reorder(ctx context.Context, period string) error {
	for _, press := range []struct{ label, text string }{
		{"Renew", "Choose a plan"},
		{"Taster", "For how long?"},
		{period, "How would you like to pay?"},
		{"CryptoBot", "Press the button and pay"},
	} {
		if err := s.press(ctx, press.label, press.text); err != nil {
			return err
		}
	}
	return nil
}
