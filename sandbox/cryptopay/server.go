package cryptopay

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// botUsername is what getMe names as the paying bot: a sandbox is never the
// main network.
const botUsername = "CryptoTestnetBot"

// defaultToken is used when the configuration names none.
const defaultToken = "1:AAsandboxTokenForLocalUseOnly000000"

// Config says what the stand-in is. The zero value works.
type Config struct {
	// Token is what callers must send in Crypto-Pay-API-Token and what signs
	// the webhooks.
	Token string
	// AppName is the name in getMe.
	AppName string
	// WebhookURL is where payments are reported; SetWebhook can give it later.
	WebhookURL string
	// Speed divides the delays between webhook attempts; 0 means 1.
	Speed float64
	// Logger gets one line per call and per webhook attempt; nil means none.
	Logger *zap.Logger
	// Now is the clock for creation, expiry and payment; nil means time.Now.
	Now func() time.Time
	// Roots are what the webhook's certificate is trusted by; nil means the
	// system's.
	Roots *x509.CertPool
	// PublicURL is the base of the pay pages: the addresses of an invoice are
	// PublicURL+"/pay/<hash>". Empty gives addresses of the shape that the
	// real service has.
	PublicURL string
	// AssetUSD overrides the price of one unit of an asset in US dollars, and
	// USDFiat how much of a fiat currency one US dollar costs, as decimals. An
	// unknown code is added; a value that is not a positive decimal is logged
	// and ignored.
	AssetUSD, USDFiat map[string]string
}

// Server is the stand-in. It is an http.Handler for /api/<method> and
// /<method>, safe for use by several goroutines; Close ends it.
type Server struct {
	cfg    Config
	rates  rateTable
	client *http.Client
	appID  int64
	// life ends with Close; deliveries outlive the calls that start them, so
	// no caller's context could bound them.
	life     context.Context
	end      context.CancelFunc
	running  sync.WaitGroup
	mu       sync.Mutex
	invoices map[int64]*Invoice
	order    []int64
	lastID   int64
	hook     hook
}

// New returns a running stand-in with no invoices.
func New(cfg Config) *Server {
	if cfg.Token == "" {
		cfg.Token = defaultToken
	}
	if cfg.AppName == "" {
		cfg.AppName = "Sandbox"
	}
	if cfg.Speed <= 0 {
		cfg.Speed = 1
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	life, end := context.WithCancel(context.Background())
	s := &Server{
		cfg: cfg, rates: newRates(cfg.AssetUSD, cfg.USDFiat), client: newHookClient(cfg.Roots),
		appID: appID(cfg.Token), life: life, end: end,
		invoices: map[int64]*Invoice{}, lastID: cfg.Now().UnixMilli(), hook: newHook(cfg.WebhookURL),
	}
	if len(s.rates.rejected) > 0 {
		cfg.Logger.Warn("prices ignored", zap.Strings("codes", s.rates.rejected))
	}
	return s
}

// appID is the number before the colon of a token.
func appID(token string) int64 {
	head, _, _ := strings.Cut(token, ":")
	id, err := strconv.ParseInt(head, 10, 64)
	if err != nil {
		return 1
	}
	return id
}

// Close ends all deliveries and waits for them. The handler goes on to answer
// calls, but no webhook is sent any more.
func (s *Server) Close() {
	s.mu.Lock()
	s.hook.closed = true
	s.mu.Unlock()
	s.end()
	s.running.Wait()
	s.client.CloseIdleConnections()
}

// ServeHTTP answers one API call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"), "api/")
	result, err := s.call(w, r, name)
	if refusal := (*apiError)(nil); errors.As(err, &refusal) {
		s.cfg.Logger.Info("call refused", zap.String("method", name), zap.String("error", refusal.Name))
		write(w, refusal.Code, map[string]any{"ok": false, "error": refusal})
		return
	} else if err != nil {
		s.cfg.Logger.Error("call broke", zap.String("method", name), zap.Error(err))
		write(w, http.StatusInternalServerError, map[string]any{"ok": false, "error": apiError{Code: 500, Name: "APP_ERROR"}})
		return
	}
	s.cfg.Logger.Debug("call answered", zap.String("method", name))
	write(w, http.StatusOK, map[string]any{"ok": true, "result": result})
}

func (s *Server) call(w http.ResponseWriter, r *http.Request, name string) (any, error) {
	token := r.Header.Get("Crypto-Pay-API-Token")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) != 1 {
		return nil, &apiError{Code: http.StatusUnauthorized, Name: "UNAUTHORIZED"}
	}
	method, known := s.method(name)
	if !known {
		return nil, &apiError{Code: http.StatusMethodNotAllowed, Name: "METHOD_NOT_FOUND"}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, &apiError{Code: http.StatusMethodNotAllowed, Name: "HTTP_METHOD_NOT_ALLOWED"}
	}
	p, err := readParams(w, r)
	if err != nil {
		return nil, err
	}
	return method(p)
}

// method finds the implementation of an API method.
func (s *Server) method(name string) (func(params) (any, error), bool) {
	switch name {
	case "getMe":
		return s.getMe, true
	case "createInvoice":
		return s.createInvoice, true
	case "deleteInvoice":
		return s.deleteInvoice, true
	case "getInvoices":
		return s.getInvoices, true
	case "getBalance":
		return s.getBalance, true
	case "getExchangeRates":
		return s.getExchangeRates, true
	case "getCurrencies":
		return s.getCurrencies, true
	case "getStats":
		return s.getStats, true
	case "getTransfers", "getChecks":
		return noItems, true
	case "transfer", "createCheck", "deleteCheck":
		return disabled, true
	}
	return nil, false
}

// write answers with JSON as the real service does: plain text, nothing escaped
// for HTML.
func write(w http.ResponseWriter, status int, answer any) {
	body, err := encode(answer)
	if err != nil {
		http.Error(w, "encode: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // The caller has gone: nobody is left to tell.
}

// encode writes compact JSON without HTML escapes and without a newline, so
// that clients which write it again get the same bytes.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return unescape(bytes.TrimRight(buffer.Bytes(), "\n")), err
}

// unescape writes U+2028 and U+2029 as they are, as JavaScript does: there are clients that check the signature over
// what they have encoded anew.
func unescape(text []byte) []byte {
	for escape, separator := range map[string]string{`\u2028`: "\u2028", `\u2029`: "\u2029"} {
		for at := 0; ; {
			found := bytes.Index(text[at:], []byte(escape))
			if found < 0 {
				break
			}
			at += found
			if slashes := len(text[:at]) - len(bytes.TrimRight(text[:at], `\`)); slashes%2 == 1 {
				at += len(escape) // it is the text of an escape
				continue
			}
			text = slices.Concat(text[:at], []byte(separator), text[at+len(escape):])
		}
	}
	return text
}
