package telegram

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Waits between deliveries of one update: the first retry comes at once, the later ones double from two seconds, and
// after 32 seconds every further wait is random.
const (
	firstDelay     = 2 * time.Second
	lastDelay      = 32 * time.Second
	shortestSteady = 60 * time.Second
	longestSteady  = 120 * time.Second
	maxReplyBytes  = 10 << 20
)

// outcome is how one delivery ended.
type outcome struct {
	delivered  bool
	text       string        // why not
	retryAfter time.Duration // what the answer asked for
	reply      *call
}

// startDelivery gives a queue a goroutine when there is a webhook and none runs. The caller holds the lock.
func (s *Server) startDelivery(key string, q *queue) {
	if s.hook == nil || s.closed || q.busy || len(q.items) == 0 {
		return
	}
	q.busy = true
	h := s.hook
	s.wg.Go(func() { s.drain(h, key, q) })
}

// drain delivers one queue in order until it is empty or the webhook changes.
func (s *Server) drain(h *webhook, key string, q *queue) {
	for {
		u := s.head(h, key, q)
		if u == nil || !h.acquire() {
			return
		}
		began := time.Now()
		out := h.post(u)
		h.release()
		s.noteDelivery(key, u, began, out.delivered)
		wait := s.settle(h, q, u, out)
		if out.reply != nil {
			s.carryOut(out.reply)
		}
		if !pause(h.ctx, wait) {
			return
		}
	}
}

// head returns the update to deliver next, or nil when this goroutine has nothing more to do.
func (s *Server) head(h *webhook, key string, q *queue) *update {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hook != h || s.closed {
		return nil
	}
	s.dropExpired(key, q, s.cfg.Now())
	if len(q.items) == 0 {
		q.busy = false
		s.forgetEmpty(key, q)
		return nil
	}
	return q.items[0]
}

// acquire waits for one of the allowed connections.
func (h *webhook) acquire() bool {
	select {
	case h.slots <- struct{}{}:
		return true
	case <-h.ctx.Done():
		return false
	}
}

func (h *webhook) release() { <-h.slots }

// settle removes a delivered or hopeless update and returns how long to wait before the next delivery of the queue.
func (s *Server) settle(h *webhook, q *queue, u *update, out outcome) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if out.delivered {
		q.removeUpdate(u)
		return 0
	}
	if h.ctx.Err() != nil {
		return 0
	}
	now := s.cfg.Now()
	h.lastError, h.lastErrorAt = out.text, now
	s.log.Warn("telegram sandbox: update not delivered",
		zap.Int64("update_id", u.id), zap.String("kind", u.kind), zap.Int("fails", u.fails+1), zap.String("reason", out.text))
	wait := s.scaled(u.backoff(out.retryAfter))
	if now.Add(wait).After(u.expires) {
		q.removeUpdate(u)
		return 0
	}
	return wait
}

// backoff counts a failure and returns the documented wait before the next attempt.
func (u *update) backoff(asked time.Duration) time.Duration {
	u.fails++
	wait := u.delay
	switch {
	case u.fails == 1:
		wait, u.delay = 0, firstDelay
	case wait > lastDelay:
		wait = shortestSteady + rand.N(longestSteady-shortestSteady)
	default:
		u.delay *= 2
	}
	if asked > 0 {
		return asked
	}
	return wait
}

// pause waits unless the webhook is closed first.
func pause(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// post delivers one update.
func (h *webhook) post(u *update) outcome {
	request, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.url, bytes.NewReader(u.body))
	if err != nil {
		return outcome{text: "invalid webhook URL specified"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept-Encoding", "gzip, deflate")
	request.Header.Set("User-Agent", "")
	if h.secret != "" {
		request.Header.Set("X-Telegram-Bot-Api-Secret-Token", h.secret)
	}
	if h.basicAuth != "" {
		request.Header.Set("Authorization", h.basicAuth)
	}
	response, err := h.client.Do(request)
	if err != nil {
		return outcome{text: failureText(err)}
	}
	defer func() { _ = response.Body.Close() }()
	return h.read(response)
}

// read judges an answer: any 2xx means delivered.
func (h *webhook) read(response *http.Response) outcome {
	body, err := readBody(response)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		text := fmt.Sprintf("Wrong response from the webhook: %d %s", response.StatusCode, http.StatusText(response.StatusCode))
		return outcome{text: text, retryAfter: retryAfter(response.Header)}
	}
	if err != nil {
		return outcome{text: failureText(err)}
	}
	return outcome{delivered: true, reply: replyCall(h.ctx, response.Header.Get("Content-Type"), body)}
}

func readBody(response *http.Response) ([]byte, error) {
	reader := io.LimitReader(response.Body, maxReplyBytes)
	var err error
	switch response.Header.Get("Content-Encoding") {
	case "gzip":
		reader, err = gzip.NewReader(reader)
	case "deflate":
		reader, err = zlib.NewReader(reader)
	}
	if err != nil {
		return nil, fmt.Errorf("read a compressed answer: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(reader, maxReplyBytes))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return body, nil
}

// carryOut executes the call of a webhook answer; neither result nor error is shown to anyone.
func (s *Server) carryOut(c *call) {
	c.ctx = s.ctx
	_, _ = s.invoke(c)
}
