package cryptopay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Attempts is how often a webhook is tried before it is switched off.
const Attempts = 17

// attemptTimeout is how long an endpoint may take; the real limit is not
// published.
const attemptTimeout = 10 * time.Second

// updatesPerID is how many webhooks in a row share an update_id, which is
// documented as non-unique: a receiver that takes it for a key drops payments.
const updatesPerID = 2

// retryDelays are the pauses after each failed attempt but the last. Only
// their number and their sum, about three days, are published; the steps are
// a guess. Config.Speed divides them.
func retryDelays() [Attempts - 1]time.Duration {
	return [...]time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour,
		5 * time.Hour, 8 * time.Hour, 12 * time.Hour, 16 * time.Hour, 23 * time.Hour,
	}
}

// delivery is one webhook: its bytes never change, however often it is sent.
type delivery struct {
	invoiceID int64
	body      []byte
	signature string
}

// hook is the state of the app's webhook; the server's lock guards it.
type hook struct {
	url     string
	enabled bool
	closed  bool
	pending int
	sent    int64
	// flowing is closed while webhooks are let through.
	flowing    chan struct{}
	deliveries map[int64]delivery
	taken      map[int64]time.Time
}

func newHook(url string) hook {
	flowing := make(chan struct{})
	close(flowing)
	return hook{url: url, enabled: url != "", flowing: flowing, deliveries: map[int64]delivery{}, taken: map[int64]time.Time{}}
}

// newHookClient makes a client that follows no redirect: only 2xx counts.
func newHookClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: attemptTimeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SetWebhook gives the app its webhook and switches it on, as the owner does
// by hand in the bot. An empty address switches it off.
func (s *Server) SetWebhook(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook.url, s.hook.enabled = url, url != ""
}

// WebhookEnabled tells whether payments are reported. It turns false when a
// webhook was not taken in any of its attempts; SetWebhook turns it on again.
func (s *Server) WebhookEnabled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hook.enabled
}

// HoldWebhooks keeps all webhooks back, first attempts and retries alike, until
// it is called with false: lost callbacks. Redeliver is not held.
func (s *Server) HoldWebhooks(hold bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := true
	select {
	case <-s.hook.flowing:
		held = false
	default:
	}
	switch {
	case hold && !held:
		s.hook.flowing = make(chan struct{})
	case !hold && held:
		close(s.hook.flowing)
	}
}

// Pending counts the webhooks that were neither taken nor given up.
func (s *Server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hook.pending
}

// LastDelivery returns the webhook of a paid invoice: the bytes that were sent,
// or would have been if the webhook were on.
func (s *Server) LastDelivery(invoiceID int64) (body []byte, signature string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.hook.deliveries[invoiceID]
	return bytes.Clone(d.body), d.signature, ok
}

// TakenAt returns when the webhook of an invoice was first taken; zero if it was not.
// Redeliver does not count.
func (s *Server) TakenAt(invoiceID int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hook.taken[invoiceID]
}

// Redeliver sends the webhook of a paid invoice once more, the same bytes, and
// waits for the answer. The errors are ErrNotFound, ErrUnpaid, ErrNoWebhook and
// ErrRefused.
func (s *Server) Redeliver(invoiceID int64) error {
	s.mu.Lock()
	_, found := s.invoices[invoiceID]
	d, paid := s.hook.deliveries[invoiceID]
	url := s.hook.url
	s.mu.Unlock()
	switch {
	case !found:
		return ErrNotFound
	case !paid:
		return ErrUnpaid
	case url == "":
		return ErrNoWebhook
	}
	return s.send(s.life, url, d)
}

// announce composes the webhook of an invoice that was just paid and, if the
// webhook is on, starts to deliver it. The caller holds the lock.
func (s *Server) announce(invoice *Invoice) error {
	shown := invoice.snapshot()
	shown.Fee, shown.USDRate = shown.FeeAmount, shown.PaidUSDRate
	body, err := encode(struct {
		UpdateID    int64     `json:"update_id"`
		UpdateType  string    `json:"update_type"`
		RequestDate Timestamp `json:"request_date"`
		Payload     Invoice   `json:"payload"`
	}{s.hook.sent/updatesPerID + 1, "invoice_paid", Timestamp{s.cfg.Now()}, shown})
	if err != nil {
		return fmt.Errorf("encode the webhook of invoice %d: %w", invoice.ID, err)
	}
	s.hook.sent++
	d := delivery{invoiceID: invoice.ID, body: body, signature: Sign(s.cfg.Token, body)}
	s.hook.deliveries[invoice.ID] = d
	if !s.hook.enabled || s.hook.closed {
		return nil
	}
	s.hook.pending++
	s.running.Go(func() { s.deliver(s.life, d) })
	return nil
}

// Sign returns what the real service puts in crypto-pay-api-signature: the hex
// HMAC-SHA256 of the body under the raw SHA-256 of the token.
func Sign(token string, body []byte) string {
	key := sha256.Sum256([]byte(token))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// deliver tries a webhook until it is taken, and switches the app's webhook off
// after the last attempt.
func (s *Server) deliver(ctx context.Context, d delivery) {
	defer s.settled()
	delays := retryDelays()
	for attempt := range Attempts {
		url, ok := s.passage(ctx)
		if !ok {
			return
		}
		err := s.send(ctx, url, d)
		if err == nil {
			s.took(d)
			s.cfg.Logger.Info("webhook taken", zap.Int64("invoice_id", d.invoiceID), zap.Int("attempt", attempt+1))
			return
		}
		s.cfg.Logger.Info("webhook not taken", zap.Int64("invoice_id", d.invoiceID), zap.Int("attempt", attempt+1), zap.Error(err))
		if attempt < len(delays) && !pause(ctx, time.Duration(float64(delays[attempt])/s.cfg.Speed)) {
			return
		}
	}
	s.switchOff()
}

// passage waits while webhooks are held and returns where to send them; false
// when the webhook has been switched off or the server closed.
func (s *Server) passage(ctx context.Context) (string, bool) {
	s.mu.Lock()
	flowing := s.hook.flowing
	s.mu.Unlock()
	select {
	case <-flowing:
	case <-ctx.Done():
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hook.url, s.hook.enabled && ctx.Err() == nil
}

func (s *Server) took(d delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook.taken[d.invoiceID] = time.Now()
}

func (s *Server) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook.pending--
}

func (s *Server) switchOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook.enabled = false
	s.cfg.Logger.Warn("webhook switched off after the last attempt")
}

// send makes one attempt.
func (s *Server) send(ctx context.Context, url string, d delivery) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "crypto-pay-sandbox")
	request.Header.Set("crypto-pay-api-signature", d.signature)
	answer, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxBody)) // Only the status counts.
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%w: status %d", ErrRefused, answer.StatusCode)
	}
	return nil
}

// pause waits and tells whether the wait was not cut short.
func pause(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
