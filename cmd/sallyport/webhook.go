package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/shop"
)

// introduce tells Telegram where to deliver and what the bot's commands are.
func (p *program) introduce(ctx context.Context) {
	p.untilDone(ctx, "set webhook", p.setWebhook)
	p.untilDone(ctx, "set commands", func(ctx context.Context) error {
		err := p.front.Introduce(ctx)
		if shop.KindOf(err) == shop.KindInternal && err != nil {
			p.log.Error("commands not set", zap.Error(err)) // refused for good: the bot works without them
			return nil
		}
		return err
	})
}

func (p *program) setWebhook(ctx context.Context) error {
	if p.selfSigned == nil {
		return p.setWebhookTrusting(ctx, nil)
	}
	return p.setWebhookTrusting(ctx, p.selfSigned.PEM())
}

// setWebhookTrusting tells Telegram the webhook, and the certificate to trust there
// if it is one of our own.
func (p *program) setWebhookTrusting(ctx context.Context, certificate []byte) error {
	webhook := bot.Webhook{
		URL: p.config.under(api.TelegramPath), Secret: string(p.config.WebhookSecret), MaxConnections: p.config.MaxWebhooks,
		Certificate: certificate,
	}
	return p.client.SetWebhook(ctx, webhook)
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
		p.log.Error("not done, trying again", zap.String("what", what), zap.Error(err), zap.Duration("after", pause))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}
