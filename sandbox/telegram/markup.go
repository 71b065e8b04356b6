package telegram

import (
	"encoding/json"
	"net/url"
	"strings"
)

// maxButtons is how many buttons one inline keyboard may have.
const maxButtons = 100

// inlineMarkup is an InlineKeyboardMarkup.
type inlineMarkup struct {
	Rows [][]inlineButton `json:"inline_keyboard"`
}

type inlineButton struct {
	Text           string          `json:"text"`
	Icon           string          `json:"icon_custom_emoji_id,omitempty"`
	Style          string          `json:"style,omitempty"`
	URL            *string         `json:"url,omitempty"`
	Data           *string         `json:"callback_data,omitempty"`
	WebApp         *webApp         `json:"web_app,omitempty"`
	Login          json.RawMessage `json:"login_url,omitempty"`
	Switch         *string         `json:"switch_inline_query,omitempty"`
	SwitchHere     *string         `json:"switch_inline_query_current_chat,omitempty"`
	SwitchChosen   json.RawMessage `json:"switch_inline_query_chosen_chat,omitempty"`
	Copy           *copyText       `json:"copy_text,omitempty"`
	Game           json.RawMessage `json:"callback_game,omitempty"`
	Pay            bool            `json:"pay,omitempty"`
	DisabledButton json.RawMessage `json:"disabled,omitempty"`
}

type webApp struct {
	URL string `json:"url"`
}

type copyText struct {
	Text string `json:"text"`
}

// readInline reads an inline keyboard from reply_markup; nil means none.
func readInline(c *call, invoice bool) (*inlineMarkup, error) {
	var m inlineMarkup
	if err := c.decode("reply_markup", &m); err != nil {
		return nil, err
	}
	if c.lenient {
		m.keepFirstActions()
	}
	if err := m.check(invoice); err != nil {
		return nil, err
	}
	return m.orNil(), nil
}

// readReplyKeyboard reads the button texts of a reply keyboard from reply_markup; nil means that there is none.
func readReplyKeyboard(c *call) ([][]string, error) {
	var m struct {
		Keyboard [][]json.RawMessage `json:"keyboard"`
	}
	if err := c.decode("reply_markup", &m); err != nil {
		return nil, err
	}
	var rows [][]string
	for _, row := range m.Keyboard {
		var texts []string
		for _, raw := range row {
			text := keyboardText(raw)
			if text == "" {
				return nil, badRequest("can't parse keyboard button: Button text must be non-empty")
			}
			texts = append(texts, text)
		}
		rows = append(rows, texts)
	}
	return rows, nil
}

// keyboardText reads a button of a reply keyboard, which is an object or its text alone.
func keyboardText(raw json.RawMessage) string {
	var button struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &button.Text) != nil {
		_ = json.Unmarshal(raw, &button) // the table check has found it to be an object
	}
	return button.Text
}

// orNil returns nil for a keyboard without buttons.
func (m *inlineMarkup) orNil() *inlineMarkup {
	if m == nil {
		return nil
	}
	for _, row := range m.Rows {
		if len(row) > 0 {
			return m
		}
	}
	return nil
}

func (m *inlineMarkup) check(invoice bool) error {
	total := 0
	for r, row := range m.Rows {
		for b, button := range row {
			total++
			if err := button.check(); err != nil {
				return err
			}
			if err := button.checkPay(invoice, r == 0 && b == 0); err != nil {
				return err
			}
		}
	}
	if total > maxButtons {
		return badRequest("reply markup is too long")
	}
	return nil
}

// checkPay keeps pay buttons to the first place of invoice messages, where they must be.
func (b inlineButton) checkPay(invoice, first bool) error {
	switch {
	case b.Pay && !invoice:
		return badRequest("BUTTON_TYPE_INVALID")
	case b.Pay && !first:
		return badRequest("BUTTON_POS_INVALID")
	case invoice && first && !b.Pay:
		return badRequest("REPLY_MARKUP_BUY_EMPTY")
	}
	return nil
}

func (b inlineButton) check() error {
	if strings.TrimSpace(b.Text) == "" {
		return badRequest("can't parse inline keyboard button: Button text must be non-empty")
	}
	switch b.actions() {
	case 1:
	case 0:
		return badRequest("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
	default:
		return badRequest("sandbox: inline keyboard button must have exactly one action")
	}
	switch b.Style {
	case "", "danger", "success", "primary":
		return b.checkAction()
	}
	return badRequest("can't parse inline keyboard button: Unsupported button style")
}

// keepFirstActions leaves each button that has several actions the one that the real server takes.
func (m *inlineMarkup) keepFirstActions() {
	for _, row := range m.Rows {
		for i, b := range row {
			if b.actions() > 1 {
				row[i] = b.keepFirstAction()
			}
		}
	}
}

// keepFirstAction returns the button with the first action that is not empty.
func (b inlineButton) keepFirstAction() inlineButton {
	only := inlineButton{Text: b.Text, Icon: b.Icon, Style: b.Style}
	switch {
	case b.URL != nil && *b.URL != "":
		only.URL = b.URL
	case b.Data != nil && *b.Data != "":
		only.Data = b.Data
	case len(b.Game) > 0:
		only.Game = b.Game
	case b.Pay:
		only.Pay = true
	case b.Switch != nil:
		only.Switch = b.Switch
	case b.SwitchHere != nil:
		only.SwitchHere = b.SwitchHere
	case len(b.SwitchChosen) > 0:
		only.SwitchChosen = b.SwitchChosen
	case len(b.Login) > 0:
		only.Login = b.Login
	case b.WebApp != nil && b.WebApp.URL != "":
		only.WebApp = b.WebApp
	case b.Copy != nil && b.Copy.Text != "":
		only.Copy = b.Copy
	case len(b.DisabledButton) > 0:
		only.DisabledButton = b.DisabledButton
	}
	return only
}

func (b inlineButton) actions() int {
	n := 0
	for _, present := range []bool{
		b.URL != nil, b.Data != nil, b.WebApp != nil, len(b.Login) > 0, b.Switch != nil, b.SwitchHere != nil,
		len(b.SwitchChosen) > 0, b.Copy != nil, len(b.Game) > 0, b.Pay, len(b.DisabledButton) > 0,
	} {
		if present {
			n++
		}
	}
	return n
}

func (b inlineButton) checkAction() error {
	switch {
	case b.Data != nil && (*b.Data == "" || len(*b.Data) > 64):
		return badRequest("BUTTON_DATA_INVALID")
	case b.URL != nil && !buttonURL(*b.URL):
		return badRequest("BUTTON_URL_INVALID")
	case b.Copy != nil && (b.Copy.Text == "" || runeLen(b.Copy.Text) > 256):
		return badRequest("BUTTON_COPY_TEXT_INVALID")
	case b.WebApp != nil && !secureURL(b.WebApp.URL):
		return badRequest("inline keyboard button Web App URL '%s' is invalid: Only HTTPS links are allowed", b.WebApp.URL)
	}
	return nil
}

func buttonURL(address string) bool {
	clean, ok := cleanURL(address)
	return ok && !strings.HasPrefix(clean, "mailto:") && !strings.HasPrefix(clean, "tel:")
}

// secureURL accepts https anywhere and, a liberty of the sandbox, http on a loopback host.
func secureURL(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

// buttons renders the keyboard for a snapshot.
func (m *inlineMarkup) buttons() [][]Button {
	if m.orNil() == nil {
		return nil
	}
	rows := make([][]Button, 0, len(m.Rows))
	for _, row := range m.Rows {
		out := make([]Button, 0, len(row))
		for _, b := range row {
			out = append(out, b.snapshot())
		}
		rows = append(rows, out)
	}
	return rows
}

func (b inlineButton) snapshot() Button {
	out := Button{Text: b.Text, Style: b.Style, Pay: b.Pay, Disabled: len(b.DisabledButton) > 0}
	if b.Data != nil {
		out.Data = *b.Data
	}
	if b.URL != nil {
		out.URL = *b.URL
	}
	if b.Copy != nil {
		out.CopyText = b.Copy.Text
	}
	if b.WebApp != nil {
		out.WebAppURL = b.WebApp.URL
	}
	return out
}

// holds reports whether the keyboard has a button with the callback data.
func (m *inlineMarkup) holds(data string) bool {
	for _, row := range m.buttons() {
		for _, b := range row {
			if b.Data != "" && b.Data == data {
				return true
			}
		}
	}
	return false
}
