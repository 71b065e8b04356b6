package telegram

import (
	"encoding/json"
	"strings"

	"sallyport/sandbox/telegram/botapi"
)

// looseInt is an integer inside an object, which may be written as a string.
type looseInt int64

// UnmarshalJSON reads 5 and "5".
func (n *looseInt) UnmarshalJSON(raw []byte) error {
	value, ok := botapi.ParseInt(strings.Trim(string(raw), `"`))
	if !ok {
		return &json.UnsupportedValueError{Str: string(raw)}
	}
	*n = looseInt(value)
	return nil
}

// edited finds the message that a call edits.
func (s *Server) edited(c *call) (*chat, *message, error) {
	if c.text("inline_message_id") != "" {
		return nil, nil, badRequest("MESSAGE_ID_INVALID")
	}
	if err := refuseOptions(c); err != nil {
		return nil, nil, err
	}
	ch, err := s.target(c)
	if err != nil {
		return nil, nil, err
	}
	if !c.has("message_id") {
		return nil, nil, badRequest("message identifier is not specified")
	}
	m := ch.find(int(c.integer("message_id")))
	switch {
	case m == nil:
		return nil, nil, badRequest("message to edit not found")
	case !m.fromBot:
		return nil, nil, badRequest("message can't be edited")
	}
	return ch, m, nil
}

// replace puts the changed copy in the place of the message, unless nothing would change.
func (s *Server) replace(c *call, ch *chat, m *message, next message) (any, error) {
	var err error
	if next.markup, err = readInline(c, m.invoice != nil); err != nil {
		return nil, err
	}
	if next.fingerprint() == m.fingerprint() {
		return nil, badRequest("message is not modified: specified new message content and reply markup are exactly " +
			"the same as a current content and reply markup of the message")
	}
	next.edited = s.cfg.Now()
	*m = next
	s.changed(ch)
	return s.wire(ch, m), nil
}

func (s *Server) editMessageText(c *call) (any, error) {
	if c.has("rich_message") {
		return nil, badRequest("sandbox: rich messages are not emulated")
	}
	f, err := s.readText(c, "text", "entities")
	if err != nil {
		return nil, err
	}
	if err := checkMessageText(f, "MESSAGE_TOO_LONG"); err != nil {
		return nil, err
	}
	ch, m, err := s.edited(c)
	if err != nil {
		return nil, err
	}
	if m.media != nil || m.invoice != nil {
		return nil, badRequest("there is no text in the message to edit")
	}
	next := *m
	next.text, next.entities, next.preview = f.text, f.entities, readPreview(c)
	return s.replace(c, ch, m, next)
}

func (s *Server) editMessageCaption(c *call) (any, error) {
	f, err := s.readCaption(c)
	if err != nil {
		return nil, err
	}
	ch, m, err := s.edited(c)
	if err != nil {
		return nil, err
	}
	if m.media == nil {
		return nil, badRequest("there is no caption in the message to edit")
	}
	next := *m
	next.text, next.entities, next.captionAbove = f.text, f.entities, c.flag("show_caption_above_media")
	return s.replace(c, ch, m, next)
}

func (s *Server) editMessageReplyMarkup(c *call) (any, error) {
	ch, m, err := s.edited(c)
	if err != nil {
		return nil, err
	}
	return s.replace(c, ch, m, *m)
}

func (s *Server) editMessageMedia(c *call) (any, error) {
	var in struct {
		Type         string   `json:"type"`
		Media        string   `json:"media"`
		Caption      string   `json:"caption"`
		ParseMode    string   `json:"parse_mode"`
		Entities     []entity `json:"caption_entities"`
		CaptionAbove bool     `json:"show_caption_above_media"`
		Spoiler      bool     `json:"has_spoiler"`
	}
	if err := c.decode("media", &in); err != nil {
		return nil, err
	}
	if in.Type != "photo" && in.Type != "document" {
		return nil, notEmulated("input media of type " + in.Type)
	}
	f, err := s.format(in.Caption, in.ParseMode, in.Entities)
	if err != nil {
		return nil, err
	}
	if utf16Len(f.text) > maxCaptionUnits {
		return nil, badRequest("message caption is too long")
	}
	ch, m, err := s.edited(c)
	if err != nil {
		return nil, err
	}
	if m.invoice != nil {
		return nil, badRequest("message can't be edited")
	}
	next := *m
	if next.media, err = s.readMedia(c, "", in.Media, in.Type == "photo"); err != nil {
		return nil, err
	}
	next.text, next.entities, next.captionAbove, next.spoiler = f.text, f.entities, in.CaptionAbove, in.Spoiler
	return s.replace(c, ch, m, next)
}

func (s *Server) deleteMessage(c *call) (any, error) {
	ch, err := s.target(c)
	if err != nil {
		return nil, err
	}
	m := ch.find(int(c.integer("message_id")))
	switch {
	case m == nil:
		return nil, badRequest("message to delete not found")
	case s.cfg.Now().Sub(m.date) > deleteLife:
		return nil, badRequest("message can't be deleted for everyone")
	}
	m.deleted = true
	s.changed(ch)
	return true, nil
}

// deleteMessages skips the messages that it cannot delete, as the real server does.
func (s *Server) deleteMessages(c *call) (any, error) {
	ch, err := s.target(c)
	if err != nil {
		return nil, err
	}
	var ids []looseInt
	if err := c.decode("message_ids", &ids); err != nil {
		return nil, err
	}
	switch {
	case len(ids) == 0:
		return nil, badRequest("message identifiers are not specified")
	case len(ids) > 100:
		return nil, badRequest("too many message identifiers specified")
	}
	for _, id := range ids {
		m := ch.find(int(id))
		if m != nil && s.cfg.Now().Sub(m.date) <= deleteLife {
			m.deleted = true
		}
	}
	s.changed(ch)
	return true, nil
}
