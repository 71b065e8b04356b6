package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/outbound"
	"sallyport/shop"
)

const (
	// spread is how long a new webhook and its secret are given to become known to every
	// process before Telegram is told.
	spread = 3 * time.Second
	// introduceEvery is how often it is looked at whether the bot presents itself as it should.
	introduceEvery = time.Hour
)

// webhook is the webhook as it should be.
func (p *program) webhook() bot.Webhook {
	w := p.config.webhook()
	if p.selfSigned != nil {
		w.Certificate = p.selfSigned.PEM()
	}
	return w
}

func (c config) webhook() bot.Webhook {
	return bot.Webhook{URL: c.under(api.TelegramPath), Secret: string(c.WebhookSecret), MaxConnections: c.MaxWebhooks}
}

// keepWebhook tells Telegram where to deliver, and keeps that so, whenever no process
// that began later wants it otherwise, until ctx ends.
func (p *program) keepWebhook(ctx context.Context, up <-chan struct{}) {
	select {
	case <-up:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if p.latest.Load() {
			p.holdWebhook(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// untilOutdone ends soon after a process that began later wants another webhook.
func (p *program) untilOutdone(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for p.latest.Load() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		p.log.Info("a process that began later wants another webhook")
		cancel()
	}()
	return ctx, cancel
}

// holdWebhook announces the webhook and keeps it until another is wanted. The others hear
// of it, and of its secret, before Telegram does, and the secret before is taken for a
// while after: nothing that is delivered meanwhile is refused, and nobody sets back what was.
func (p *program) holdWebhook(ctx context.Context) {
	ctx, cancel := p.untilOutdone(ctx)
	defer cancel()
	defer p.keeper.Yield()
	began := time.Now()
	digest := sha256.Sum256([]byte(p.config.WebhookSecret))
	var known time.Duration
	p.untilDone(ctx, "announce secret", func(ctx context.Context) (err error) {
		known, err = p.work.AnnounceSecret(ctx, digest)
		return err
	})
	known = min(known, time.Since(began))
	if known < spread && !p.eldest.Load() {
		select {
		case <-time.After(spread - known):
		case <-ctx.Done():
			return
		}
	}
	p.untilDone(ctx, "set webhook", p.keeper.Set)
	p.untilDone(ctx, "supersede secrets", func(ctx context.Context) error { return p.work.SupersedeSecrets(ctx, digest) })
	p.keeper.Run(ctx)
}

// keepIntroduced tells Telegram how the bot presents itself, now and again.
func (p *program) keepIntroduced(ctx context.Context) {
	tick := time.NewTicker(introduceEvery)
	defer tick.Stop()
	for {
		p.untilDone(ctx, "introduce", func(ctx context.Context) error {
			err := p.front.Introduce(ctx)
			if err != nil && shop.KindOf(err) == shop.KindInternal {
				p.log.Error("bot not introduced", zap.NamedError("err", err)) // refused for good: the bot works without
				return nil
			}
			return err
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// announceCertificate has Telegram trust the next certificate of our own.
func (p *program) announceCertificate(ctx context.Context, pem []byte) error {
	p.untilDone(ctx, "upload renewed certificate", func(ctx context.Context) error {
		if !p.latest.Load() {
			return nil // it is uploaded when the webhook is ours again
		}
		w := p.config.webhook()
		w.Certificate = pem
		return p.client.SetWebhook(ctx, w)
	})
	return ctx.Err()
}

// untilDone tries again and again, ever more rarely, until do succeeds or ctx ends;
// it reports whether do succeeded.
func (p *program) untilDone(ctx context.Context, what string, do func(context.Context) error) bool {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := do(ctx)
		if err == nil {
			p.log.Info("done", zap.String("what", what))
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		p.log.Error("not done, trying again", zap.String("what", what), zap.NamedError("err", err), zap.Duration("after", pause))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// webhookCommand looks at the webhook or changes it by hand. The running shop sets
// it by itself.
type webhookCommand struct {
	Info   webhookInfoCommand   `cmd:"" help:"Show what Telegram knows of the webhook."`
	Set    webhookSetCommand    `cmd:"" help:"Tell Telegram the webhook, with the secret and certificate that the running shop has. It does so by itself."`
	Delete webhookDeleteCommand `cmd:"" help:"Have Telegram deliver nowhere: what comes waits there for a day. A running shop sets it again."`
}

type webhookInfoCommand struct{}

// Run prints what Telegram knows of the webhook.
func (webhookInfoCommand) Run(ctx context.Context, out io.Writer) error {
	_, client, err := telegramClient()
	if err != nil {
		return err
	}
	defer client.Close()
	info, err := client.WebhookInfo(ctx)
	if err != nil {
		return fmt.Errorf("ask telegram: %w", err)
	}
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("show webhook: %w", err)
	}
	_, err = fmt.Fprintln(out, string(text))
	return err //nolint:wrapcheck // standard output names itself
}

type webhookSetCommand struct{}

// Run tells Telegram the webhook. With TLS=selfsigned the certificate in TLS_DIR goes
// with it.
func (webhookSetCommand) Run(ctx context.Context, out io.Writer) error {
	c, client, err := telegramClient()
	if err != nil {
		return err
	}
	defer client.Close()
	w := c.webhook()
	if c.TLS == tlsSelfSigned {
		if _, err := os.Stat(filepath.Join(c.TLSDir, api.SelfSignedFile)); err != nil {
			return fmt.Errorf("TLS=selfsigned: there is no certificate yet, the shop makes it when it starts: %w", err)
		}
		certificate, err := api.NewSelfSigned(api.SelfSignedConfig{Host: c.publicHost(), Dir: c.TLSDir})
		if err != nil {
			return fmt.Errorf("TLS=selfsigned: %w", err)
		}
		w.Certificate = certificate.PEM()
	}
	if err := client.SetWebhook(ctx, w); err != nil {
		return fmt.Errorf("set webhook: %w", err)
	}
	_, err = fmt.Fprintln(out, "Telegram delivers to", w.URL)
	return err //nolint:wrapcheck // standard output names itself
}

type webhookDeleteCommand struct{}

// Run has Telegram deliver nowhere.
func (webhookDeleteCommand) Run(ctx context.Context, out io.Writer) error {
	_, client, err := telegramClient()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.DeleteWebhook(ctx); err != nil {
		return fmt.Errorf("delete webhook: %w", err)
	}
	_, err = fmt.Fprintln(out, "Telegram delivers nowhere; updates wait there for a day")
	return err //nolint:wrapcheck // standard output names itself
}

// telegramClient returns a client for one call from the command line.
func telegramClient() (config, *bot.Client, error) {
	c, err := readConfig()
	if err != nil {
		return config{}, nil, err
	}
	host := outbound.New(outbound.Config{Name: "telegram", Timeout: telegramBudget, Proxy: c.telegramProxy()})
	return c, bot.NewClient(string(c.BotToken), c.TelegramAPI, host), nil
}
