package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/shop"
)

// command is one line of the menu that Telegram shows beside the input field.
type command struct {
	Command     string `json:"command"`
	Description string `json:"description"`
}

// menuCommands returns the menu in one language.
func (b *Bot) menuCommands(p painter) []command {
	var menu []command
	for _, r := range b.routes() {
		if name := strings.TrimPrefix(r.command, "/"); name != "" && !r.unlisted {
			menu = append(menu, command{Command: name, Description: p.text("command."+name, nil)})
		}
	}
	return menu
}

// Introduce tells Telegram how the bot presents itself in every language, where that
// differs from what it shows: commands, the texts of the empty chat and of the
// profile, the menu button. Safe to repeat.
func (b *Bot) Introduce(ctx context.Context) error {
	codes := []string{""} // who speaks none of our languages sees the fallback
	for _, l := range shop.Languages() {
		codes = append(codes, string(l))
	}
	for _, code := range codes {
		paint := b.display.texts.painter(shop.Language(code))
		if err := b.introduceCommands(ctx, code, b.menuCommands(paint)); err != nil {
			return err
		}
		if err := b.introduceText(ctx, code, "Description", "description", paint.text("bot.description", nil)); err != nil {
			return err
		}
		if err := b.introduceText(ctx, code, "ShortDescription", "short_description", paint.text("bot.short", nil)); err != nil {
			return err
		}
	}
	return b.introduceMenu(ctx)
}

func (b *Bot) introduceCommands(ctx context.Context, code string, menu []command) error {
	var shown []command
	if err := b.client.Call(ctx, "getMyCommands", tgbotapi.Params{"language_code": code}, &shown); err != nil {
		return fmt.Errorf("read commands: %w", err)
	}
	if slices.Equal(shown, menu) {
		return nil
	}
	list, err := json.Marshal(menu)
	if err != nil {
		return fmt.Errorf("commands: %w", err)
	}
	if err := b.client.Call(ctx, "setMyCommands", tgbotapi.Params{"commands": string(list), "language_code": code}, nil); err != nil {
		return fmt.Errorf("set commands: %w", err)
	}
	return nil
}

// introduceText sets one of the bot's own texts by the methods getMy... and setMy...
func (b *Bot) introduceText(ctx context.Context, code, method, field, text string) error {
	var shown map[string]string
	if err := b.client.Call(ctx, "getMy"+method, tgbotapi.Params{"language_code": code}, &shown); err != nil {
		return fmt.Errorf("read %s: %w", field, err)
	}
	if shown[field] == text {
		return nil
	}
	if err := b.client.Call(ctx, "setMy"+method, tgbotapi.Params{field: text, "language_code": code}, nil); err != nil {
		return fmt.Errorf("set %s: %w", field, err)
	}
	return nil
}

// introduceMenu has the button beside the input field show the commands.
func (b *Bot) introduceMenu(ctx context.Context) error {
	var shown struct {
		Type string `json:"type"`
	}
	if err := b.client.Call(ctx, "getChatMenuButton", nil, &shown); err != nil {
		return fmt.Errorf("read menu button: %w", err)
	}
	if shown.Type == "commands" {
		return nil
	}
	if err := b.client.Call(ctx, "setChatMenuButton", tgbotapi.Params{"menu_button": `{"type":"commands"}`}, nil); err != nil {
		return fmt.Errorf("set menu button: %w", err)
	}
	return nil
}
