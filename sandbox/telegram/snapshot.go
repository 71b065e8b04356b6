package telegram

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrClosed is returned by waits that the end of the server interrupts.
var ErrClosed = errors.New("telegram sandbox: closed")

// Chat returns what the person sees now; a person whom the bot does not know has an empty chat of version 0.
func (s *Server) Chat(userID int64) Chat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot(userID)
}

// Wait returns the chat once its Version is greater than after, or an error when ctx or the server ends first.
func (s *Server) Wait(ctx context.Context, userID, after int64) (Chat, error) {
	for {
		now, wake := s.observe(userID)
		if now.Version > after {
			return now, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return now, fmt.Errorf("wait for the chat of %d: %w", userID, ctx.Err())
		case <-s.ctx.Done():
			return now, ErrClosed
		}
	}
}

// observe takes a snapshot together with the signal of the next change.
func (s *Server) observe(userID int64) (Chat, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wake, ok := s.waiters[userID]
	if !ok {
		wake = make(chan struct{})
		s.waiters[userID] = wake
	}
	return s.snapshot(userID), wake
}

func (s *Server) snapshot(userID int64) Chat {
	ch, ok := s.chats[userID]
	if !ok {
		return Chat{User: User{ID: userID}, Messages: []Message{}, Answers: []Answer{}, Commands: []Command{}}
	}
	out := Chat{
		User: ch.user, Blocked: ch.blocked, Version: ch.version, Action: ch.action,
		Messages: make([]Message, 0, len(ch.messages)),
		Answers:  append([]Answer{}, ch.answers...),
		Commands: s.profile.commandsFor(ch.user), Menu: s.menuFor(ch),
	}
	for _, m := range ch.messages {
		out.Messages = append(out.Messages, m.snapshot())
	}
	return out
}

func (m *message) snapshot() Message {
	out := Message{
		ID: m.id, FromBot: m.fromBot, Date: m.date, Text: m.text, HTML: renderHTML(m.text, m.entities),
		Keyboard: m.markup.buttons(), ReplyKeyboard: m.keyboard, ReplyTo: m.replyTo, EffectID: m.effect,
		Protected: m.protected, Deleted: m.deleted, Payment: m.payment(),
	}
	if !m.edited.IsZero() {
		edited := m.edited
		out.EditDate = &edited
	}
	if m.media != nil {
		m.media.describe(&out)
	}
	if m.invoice != nil {
		out.Invoice = m.invoice.snapshot(m.settled)
		if len(out.Keyboard) == 0 {
			out.Keyboard = [][]Button{{{Text: fmt.Sprintf("Pay ⭐️%d", m.invoice.amount), Pay: true}}}
		}
	}
	return out
}

func (m *message) payment() *Payment {
	w := m.paid
	if m.refunded != nil {
		w = m.refunded
	}
	if w == nil {
		return nil
	}
	return &Payment{
		Amount: w.TotalAmount, Currency: w.Currency, Payload: w.InvoicePayload,
		ChargeID: w.ChargeID, Refunded: m.refunded != nil,
	}
}

// Users lists the ids of the people the bot knows, in ascending order.
func (s *Server) Users() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]int64, 0, len(s.chats))
	for id := range s.chats {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
