package telegram

import "encoding/json"

// The types of this file are the JSON objects of the Bot API, as far as the emulator sends them.

type wireUser struct {
	ID           int64  `json:"id"`
	IsBot        bool   `json:"is_bot"`
	FirstName    string `json:"first_name"`
	LastName     string `json:"last_name,omitempty"`
	Username     string `json:"username,omitempty"`
	LanguageCode string `json:"language_code,omitempty"`
}

type wireChat struct {
	ID        int64  `json:"id"`
	Type      string `json:"type"`
	Username  string `json:"username,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
}

type wireMessage struct {
	MessageID       int             `json:"message_id"`
	From            *wireUser       `json:"from,omitempty"`
	Chat            wireChat        `json:"chat"`
	Date            int64           `json:"date"`
	EditDate        int64           `json:"edit_date,omitempty"`
	HasProtected    bool            `json:"has_protected_content,omitempty"`
	EffectID        string          `json:"effect_id,omitempty"`
	Text            string          `json:"text,omitempty"`
	Entities        []entity        `json:"entities,omitempty"`
	LinkPreview     json.RawMessage `json:"link_preview_options,omitempty"`
	Photo           []wirePhoto     `json:"photo,omitempty"`
	Document        *wireDocument   `json:"document,omitempty"`
	Caption         string          `json:"caption,omitempty"`
	CaptionEntities []entity        `json:"caption_entities,omitempty"`
	CaptionAbove    bool            `json:"show_caption_above_media,omitempty"`
	HasSpoiler      bool            `json:"has_media_spoiler,omitempty"`
	Invoice         *wireInvoice    `json:"invoice,omitempty"`
	Paid            *wirePayment    `json:"successful_payment,omitempty"`
	Refunded        *wirePayment    `json:"refunded_payment,omitempty"`
	ReplyTo         *wireMessage    `json:"reply_to_message,omitempty"`
	ReplyMarkup     *inlineMarkup   `json:"reply_markup,omitempty"`
}

// entity is a MessageEntity; offsets and lengths are in UTF-16 units.
type entity struct {
	Type          string    `json:"type"`
	Offset        int       `json:"offset"`
	Length        int       `json:"length"`
	URL           string    `json:"url,omitempty"`
	User          *wireUser `json:"user,omitempty"`
	Language      string    `json:"language,omitempty"`
	CustomEmojiID string    `json:"custom_emoji_id,omitempty"`
	// UnixTime and DateTimeFormat are of a date_time.
	UnixTime       json.Number `json:"unix_time,omitempty"`
	DateTimeFormat string      `json:"date_time_format,omitempty"`
}

type wirePhoto struct {
	FileID       string `json:"file_id"`
	FileUniqueID string `json:"file_unique_id"`
	Width        int    `json:"width"`
	Height       int    `json:"height"`
	FileSize     int    `json:"file_size"`
}

type wireDocument struct {
	FileID       string `json:"file_id"`
	FileUniqueID string `json:"file_unique_id"`
	FileName     string `json:"file_name,omitempty"`
	MimeType     string `json:"mime_type,omitempty"`
	FileSize     int    `json:"file_size"`
}

type wireFile struct {
	FileID       string `json:"file_id"`
	FileUniqueID string `json:"file_unique_id"`
	FileSize     int    `json:"file_size"`
	FilePath     string `json:"file_path"`
}

type wireInvoice struct {
	Title          string `json:"title"`
	Description    string `json:"description"`
	StartParameter string `json:"start_parameter"`
	Currency       string `json:"currency"`
	TotalAmount    int64  `json:"total_amount"`
}

// wirePayment is a SuccessfulPayment or a RefundedPayment.
type wirePayment struct {
	Currency         string `json:"currency"`
	TotalAmount      int64  `json:"total_amount"`
	InvoicePayload   string `json:"invoice_payload"`
	Expires          int64  `json:"subscription_expiration_date,omitempty"`
	IsRecurring      bool   `json:"is_recurring,omitempty"`
	IsFirstRecurring bool   `json:"is_first_recurring,omitempty"`
	ChargeID         string `json:"telegram_payment_charge_id"`
	ProviderChargeID string `json:"provider_payment_charge_id"`
}

type wireCallback struct {
	ID           string      `json:"id"`
	From         wireUser    `json:"from"`
	Message      wireMessage `json:"message"`
	ChatInstance string      `json:"chat_instance"`
	Data         string      `json:"data"`
}

type wireCheckout struct {
	ID             string   `json:"id"`
	From           wireUser `json:"from"`
	Currency       string   `json:"currency"`
	TotalAmount    int64    `json:"total_amount"`
	InvoicePayload string   `json:"invoice_payload"`
}

type wireMember struct {
	User      wireUser `json:"user"`
	Status    string   `json:"status"`
	UntilDate *int64   `json:"until_date,omitempty"`
}

type wireMemberUpdate struct {
	Chat wireChat   `json:"chat"`
	From wireUser   `json:"from"`
	Date int64      `json:"date"`
	Old  wireMember `json:"old_chat_member"`
	New  wireMember `json:"new_chat_member"`
}

func (u User) wire() wireUser {
	return wireUser{ID: u.ID, FirstName: u.FirstName, LastName: u.LastName, Username: u.Username, LanguageCode: u.LanguageCode}
}

func (u User) chat() wireChat {
	return wireChat{ID: u.ID, Type: "private", Username: u.Username, FirstName: u.FirstName, LastName: u.LastName}
}

// wire renders a message as the bot sees it.
func (s *Server) wire(ch *chat, m *message) wireMessage {
	from := ch.user.wire()
	if m.fromBot {
		from = s.self
	}
	w := wireMessage{
		MessageID: m.id, From: &from, Chat: ch.user.chat(), Date: m.date.Unix(), EffectID: m.effect,
		HasProtected: m.protected, LinkPreview: m.preview, Paid: m.paid, Refunded: m.refunded, ReplyMarkup: m.markup.orNil(),
	}
	if !m.edited.IsZero() {
		w.EditDate = m.edited.Unix()
	}
	if m.media == nil {
		w.Text, w.Entities = m.text, m.entities
	} else {
		w.Caption, w.CaptionEntities, w.CaptionAbove = m.text, m.entities, m.captionAbove
		m.media.show(&w, m.spoiler)
	}
	if m.invoice != nil {
		w.Invoice = m.invoice.wire()
	}
	if original := ch.find(m.replyTo); original != nil {
		reply := s.wire(ch, original.withoutReply())
		w.ReplyTo = &reply
	}
	return w
}
