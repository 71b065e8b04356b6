package telegram

import "encoding/json"

func (s *Server) setChatMenuButton(c *call) (any, error) {
	button, err := readMenu(c)
	if err != nil {
		return nil, err
	}
	if !c.has("chat_id") {
		s.profile.menu = button
		return true, nil
	}
	ch, err := s.target(c)
	if err != nil {
		return nil, err
	}
	ch.menu = button
	s.changed(ch)
	return true, nil
}

func readMenu(c *call) (json.RawMessage, error) {
	if !c.has("menu_button") {
		return json.RawMessage(`{"type":"default"}`), nil
	}
	var m struct {
		Type   string  `json:"type"`
		Text   string  `json:"text"`
		WebApp *webApp `json:"web_app"`
	}
	if err := c.decode("menu_button", &m); err != nil {
		return nil, err
	}
	if m.Type == "web_app" {
		switch {
		case m.Text == "":
			return nil, badRequest("BUTTON_TEXT_INVALID")
		case m.WebApp == nil || !secureURL(m.WebApp.URL):
			return nil, badRequest("menu button Web App URL is invalid: Only HTTPS links are allowed")
		}
	}
	return json.RawMessage(c.text("menu_button")), nil
}

func (s *Server) getChatMenuButton(c *call) (any, error) {
	if !c.has("chat_id") {
		return orJSON(s.profile.menu, `{"type":"commands"}`), nil
	}
	ch, err := s.target(c)
	if err != nil {
		return nil, err
	}
	return orJSON(ch.menu, `{"type":"default"}`), nil
}

// menuFor resolves the button that a person sees: their own, or everyone's.
func (s *Server) menuFor(ch *chat) Menu {
	for _, raw := range []json.RawMessage{ch.menu, s.profile.menu} {
		var m struct {
			Menu
			WebApp webApp `json:"web_app"`
		}
		if len(raw) == 0 || json.Unmarshal(raw, &m) != nil || m.Type == "default" {
			continue
		}
		m.URL = m.WebApp.URL
		return m.Menu
	}
	return Menu{Type: "commands"}
}

func orJSON(raw json.RawMessage, fallback string) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage(fallback)
	}
	return raw
}
