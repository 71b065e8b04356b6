package telegram

import (
	"context"
	"encoding/json"
	"time"
)

const maxPoll = 50 * time.Second

// poll is one getUpdates call that waits.
type poll struct {
	ended  chan struct{}
	reason error // set before ended is closed
}

// endPoll lets the waiting getUpdates call fail. The caller holds the lock.
func (s *Server) endPoll(reason string) {
	if s.poll != nil {
		s.poll.reason = conflict(reason)
		close(s.poll.ended)
		s.poll = nil
	}
}

func (s *Server) getUpdates(c *call) (any, error) {
	p, err := s.beginPoll(c)
	if err != nil {
		return nil, err
	}
	defer s.finishPoll(p)
	limit := 100
	if c.has("limit") {
		limit = int(min(max(c.integer("limit"), 1), 100))
	}
	ctx, cancel := context.WithTimeout(c.ctx, min(time.Duration(max(c.integer("timeout"), 0))*time.Second, maxPoll))
	defer cancel()
	for {
		list, signal, err := s.collect(p, limit)
		if err != nil || len(list) > 0 || ctx.Err() != nil {
			return list, err
		}
		select {
		case <-signal:
		case <-p.ended:
		case <-ctx.Done():
		case <-s.ctx.Done():
			return nil, &apiError{code: 500, text: "Internal Server Error: restart"}
		}
	}
}

// beginPoll ends an older poll, applies allowed_updates and confirms what the offset confirms.
func (s *Server) beginPoll(c *call) (*poll, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hook != nil {
		return nil, conflict("can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first")
	}
	s.endPoll("terminated by other getUpdates request; make sure that only one bot instance is running")
	if err := s.readAllowedUpdates(c); err != nil {
		return nil, err
	}
	s.confirm(c.integer("offset"))
	s.poll = &poll{ended: make(chan struct{})}
	return s.poll, nil
}

// readAllowedUpdates changes the wanted kinds when the call names them.
func (s *Server) readAllowedUpdates(c *call) error {
	if !c.has("allowed_updates") || c.text("allowed_updates") == "" {
		return nil
	}
	var names []string
	if err := c.decode("allowed_updates", &names); err != nil {
		return err
	}
	s.updates.allowed = readAllowed(names)
	return nil
}

// confirm forgets updates before the offset; a negative one keeps only that many of the newest.
func (s *Server) confirm(offset int64) {
	all := s.waiting()
	for i, u := range all {
		u.confirmed = u.id < offset
		if offset < 0 {
			u.confirmed = i < len(all)+int(max(offset, -int64(len(all))))
		}
	}
	for key, q := range s.updates.queues {
		kept := q.items[:0:0]
		for _, u := range q.items {
			if !u.confirmed {
				kept = append(kept, u)
			}
		}
		q.items = kept
		s.forgetEmpty(key, q)
	}
}

func (s *Server) finishPoll(p *poll) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll == p {
		s.poll = nil
	}
}

// collect returns the updates to hand out, and the signal of the next one.
func (s *Server) collect(p *poll, limit int) ([]json.RawMessage, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll != p {
		return nil, nil, p.reason
	}
	list := []json.RawMessage{}
	for _, u := range s.waiting() {
		if len(list) == limit {
			break
		}
		list = append(list, u.body)
	}
	return list, s.updates.signal, nil
}
