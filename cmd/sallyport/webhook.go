package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/bot"
)

// keepWebhook tells Telegram where to deliver, again and again until it is told.
func (p *program) keepWebhook(ctx context.Context) {
	webhook := bot.Webhook{
		URL: p.config.under(api.TelegramPath), Secret: string(p.config.WebhookSecret), MaxConnections: p.config.MaxWebhooks,
	}
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := p.client.SetWebhook(ctx, webhook)
		if err == nil {
			p.log.Info("webhook set")
			return
		}
		if ctx.Err() != nil {
			return
		}
		p.log.Error("webhook not set, trying again", zap.Error(err), zap.Duration("after", pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
