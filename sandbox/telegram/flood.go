package telegram

import (
	"time"

	"golang.org/x/time/rate"
)

// limit takes one call from the budgets of the addressed chat and of the bot, or says how long to wait. giveBack
// returns what it took.
func (s *Server) limit(c *call) (giveBack func(), err error) {
	if s.strikes() {
		return nil, tooMany(time.Second)
	}
	if s.cfg.Limits.Disabled {
		return func() {}, nil
	}
	now := s.cfg.Now()
	perChat := s.chatLimiter(c.integer("chat_id"))
	ofChat, wait := reserve(perChat, now)
	if wait > 0 {
		return nil, tooMany(wait)
	}
	ofAll, wait := reserve(s.floodAll, now)
	if wait > 0 {
		ofChat.CancelAt(now)
		return nil, tooMany(wait)
	}
	return func() { ofChat.CancelAt(now); ofAll.CancelAt(now) }, nil
}

// reserve takes one token when there is one; otherwise it takes nothing and returns the wait.
func reserve(limiter *rate.Limiter, now time.Time) (*rate.Reservation, time.Duration) {
	r := limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return r, wait
}

// chatLimiter keeps budgets only for chats that exist, so that made-up chat ids cannot fill the memory.
func (s *Server) chatLimiter(id int64) *rate.Limiter {
	limiter, ok := s.flood[id]
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(s.cfg.Limits.PerChat), s.cfg.Limits.PerChatBurst)
		if _, exists := s.chats[id]; exists {
			s.flood[id] = limiter
		}
	}
	return limiter
}
