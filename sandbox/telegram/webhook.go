package telegram

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultConnections  = 40
	maxCertificateBytes = 3 << 20
	dialTimeout         = 5 * time.Second
)

// webhook is one setting of the webhook; a change makes a new one.
type webhook struct {
	url, secret, ip string
	address         string // what to dial
	maxConnections  int
	certificate     []byte
	basicAuth       string
	client          *http.Client
	slots           chan struct{} // one per allowed connection
	ctx             context.Context
	cancel          context.CancelFunc
	lastErrorAt     time.Time
	lastError       string
}

// close ends deliveries to this address.
func (h *webhook) close() {
	h.cancel()
	h.client.CloseIdleConnections()
}

func badWebhook(reason string) error { return badRequest("bad webhook: %s", reason) }

func (s *Server) setWebhook(c *call) (any, error) {
	if err := s.throttleWebhook(); err != nil {
		return nil, err
	}
	if c.text("url") == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.removeWebhook(c)
	}
	h, err := s.readWebhook(c)
	if err != nil {
		return nil, err
	}
	if same, err := s.unchanged(c, h); same || err != nil {
		return described{result: true, description: "Webhook is already set"}, err
	}
	if err := h.reach(c.ctx); err != nil {
		return nil, err
	}
	return s.install(c, h)
}

// throttleWebhook allows one setWebhook call per second of emulated time.
func (s *Server) throttleWebhook() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if !s.cfg.Limits.Disabled && !s.hookSetAt.IsZero() && now.Sub(s.hookSetAt) < s.scaled(time.Second) {
		return tooMany(time.Second)
	}
	s.hookSetAt = now
	return nil
}

// scaled divides a wait by the configured speed.
func (s *Server) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / s.cfg.Speed)
}

// readWebhook reads the full setting; everything that is not sent has its default.
func (s *Server) readWebhook(c *call) (*webhook, error) {
	h := &webhook{url: c.text("url"), secret: c.text("secret_token"), ip: c.text("ip_address"), maxConnections: defaultConnections}
	if n := c.integer("max_connections"); c.has("max_connections") && n != 0 {
		h.maxConnections = int(min(max(n, 1), 100))
	}
	if err := checkSecret(h.secret); err != nil {
		return nil, err
	}
	if up, ok := c.files["certificate"]; ok {
		if len(up.data) > maxCertificateBytes {
			return nil, badRequest("certificate size is too big")
		}
		h.certificate = up.data
	}
	u, err := h.checkURL()
	if err != nil {
		return nil, err
	}
	return h, h.prepare(s, u)
}

func checkSecret(secret string) error {
	if len(secret) > 256 {
		return badRequest("secret token is too long")
	}
	for i := range len(secret) {
		if c := secret[i]; !isAlnumByte(c) && c != '_' && c != '-' {
			return badRequest("secret token contains unallowed characters")
		}
	}
	return nil
}

// checkURL holds the rules of webhook addresses. On a loopback host plain HTTP and any port are allowed, which is a
// liberty of the sandbox.
func (h *webhook) checkURL() (*url.URL, error) {
	u, err := url.Parse(h.url)
	if err != nil || u.Hostname() == "" {
		return nil, badRequest("invalid webhook URL specified")
	}
	if _, err := netip.ParseAddr(or(h.ip, "127.0.0.1")); err != nil {
		return nil, badWebhook("can't parse IP address")
	}
	if isLoopback(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https") {
		return u, nil
	}
	if u.Scheme != "https" {
		return nil, badWebhook("An HTTPS URL must be provided for webhook")
	}
	switch u.Port() {
	case "", "443", "80", "88", "8443":
	default:
		return nil, badWebhook("Webhook can be set up only on ports 80, 88, 443 or 8443")
	}
	return u, checkIP(or(h.ip, u.Hostname()))
}

// checkIP refuses literal addresses that the real server does not deliver to.
func checkIP(host string) error {
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return nil
	case ip.IsLoopback():
		return nil
	case ip.Is6():
		return badWebhook("IPv6-only addresses are not allowed")
	case ip.IsPrivate(), ip.IsLinkLocalUnicast(), ip.IsUnspecified(), ip.IsMulticast():
		return badWebhook("IP address " + host + " is reserved")
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// unchanged reports whether the present webhook is set in the same way; the wanted kinds are updated even then.
func (s *Server) unchanged(c *call, h *webhook) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.hook
	same := old != nil && old.url == h.url && old.secret == h.secret && old.ip == h.ip &&
		old.maxConnections == h.maxConnections && len(old.certificate) == 0 &&
		len(h.certificate) == 0 && !c.flag("drop_pending_updates")
	if !same {
		return false, nil
	}
	return true, s.readAllowedUpdates(c)
}

// reach proves, as the real server does, that a connection can be opened.
func (h *webhook) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := h.dial(ctx)
	if err != nil {
		return badWebhook(failureText(err))
	}
	return conn.Close()
}

func (h *webhook) dial(ctx context.Context) (net.Conn, error) {
	network := "tcp4"
	if strings.HasPrefix(h.address, "[") {
		network = "tcp"
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, h.address)
}

// install replaces the webhook and starts to deliver what waits.
func (s *Server) install(c *call, h *webhook) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &apiError{code: 500, text: "Internal Server Error: restart"}
	}
	if err := s.readAllowedUpdates(c); err != nil {
		return nil, err
	}
	s.endPoll("terminated by setWebhook request")
	s.detach(c.flag("drop_pending_updates"))
	h.ctx, h.cancel = context.WithCancel(s.ctx)
	h.slots = make(chan struct{}, h.maxConnections)
	s.hook = h
	for key, q := range s.updates.queues {
		s.startDelivery(key, q)
	}
	return described{result: true, description: "Webhook was set"}, nil
}

// detach closes the present webhook and frees its queues.
func (s *Server) detach(drop bool) {
	if s.hook != nil {
		s.hook.close()
		s.hook = nil
	}
	for key, q := range s.updates.queues {
		q.busy = false
		if drop {
			q.items = nil
		}
		for _, u := range q.items {
			u.fails, u.delay = 0, 0
		}
		s.forgetEmpty(key, q)
	}
}

func (s *Server) deleteWebhook(c *call) (any, error) { return s.removeWebhook(c) }

func (s *Server) removeWebhook(c *call) (any, error) {
	text := "Webhook was deleted"
	if s.hook == nil {
		text = "Webhook is already deleted"
	}
	if err := s.readAllowedUpdates(c); err != nil {
		return nil, err
	}
	s.detach(c.flag("drop_pending_updates"))
	return described{result: true, description: text}, nil
}

// webhookInfo is a WebhookInfo.
type webhookInfo struct {
	URL            string   `json:"url"`
	Custom         bool     `json:"has_custom_certificate"`
	Pending        int      `json:"pending_update_count"`
	IP             string   `json:"ip_address,omitempty"`
	LastErrorDate  int64    `json:"last_error_date,omitempty"`
	LastError      string   `json:"last_error_message,omitempty"`
	MaxConnections int      `json:"max_connections,omitempty"`
	Allowed        []string `json:"allowed_updates,omitempty"`
}

func (s *Server) getWebhookInfo(*call) (any, error) {
	info := webhookInfo{Pending: len(s.waiting()), Allowed: append([]string(nil), s.updates.allowed...)}
	h := s.hook
	if h == nil {
		return info, nil
	}
	info.URL, info.Custom, info.MaxConnections = h.url, len(h.certificate) > 0, h.maxConnections
	info.LastError = h.lastError
	if !h.lastErrorAt.IsZero() {
		info.LastErrorDate = h.lastErrorAt.Unix()
	}
	host, _, _ := net.SplitHostPort(h.address)
	if _, err := netip.ParseAddr(host); err == nil {
		info.IP = host
	}
	return info, nil
}

// replyCall reads the call that a webhook answer may hold; nil means that there is none.
func replyCall(ctx context.Context, contentType string, body []byte) *call {
	c := newCall(ctx, "")
	if err := c.readBody(contentType, strings.NewReader(string(body))); err != nil {
		return nil
	}
	c.method = c.text("method")
	delete(c.args, "method")
	if !executableInReply(c.method) {
		return nil
	}
	return c
}

// retryAfter reads the header in seconds, clamped to an hour; 0 means that there is none.
func retryAfter(header http.Header) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(header.Get("Retry-After")))
	if err != nil {
		return 0
	}
	return time.Duration(min(max(n, 0), 3600)) * time.Second
}

// WebhookInfo returns the setting of the webhook as getWebhookInfo shows it, for the sandbox's own pages.
func (s *Server) WebhookInfo() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, _ := s.getWebhookInfo(nil)
	raw, _ := json.Marshal(info)
	return raw
}
