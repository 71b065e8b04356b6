package telegram

import (
	"encoding/json"
	"time"
)

// User is a person who may chat with the bot.
type User struct {
	ID           int64  `json:"id"`
	FirstName    string `json:"first_name"`
	LastName     string `json:"last_name,omitempty"`
	Username     string `json:"username,omitempty"`
	LanguageCode string `json:"language_code,omitempty"`
}

// Chat is a snapshot of what one person sees. Version grows with every change.
type Chat struct {
	User     User      `json:"user"`
	Blocked  bool      `json:"blocked"`
	Version  int64     `json:"version"`
	Messages []Message `json:"messages"`
	// Answers are the last answers to the person's button presses, newest last.
	Answers []Answer `json:"answers"`
	// Commands are the bot's commands as this person's menu lists them.
	Commands []Command `json:"commands"`
	// Menu is the button beside the input field.
	Menu Menu `json:"menu"`
	// Action is what the bot said it is doing ("typing") since its last message.
	Action string `json:"action,omitempty"`
}

// Message is one message of a chat, deleted ones included.
type Message struct {
	ID       int        `json:"id"`
	FromBot  bool       `json:"from_bot"`
	Date     time.Time  `json:"date"`
	EditDate *time.Time `json:"edit_date,omitempty"`
	// Text is the plain text or the caption.
	Text string `json:"text"`
	// HTML is the same text with its formatting, safe to put into a page.
	HTML           string     `json:"html"`
	PhotoFileID    string     `json:"photo_file_id,omitempty"`
	DocumentFileID string     `json:"document_file_id,omitempty"`
	DocumentName   string     `json:"document_name,omitempty"`
	Keyboard       [][]Button `json:"keyboard,omitempty"`
	// ReplyKeyboard holds the texts of a keyboard shown instead of the phone's own.
	ReplyKeyboard [][]string `json:"reply_keyboard,omitempty"`
	Invoice       *Invoice   `json:"invoice,omitempty"`
	Payment       *Payment   `json:"payment,omitempty"`
	ReplyTo       int        `json:"reply_to,omitempty"`
	EffectID      string     `json:"effect_id,omitempty"`
	Protected     bool       `json:"protected,omitempty"`
	Deleted       bool       `json:"deleted,omitempty"`
}

// Button is one button under a message.
type Button struct {
	Text      string `json:"text"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
	CopyText  string `json:"copy_text,omitempty"`
	WebAppURL string `json:"web_app_url,omitempty"`
	Style     string `json:"style,omitempty"`
	Pay       bool   `json:"pay,omitempty"`
	Disabled  bool   `json:"disabled,omitempty"`
}

// Invoice is what an invoice message asks to pay.
type Invoice struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Payload     string `json:"payload"`
	Currency    string `json:"currency"`
	Amount      int64  `json:"amount"`
	Paid        bool   `json:"paid"`
}

// Payment is the content of a message about money paid or, when Refunded, given back.
type Payment struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Payload  string `json:"payload"`
	ChargeID string `json:"charge_id"`
	Refunded bool   `json:"refunded"`
}

// Answer is one answer to a button press: a toast, an alert, or just the end of the spinner when Text is empty.
type Answer struct {
	QueryID string    `json:"query_id"`
	Text    string    `json:"text"`
	Alert   bool      `json:"alert"`
	URL     string    `json:"url,omitempty"`
	At      time.Time `json:"at"`
}

// chat is the live state behind a Chat.
type chat struct {
	user     User
	blocked  bool
	version  int64
	messages []*message
	answers  []Answer
	action   string
	menu     json.RawMessage
}

// message is the live state behind a Message.
type message struct {
	id           int
	fromBot      bool
	date, edited time.Time
	text         string
	entities     []entity
	preview      json.RawMessage
	media        *media
	captionAbove bool
	spoiler      bool
	protected    bool
	effect       string
	markup       *inlineMarkup
	keyboard     [][]string
	invoice      *invoice
	settled      bool // the invoice of this message is paid
	paid         *wirePayment
	refunded     *wirePayment
	replyTo      int
	deleted      bool
}

// withoutReply copies a message for the reply_to_message field, which never nests.
func (m *message) withoutReply() *message {
	c := *m
	c.replyTo = 0
	return &c
}

// find returns a message that is not deleted, or nil.
func (ch *chat) find(id int) *message {
	for i := len(ch.messages) - 1; i >= 0 && id > 0; i-- {
		if ch.messages[i].id == id && !ch.messages[i].deleted {
			return ch.messages[i]
		}
	}
	return nil
}

// add appends a message, gives it an id and a date, and forgets the oldest beyond the bound.
func (s *Server) add(ch *chat, m *message) {
	s.lastMessage++
	m.id, m.date = s.lastMessage, s.cfg.Now()
	if len(ch.messages) >= keptMessages {
		ch.messages = append(ch.messages[:0:0], ch.messages[1:]...)
	}
	ch.messages = append(ch.messages, m)
	if m.fromBot {
		ch.action = ""
	}
	s.changed(ch)
}

// changed counts a change and wakes everyone who waits for it.
func (s *Server) changed(ch *chat) {
	ch.version++
	if wake, ok := s.waiters[ch.user.ID]; ok {
		close(wake)
		delete(s.waiters, ch.user.ID)
	}
}

// meet returns the chat of a person, creating it or refreshing the person's details.
func (s *Server) meet(u User) *chat {
	ch, ok := s.chats[u.ID]
	if !ok {
		ch = &chat{user: u}
		s.chats[u.ID] = ch
	}
	if u.FirstName != "" {
		ch.user = u
	}
	return ch
}
