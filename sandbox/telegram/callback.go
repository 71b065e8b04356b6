package telegram

import "time"

// callback is one button press that the bot may answer.
type callback struct {
	userID   int64
	created  time.Time
	answered bool
}

// remember keeps a callback query for its answer and forgets the oldest beyond the bound.
func (s *Server) remember(id string, userID int64) {
	if _, known := s.callbacks[id]; known {
		return
	}
	s.callbacks[id] = &callback{userID: userID, created: s.cfg.Now()}
	s.callbackIDs = append(s.callbackIDs, id)
	if len(s.callbackIDs) > keptQueries {
		delete(s.callbacks, s.callbackIDs[0])
		s.callbackIDs = s.callbackIDs[1:]
	}
}

// answerCallbackQuery shows the first answer; later ones succeed and show nothing.
func (s *Server) answerCallbackQuery(c *call) (any, error) {
	id := c.text("callback_query_id")
	q, ok := s.callbacks[id]
	if !ok || s.cfg.Now().Sub(q.created) > queryLife {
		return nil, errQueryTooOld()
	}
	if runeLen(c.text("text")) > maxAnswerChars {
		return nil, badRequest("MESSAGE_TOO_LONG")
	}
	if c.integer("cache_time") < 0 {
		return nil, badRequest("cache_time must be non-negative")
	}
	ch := s.chats[q.userID]
	if q.answered || ch == nil {
		return true, nil
	}
	q.answered = true
	ch.answers = append(ch.answers, Answer{
		QueryID: id, Text: c.text("text"), Alert: c.flag("show_alert"), URL: c.text("url"), At: s.cfg.Now(),
	})
	if len(ch.answers) > keptAnswers {
		ch.answers = append(ch.answers[:0:0], ch.answers[1:]...)
	}
	s.changed(ch)
	return true, nil
}
