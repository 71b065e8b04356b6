package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/shop"
)

// command is one line of the menu that Telegram shows beside the input field.
type command struct {
	Command     string `json:"command"`
	Description string `json:"description"`
}

// menuCommands returns the menu in one language.
func menuCommands(p painter) []command {
	var menu []command
	for _, name := range []string{"start", "buy", "key", "profile", "help", "support", "paysupport", "language"} {
		menu = append(menu, command{Command: name, Description: p.text("command."+name, nil)})
	}
	return menu
}

// Introduce tells Telegram the bot's commands in every language, where they differ
// from what it shows. Safe to repeat.
func (b *Bot) Introduce(ctx context.Context) error {
	codes := []string{""} // who speaks none of our languages sees the fallback
	for _, l := range shop.Languages() {
		codes = append(codes, string(l))
	}
	for _, code := range codes {
		menu := menuCommands(b.display.texts.painter(shop.Language(code)))
		var shown []command
		if err := b.client.Call(ctx, "getMyCommands", tgbotapi.Params{"language_code": code}, &shown); err != nil {
			return fmt.Errorf("read commands: %w", err)
		}
		if slices.Equal(shown, menu) {
			continue
		}
		list, err := json.Marshal(menu)
		if err != nil {
			return fmt.Errorf("commands: %w", err)
		}
		if err := b.client.Call(ctx, "setMyCommands", tgbotapi.Params{"commands": string(list), "language_code": code}, nil); err != nil {
			return fmt.Errorf("set commands: %w", err)
		}
	}
	return nil
}
