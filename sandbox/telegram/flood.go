package telegram

import (
	"time"

	"golang.org/x/time/rate"
)

// limit takes one call from the budgets of the addressed chat and of the bot, or says how long to wait.
func (s *Server) limit(c *call) error {
	if s.strikes() {
		return tooMany(time.Second)
	}
	if s.cfg.Limits.Disabled {
		return nil
	}
	now := s.cfg.Now()
	perChat := s.chatLimiter(c.integer("chat_id"))
	first, wait := reserve(perChat, now)
	if wait > 0 {
		return tooMany(wait)
	}
	if _, wait = reserve(s.floodAll, now); wait > 0 {
		first.CancelAt(now)
		return tooMany(wait)
	}
	return nil
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
