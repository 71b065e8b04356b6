// Package api is the HTTP edge: it receives what Telegram and the payment
// provider post, makes it durable before it answers, and reports health. It holds
// no rule of the business and never waits for an outside host, but for the one
// answer that Telegram wants within the request.
package api

import (
	"bytes"
	"context"
	stdlog "log"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sallyport/shop"
)

// The paths that the outside posts to.
const (
	TelegramPath = "/telegram/webhook"
	PaymentsPath = "/payments/cryptobot"
)

// Inbox keeps what was received.
type Inbox interface {
	// AddUpdate keeps an update for good; it reports whether it is new.
	AddUpdate(ctx context.Context, u shop.Update) (fresh bool, err error)
	// BuryLetter keeps an authenticated delivery that could not be understood.
	BuryLetter(ctx context.Context, source, reason string, body []byte) error
}

// Config is what the edge is made of.
type Config struct {
	Secret   string                                                           // that Telegram sends with every update
	Inbox    Inbox                                                            //
	Wake     func(lane int64, urgent bool)                                    // called once an update of the lane is durable
	Checkout func(ctx context.Context, update []byte) error                   // answers a pre-checkout query
	Signed   func(http.Header) bool                                           // whether a payment callback claims to be signed at all; default yes
	Payment  func(header http.Header, body []byte) (shop.PaymentEvent, error) // verifies, then reads a payment callback
	Settle   func(context.Context, shop.PaymentEvent) (shop.Outcome, error)   //
	Health   *Health
	Proxies  []netip.Prefix // whose word is taken for the address of a client
	Gate     Gate           // before Telegram's receiver; default off
	AtOnce   int            // requests of a receiver worked at once before others are sent away; default 256
	Logger   *zap.Logger
	Metrics  prometheus.Registerer
}

// Edge serves the receivers and the health pages.
type Edge struct {
	cfg       Config
	log       *zap.Logger
	secrets   atomic.Pointer[[][32]byte] // digests of other secrets that are good now
	requests  *prometheus.HistogramVec
	strangers *prometheus.CounterVec
}

// New returns an Edge.
func New(cfg Config) *Edge {
	if cfg.AtOnce == 0 {
		cfg.AtOnce = 256
	}
	if cfg.Signed == nil {
		cfg.Signed = func(http.Header) bool { return true }
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	e := &Edge{
		cfg: cfg, log: cfg.Logger,
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sallyport", Subsystem: "receiver", Name: "duration_seconds",
			Help:    "How long a delivery took to be answered, by receiver and status code.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 3, 10),
		}, []string{"receiver", "code"}),
		strangers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sallyport", Subsystem: "receiver", Name: "strangers_total",
			Help: "Updates from addresses that are not Telegram's, by what the gate is.",
		}, []string{"gate"}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(e.requests, e.strangers)
	}
	return e
}

// Accept has updates taken that come with another secret than our own: one that
// Telegram was told before, or is about to be told by another process. It is given
// the SHA-256 of all of them.
func (e *Edge) Accept(digests [][32]byte) { e.secrets.Store(&digests) }

// Receivers returns the handler of what the outside may reach.
func (e *Edge) Receivers() chi.Router {
	r := chi.NewRouter()
	r.Use(promptly, middleware.Recoverer)
	r.Get("/livez", e.cfg.Health.live)
	r.With(e.gate).Post(TelegramPath, e.receive(receiver{name: "telegram", known: e.fromTelegram, most: maxBody, take: e.telegram}))
	r.Post(PaymentsPath, e.receive(receiver{
		name: "cryptobot", known: e.cfg.Signed, porch: &porch{origins: make(map[netip.Prefix]int)}, most: maxCallback, take: e.payment,
	}))
	return r
}

// NewRouter returns an empty router.
func NewRouter() chi.Router { return chi.NewRouter() }

// Operations adds what only operators should reach to r, and what says whether the
// process lives, so that a supervisor needs no more than r.
func (e *Edge) Operations(r chi.Router) {
	r.Get("/livez", e.cfg.Health.live)
	r.Get("/readyz", e.cfg.Health.ready)
	r.Get("/healthz", e.cfg.Health.report)
}

// busy asks the sender to come again: everybody who posts to us repeats.
func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "busy, try again", http.StatusServiceUnavailable)
}

// Server returns an HTTP server that no slow client can hold up.
func Server(addr string, handler http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          stdlog.New(serverWords{log.Named("http")}, "", 0),
	}
}

// serverWords logs what a server says of its connections. Its words name the client, so
// they are a field: all such lines have one message, and are counted together.
type serverWords struct{ log *zap.Logger }

// Write implements io.Writer.
func (s serverWords) Write(text []byte) (int, error) {
	words := zap.String("why", strings.TrimSpace(string(text)))
	if bytes.Contains(text, []byte("panic serving")) {
		s.log.Error("handler panicked", words)
	} else {
		s.log.Info("connection failed", words)
	}
	return len(text), nil
}
