package telegram

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Command is one entry of the bot's command list.
type Command struct {
	Command     string `json:"command"`
	Description string `json:"description"`
	IsEphemeral bool   `json:"is_ephemeral,omitempty"`
}

// Menu is the button beside the input field: commands, default or web_app.
type Menu struct {
	Type string `json:"type"`
	Text string `json:"text,omitempty"`
	URL  string `json:"url,omitempty"`
}

// profile is what the bot says about itself. Keys end with the language, which is empty for everyone else.
type profile struct {
	commands map[string][]Command
	texts    map[string]string
	menu     json.RawMessage
}

func newProfile() profile {
	return profile{commands: make(map[string][]Command), texts: make(map[string]string)}
}

func (s *Server) getMe(*call) (any, error) {
	return map[string]any{
		"id": s.self.ID, "is_bot": true, "first_name": s.ownText("name", ""), "username": s.self.Username,
		"can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
		"can_connect_to_business": false, "has_main_web_app": false,
	}, nil
}

func (s *Server) getChat(c *call) (any, error) {
	ch, err := s.target(c)
	if err != nil {
		return nil, err
	}
	u := ch.user
	out := map[string]any{
		"id": u.ID, "type": "private", "first_name": u.FirstName, "accent_color_id": 0, "max_reaction_count": 11,
		"accepted_gift_types": map[string]bool{
			"unlimited_gifts": true, "limited_gifts": true, "unique_gifts": true,
			"premium_subscription": true, "gifts_from_channels": true,
		},
	}
	if u.LastName != "" {
		out["last_name"] = u.LastName
	}
	if u.Username != "" {
		out["username"] = u.Username
		out["active_usernames"] = []string{u.Username}
	}
	return out, nil
}

// language reads a two-letter language code or nothing.
func language(c *call) (string, error) {
	code := c.text("language_code")
	if code != "" && (len(code) != 2 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") != "") {
		return "", badRequest("invalid language code specified")
	}
	return code, nil
}

// scopeKey names the command list that a call addresses.
func (s *Server) scopeKey(c *call) (string, error) {
	code, err := language(c)
	if err != nil {
		return "", err
	}
	scope := struct {
		Type   string      `json:"type"`
		ChatID json.Number `json:"chat_id"`
		UserID json.Number `json:"user_id"`
	}{Type: "default"}
	if err := c.decode("scope", &scope); err != nil {
		return "", err
	}
	key := scope.Type
	if strings.HasPrefix(key, "chat") {
		id, _ := scope.ChatID.Int64()
		if _, ok := s.chats[id]; !ok {
			return "", badRequest("chat not found")
		}
		key = fmt.Sprintf("%s:%s:%s", scope.Type, scope.ChatID, scope.UserID)
	}
	return key + "|" + code, nil
}

func (s *Server) setMyCommands(c *call) (any, error) {
	key, err := s.scopeKey(c)
	if err != nil {
		return nil, err
	}
	var list []Command
	if err := c.decode("commands", &list); err != nil {
		return nil, err
	}
	if len(list) > 100 {
		return nil, badRequest("BOT_COMMANDS_TOO_MUCH")
	}
	for _, command := range list {
		if err := command.check(); err != nil {
			return nil, err
		}
	}
	s.profile.commands[key] = list
	return true, nil
}

func (c Command) check() error {
	name := strings.TrimPrefix(c.Command, "/")
	if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return badRequest("BOT_COMMAND_INVALID")
	}
	if c.Description == "" || runeLen(c.Description) > 256 {
		return badRequest("BOT_COMMAND_DESCRIPTION_INVALID")
	}
	return nil
}

func (s *Server) getMyCommands(c *call) (any, error) {
	key, err := s.scopeKey(c)
	if err != nil {
		return nil, err
	}
	return append([]Command{}, s.profile.commands[key]...), nil
}

func (s *Server) deleteMyCommands(c *call) (any, error) {
	key, err := s.scopeKey(c)
	if err != nil {
		return nil, err
	}
	delete(s.profile.commands, key)
	return true, nil
}

// commandsFor returns the list of the narrowest scope, the person's language first.
func (p profile) commandsFor(u User) []Command {
	code, _, _ := strings.Cut(strings.ToLower(u.LanguageCode), "-")
	for _, scope := range []string{fmt.Sprintf("chat:%d:", u.ID), "all_private_chats", "default"} {
		for _, suffix := range []string{"|" + code, "|"} {
			if list := p.commands[scope+suffix]; len(list) > 0 {
				return append([]Command{}, list...)
			}
		}
	}
	return []Command{}
}

// setMyText makes the setter of one of the bot's own texts.
func (s *Server) setMyText(name string, limit int) func(*call) (any, error) {
	return func(c *call) (any, error) {
		code, err := language(c)
		if err != nil {
			return nil, err
		}
		text := strings.TrimSpace(c.text(name))
		if runeLen(text) > limit {
			return nil, badRequest("sandbox: %s must have at most %d characters", name, limit)
		}
		if text == "" && name == "name" && code == "" {
			return nil, badRequest("BOT_TITLE_INVALID")
		}
		s.profile.texts[name+"|"+code] = text
		return true, nil
	}
}

func (s *Server) getMyText(name string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		code, err := language(c)
		if err != nil {
			return nil, err
		}
		return map[string]string{name: s.ownText(name, code)}, nil
	}
}

// ownText returns a text in the language, or the text for everyone else.
func (s *Server) ownText(name, code string) string {
	text := or(s.profile.texts[name+"|"+code], s.profile.texts[name+"|"])
	if name == "name" {
		return or(text, s.cfg.BotName)
	}
	return text
}
