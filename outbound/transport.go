package outbound

import (
	"net"
	"net/http"
	"time"
)

const (
	// dialBudget bounds the making of a connection, handshakeBudget its TLS.
	dialBudget      = 5 * time.Second
	handshakeBudget = 5 * time.Second
	// pingAfter is how long a connection of HTTP/2 may be silent before it is asked for
	// a sign of life, pingBudget how long that may take: then the connection is given up.
	// All calls share it, so one that leads nowhere would else fail them for many minutes.
	pingAfter  = 10 * time.Second
	pingBudget = 5 * time.Second
	// idleLimit is how long a connection is kept for the next call.
	idleLimit = 90 * time.Second
)

// newTransport returns the connections to one host. This is the one place where they
// are made, whatever speaks HTTP over them.
func newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		Proxy:               cfg.Proxy,
		DialContext:         (&net.Dialer{Timeout: dialBudget}).DialContext,
		TLSHandshakeTimeout: handshakeBudget,
		MaxIdleConnsPerHost: int(cfg.AtOnce),
		IdleConnTimeout:     idleLimit,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingBudget},
	}
}

// HTTP returns a client with the host's connections, for calls made within Do. It
// follows no redirect: that would carry what is secret to another host.
func (h *Host) HTTP() *http.Client {
	return &http.Client{
		Transport:     h.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
