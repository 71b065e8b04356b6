package cryptobot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// App is what Crypto Pay says of our app.
type App struct {
	Name string
	// Bot is the username of the bot that customers pay in: CryptoBot, or
	// CryptoTestnetBot on the test network.
	Bot string
	// Webhook is where payments are reported, empty if nowhere. WebhookKnown says
	// whether the service told it at all: it is not documented.
	Webhook      string
	WebhookKnown bool
}

// Me asks the service which app the token is of.
func (c *Client) Me(ctx context.Context) (App, error) {
	var answer struct {
		ID      text            `json:"app_id"`
		Name    text            `json:"name"`
		Bot     text            `json:"payment_processing_bot_username"`
		Webhook json.RawMessage `json:"webhook_endpoint"`
	}
	if err := c.call(ctx, "getMe", struct{}{}, &answer); err != nil {
		return App{}, err
	}
	if _, err := strconv.ParseInt(string(answer.ID), 10, 64); err != nil {
		return App{}, fmt.Errorf("crypto pay getMe: %w", internal(fmt.Errorf("app id %q", string(answer.ID))))
	}
	app := App{Name: string(answer.Name), Bot: string(answer.Bot), WebhookKnown: answer.Webhook != nil}
	var endpoint text
	if app.WebhookKnown && json.Unmarshal(answer.Webhook, &endpoint) == nil {
		app.Webhook = string(endpoint)
	}
	return app, nil
}

// Check asks the service who we are: nil means that it answers and that the
// token is good.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.Me(ctx)
	return err
}

// WrongToken says that err is the service's word that the token is not one of this
// network's.
func WrongToken(err error) bool {
	refused, ok := errors.AsType[*APIError](err)
	return ok && refused.Code == http.StatusUnauthorized
}
