package telegram

// target finds the chat that a call addresses.
func (s *Server) target(c *call) (*chat, error) {
	if c.text("chat_id") == "" {
		return nil, badRequest("chat_id is empty")
	}
	ch, ok := s.chats[c.integer("chat_id")]
	if !ok {
		return nil, badRequest("chat not found")
	}
	return ch, nil
}

// reachable finds the chat that a call sends to and refuses one that has blocked the bot.
func (s *Server) reachable(c *call) (*chat, error) {
	ch, err := s.target(c)
	if err != nil {
		return nil, err
	}
	if ch.blocked {
		return nil, forbidden("bot was blocked by the user")
	}
	return ch, nil
}

func (s *Server) sendMessage(c *call) (any, error) {
	f, err := s.readText(c, "text", "entities")
	if err != nil {
		return nil, err
	}
	if err := checkMessageText(f, "message is too long"); err != nil {
		return nil, err
	}
	m := &message{text: f.text, entities: f.entities, preview: readPreview(c)}
	return s.send(c, m)
}

func checkMessageText(f formatted, tooLong string) error {
	switch {
	case f.text == "":
		return badRequest("message text is empty")
	case utf16Len(f.text) > maxTextUnits:
		return badRequest("%s", tooLong)
	}
	return nil
}

// readPreview keeps link_preview_options as they were sent, and reads the older switch.
func readPreview(c *call) []byte {
	switch {
	case c.has("link_preview_options") && c.text("link_preview_options") != "":
		return []byte(c.text("link_preview_options"))
	case c.flag("disable_web_page_preview"):
		return []byte(`{"is_disabled":true}`)
	}
	return nil
}

func (s *Server) sendPhoto(c *call) (any, error) { return s.sendMedia(c, "photo", true) }

func (s *Server) sendDocument(c *call) (any, error) { return s.sendMedia(c, "document", false) }

func (s *Server) sendMedia(c *call, name string, photo bool) (any, error) {
	if _, err := s.reachable(c); err != nil {
		return nil, err // before the upload is stored
	}
	caption, err := s.readCaption(c)
	if err != nil {
		return nil, err
	}
	file, err := s.readMedia(c, name, c.text(name), photo)
	if err != nil {
		return nil, err
	}
	m := &message{
		text: caption.text, entities: caption.entities, media: file,
		captionAbove: c.flag("show_caption_above_media"), spoiler: c.flag("has_spoiler"),
	}
	return s.send(c, m)
}

func (s *Server) readCaption(c *call) (formatted, error) {
	f, err := s.readText(c, "caption", "caption_entities")
	if err == nil && utf16Len(f.text) > maxCaptionUnits {
		return f, badRequest("message caption is too long")
	}
	return f, err
}

// send reads what all send methods share, puts the message into the chat and returns it.
func (s *Server) send(c *call, m *message) (any, error) {
	ch, err := s.reachable(c)
	if err != nil {
		return nil, err
	}
	if err := refuseOptions(c); err != nil {
		return nil, err
	}
	if m.markup, err = readInline(c, m.invoice != nil); err != nil {
		return nil, err
	}
	if m.keyboard, err = readReplyKeyboard(c); err != nil {
		return nil, err
	}
	if m.replyTo, err = readReply(c, ch); err != nil {
		return nil, err
	}
	m.fromBot, m.protected, m.effect = true, c.flag("protect_content"), c.text("message_effect_id")
	s.add(ch, m)
	return s.wire(ch, m), nil
}

// refuseOptions names the options that mean something which the emulator does not have.
func refuseOptions(c *call) error {
	switch {
	case c.text("business_connection_id") != "":
		return badRequest("business connection not found")
	case c.integer("message_thread_id") != 0:
		return badRequest("message thread not found")
	case c.has("direct_messages_topic_id"), c.has("suggested_post_parameters"):
		return badRequest("sandbox: direct messages topics and suggested posts are not emulated")
	case c.flag("allow_paid_broadcast"):
		return badRequest("sandbox: paid broadcasts are not emulated")
	case c.text("message_effect_id") != "" && !isDigits(c.text("message_effect_id")):
		return badRequest("EFFECT_ID_INVALID")
	}
	return nil
}

// readReply finds the message replied to, by reply_parameters or by the older parameters.
func readReply(c *call, ch *chat) (int, error) {
	var reply struct {
		MessageID looseInt `json:"message_id"`
		Allow     bool     `json:"allow_sending_without_reply"`
	}
	reply.MessageID, reply.Allow = looseInt(c.integer("reply_to_message_id")), c.flag("allow_sending_without_reply")
	if err := c.decode("reply_parameters", &reply); err != nil {
		return 0, err
	}
	id := int(reply.MessageID)
	if id == 0 || ch.find(id) != nil {
		return id, nil
	}
	if reply.Allow {
		return 0, nil
	}
	return 0, badRequest("message to be replied not found")
}

func (s *Server) sendChatAction(c *call) (any, error) {
	ch, err := s.reachable(c)
	if err != nil {
		return nil, err
	}
	if err := refuseOptions(c); err != nil {
		return nil, err
	}
	switch action := c.text("action"); action {
	case "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
		"choose_sticker", "find_location", "record_video_note", "upload_video_note":
		ch.action = action
	default:
		return nil, badRequest("wrong parameter action in request")
	}
	s.changed(ch)
	return true, nil
}
