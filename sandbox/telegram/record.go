package telegram

import (
	"errors"
	"time"
)

// Record is what the server noted, in order: the proof of what the bot did.
type Record struct {
	Calls      []Addressed
	Deliveries []Delivery
}

// Addressed is one correct call that names a chat, as the flood limits saw it.
type Addressed struct {
	At      time.Time
	Chat    int64
	Method  string
	Refused bool // answered with 429
	Early   bool // made before the time was over that an earlier 429 for the chat had asked for
}

// Delivery is one try to tell the webhook of an update.
type Delivery struct {
	Update int64
	Person string // the queue that the update waited in
	Began  time.Time
	Took   time.Duration
	Taken  bool // answered with 2xx
}

// TakeRecord returns what was noted since it was taken last; nothing unless
// Config.Record is set.
func (s *Server) TakeRecord() Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.record
	s.record = Record{}
	return taken
}

// Strike refuses one of so many addressed calls with 429, as the real server does when it
// has too much to do; 0 ends that.
func (s *Server) Strike(oneOf int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strikeOneOf = oneOf
}

// strikes says whether the call is one that is refused without its fault.
func (s *Server) strikes() bool {
	if s.strikeOneOf == 0 {
		return false
	}
	s.strikeTurn++
	return s.strikeTurn%s.strikeOneOf == 0
}

// noteCall keeps an addressed call and what the limits said to it.
func (s *Server) noteCall(c *call, err error) {
	if !s.cfg.Record {
		return
	}
	now, chat := s.cfg.Now(), c.integer("chat_id")
	refusal := &apiError{}
	refused := errors.As(err, &refusal)
	s.record.Calls = append(s.record.Calls, Addressed{
		At: now, Chat: chat, Method: c.method, Refused: refused, Early: now.Before(s.pauses[chat]),
	})
	if refused {
		s.pauses[chat] = now.Add(time.Duration(refusal.retryAfter) * time.Second)
	}
}

// noteDelivery keeps one try.
func (s *Server) noteDelivery(key string, u *update, began time.Time, taken bool) {
	if !s.cfg.Record {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.Deliveries = append(s.record.Deliveries, Delivery{Update: u.id, Person: key, Began: began, Took: time.Since(began), Taken: taken})
}
