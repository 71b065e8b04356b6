package bot

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
)

// Webhook is where and how Telegram delivers updates.
type Webhook struct {
	URL            string
	Secret         string // comes back with every delivery
	MaxConnections int    // 1..100
	Certificate    []byte // PEM, that Telegram shall trust; nil means those that everybody trusts
}

// Digest tells webhooks apart and shows nothing of the secret. Which certificate of our own
// it is makes no difference: that is renewed.
func (w Webhook) Digest() [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q %t", w.URL, w.Secret, w.MaxConnections, AllowedUpdates(), w.Certificate != nil))
}

// AllowedUpdates are the kinds of updates that we want.
func AllowedUpdates() []string {
	return []string{"message", "callback_query", "pre_checkout_query", "my_chat_member"}
}

// SetWebhook tells Telegram the webhook. Every parameter is sent, because what is
// not sent falls back to its default; updates that wait are never dropped. Safe to
// repeat: an unchanged webhook stays as it is, and one with a certificate is set anew.
func (c *Client) SetWebhook(ctx context.Context, w Webhook) error {
	params := tgbotapi.Params{
		"url":             w.URL,
		"secret_token":    w.Secret,
		"max_connections": strconv.Itoa(w.MaxConnections),
		"allowed_updates": `["` + strings.Join(AllowedUpdates(), `","`) + `"]`,
	}
	if w.Certificate == nil {
		return c.Call(ctx, "setWebhook", params, nil)
	}
	return c.Upload(ctx, "setWebhook", params, []tgbotapi.RequestFile{{
		Name: "certificate", Data: tgbotapi.FileBytes{Name: "certificate.pem", Bytes: w.Certificate},
	}}, nil)
}

// WebhookInfo is what Telegram knows of the webhook.
type WebhookInfo struct {
	URL              string   `json:"url"`
	OwnCertificate   bool     `json:"has_custom_certificate"`
	Pending          int      `json:"pending_update_count"`
	LastErrorDate    int64    `json:"last_error_date"` // Unix time; it stays after the error is over
	LastErrorMessage string   `json:"last_error_message"`
	IPAddress        string   `json:"ip_address"` // that Telegram delivers to; empty before it has looked
	MaxConnections   int      `json:"max_connections"`
	AllowedUpdates   []string `json:"allowed_updates"`
}

// WebhookInfo asks Telegram what it knows of the webhook.
func (c *Client) WebhookInfo(ctx context.Context) (info WebhookInfo, err error) {
	err = c.Call(ctx, "getWebhookInfo", nil, &info)
	return info, err
}

// DeleteWebhook has Telegram deliver nowhere; updates wait there for a day.
func (c *Client) DeleteWebhook(ctx context.Context) error {
	return c.Call(ctx, "deleteWebhook", nil, nil)
}
