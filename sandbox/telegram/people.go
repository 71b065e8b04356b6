package telegram

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"unicode/utf8"
)

// Errors of the people's side. The text of ErrBlocked and the others is for the operator of the sandbox.
var (
	ErrNoChat    = errors.New("telegram sandbox: the person has no chat with the bot")
	ErrNoMessage = errors.New("telegram sandbox: no such message")
	ErrNoButton  = errors.New("telegram sandbox: no such button under the message")
	ErrBlocked   = errors.New("telegram sandbox: the person has blocked the bot")
	ErrText      = errors.New("telegram sandbox: a message must have 1 to 4096 characters of UTF-8")
)

// Meet makes a person known who wrote to the bot at some time before.
func (s *Server) Meet(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet(u)
}

// SendText lets a person write to the bot. The first message creates the chat; a blocked bot gets nothing.
func (s *Server) SendText(u User, text string) (messageID int, err error) {
	f := formatted{text: text}.tidy()
	if f.text == "" || utf16Len(f.text) > maxTextUnits || !utf8.ValidString(text) {
		return 0, ErrText
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.chats[u.ID]; ok && known.blocked {
		return 0, ErrBlocked
	}
	ch := s.meet(u)
	m := &message{text: f.text, entities: f.entities}
	s.add(ch, m)
	return m.id, s.queueMessage(ch, m)
}

// queueMessage tells the bot of a message of the person's side.
func (s *Server) queueMessage(ch *chat, m *message) error {
	return s.queueUpdate("message", ch.user.ID, m.date.Add(messageLife), s.wire(ch, m))
}

// Press lets a person press the inline button that carries the callback data.
func (s *Server) Press(userID int64, messageID int, data string) (queryID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, m, err := s.seen(userID, messageID)
	if err != nil {
		return "", err
	}
	if !m.markup.holds(data) {
		return "", fmt.Errorf("press %q under message %d: %w", data, messageID, ErrNoButton)
	}
	id := randomID()
	s.remember(id, userID)
	query := wireCallback{
		ID: id, From: ch.user.wire(), Message: s.wire(ch, m), Data: data,
		ChatInstance: strconv.FormatInt(userID*31+s.self.ID, 10),
	}
	return id, s.queueUpdate("callback_query", userID, s.cfg.Now().Add(queryLife), query)
}

// seen finds a message that the person can act on.
func (s *Server) seen(userID int64, messageID int) (*chat, *message, error) {
	ch, ok := s.chats[userID]
	if !ok {
		return nil, nil, ErrNoChat
	}
	if ch.blocked {
		return nil, nil, ErrBlocked
	}
	m := ch.find(messageID)
	if m == nil {
		return nil, nil, fmt.Errorf("message %d: %w", messageID, ErrNoMessage)
	}
	return ch, m, nil
}

// randomID makes a query id that looks like the real ones.
func randomID() string { return strconv.FormatInt(rand.Int64N(9e17)+1e17, 10) }

// SetBlocked lets a person block or unblock the bot; nothing happens when it is so already.
func (s *Server) SetBlocked(userID int64, blocked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.chats[userID]
	if !ok {
		return ErrNoChat
	}
	if ch.blocked == blocked {
		return nil
	}
	ch.blocked = blocked
	s.changed(ch)
	member, kicked := wireMember{User: s.self, Status: "member"}, wireMember{User: s.self, Status: "kicked", UntilDate: new(int64)}
	now := s.cfg.Now()
	event := wireMemberUpdate{Chat: ch.user.chat(), From: ch.user.wire(), Date: now.Unix(), Old: member, New: kicked}
	if !blocked {
		event.Old, event.New = kicked, member
	}
	return s.queueUpdate("my_chat_member", userID, now.Add(messageLife), event)
}
