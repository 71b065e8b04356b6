package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sallyport/sandbox/telegram/botapi"
)

// Server is one emulated Bot API with one bot and any number of people. It is safe for concurrent use.
type Server struct {
	cfg     Config
	log     *zap.Logger
	table   *botapi.Table
	methods map[string]method
	self    wireUser

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	chats       map[int64]*chat
	waiters     map[int64]chan struct{}
	lastMessage int
	files       map[string]*file
	callbacks   map[string]*callback
	callbackIDs []string
	checkouts   map[string]*checkout
	invoices    map[string]*invoice
	charges     []*charge
	asked       []int64 // ids of the updates that were pre-checkout queries
	losing      bool    // the bot is not told of payments
	balance     int64
	updates     updates
	hook        *webhook
	hookSetAt   time.Time
	poll        *poll
	profile     profile
	flood       map[int64]*rate.Limiter
	floodAll    *rate.Limiter
	violations  []string
	record      Record
	pauses      map[int64]time.Time // until which a 429 asked for quiet, by chat
	strikeOneOf int
	strikeTurn  int
}

// described is a result that carries a description, which a few methods have.
type described struct {
	result      any
	description string
}

// New starts a server; the caller must Close it. It panics only when the embedded table is broken.
func New(cfg Config) *Server {
	table, err := botapi.Load()
	if err != nil {
		panic(err)
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		cfg: cfg, log: cfg.Logger, table: table, ctx: ctx, cancel: cancel,
		chats: make(map[int64]*chat), waiters: make(map[int64]chan struct{}), lastMessage: 1,
		files: make(map[string]*file), callbacks: make(map[string]*callback),
		checkouts: make(map[string]*checkout), invoices: make(map[string]*invoice),
		flood: make(map[int64]*rate.Limiter), pauses: make(map[int64]time.Time),
		floodAll: rate.NewLimiter(rate.Limit(cfg.Limits.Global), cfg.Limits.Global),
		profile:  newProfile(),
	}
	s.updates = newUpdates(rand.Int64N(900_000_000) + 1)
	s.self = wireUser{ID: botID(cfg.Token), IsBot: true, FirstName: cfg.BotName, Username: cfg.BotUsername}
	s.methods = s.methodTable()
	return s
}

// botID is the number before the colon of the token.
func botID(token string) int64 {
	number, _, _ := strings.Cut(token, ":")
	id, _ := strconv.ParseInt(number, 10, 64)
	return id
}

// Close stops deliveries, long polls and waits, drops pending updates, and returns when no goroutine is left.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	s.mu.Unlock()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hook != nil {
		s.hook.close()
	}
}

// ServeHTTP answers /bot<token>/<method>, /bot<token>/test/<method> and /file/bot<token>/<file_path>.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/file/bot"); ok {
		s.serveFile(w, r, rest)
		return
	}
	result, err := s.answer(w, r)
	s.respond(w, result, err)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/bot")
	token, method, found := strings.Cut(rest, "/")
	if !ok || !found || method == "" {
		return nil, notFound("")
	}
	if err := s.authorise(token); err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, &apiError{code: http.StatusMethodNotAllowed, text: "Method Not Allowed"}
	}
	c, err := readRequest(w, r, strings.TrimPrefix(method, "test/"))
	if err != nil {
		return nil, err
	}
	return s.invoke(c)
}

// authorise tells a malformed token (404) from a wrong one (401).
func (s *Server) authorise(token string) error {
	number, secret, ok := strings.Cut(token, ":")
	if _, err := strconv.ParseUint(number, 10, 63); err != nil || !ok || secret == "" {
		return notFound("")
	}
	if token != s.cfg.Token {
		return &apiError{code: http.StatusUnauthorized, text: "Unauthorized"}
	}
	return nil
}

// envelope is what every answer looks like.
type envelope struct {
	OK          bool        `json:"ok"`
	Result      any         `json:"result,omitempty"`
	ErrorCode   int         `json:"error_code,omitempty"`
	Description string      `json:"description,omitempty"`
	Parameters  *parameters `json:"parameters,omitempty"`
}

type parameters struct {
	RetryAfter int `json:"retry_after,omitempty"`
}

func (s *Server) respond(w http.ResponseWriter, result any, err error) {
	body := envelope{OK: true, Result: result}
	status := http.StatusOK
	if d, ok := result.(described); ok {
		body.Result, body.Description = d.result, d.description
	}
	if err != nil {
		failure := &apiError{code: http.StatusInternalServerError, text: "Internal Server Error"}
		errors.As(err, &failure)
		status = failure.code
		body = envelope{ErrorCode: failure.code, Description: failure.text}
		if failure.retryAfter > 0 {
			body.Parameters = &parameters{RetryAfter: failure.retryAfter}
			w.Header().Set("Retry-After", strconv.Itoa(failure.retryAfter))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
