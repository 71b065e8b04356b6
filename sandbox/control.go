package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"

	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/telegram"
)

// maxBody bounds the body of a request to the control API.
const maxBody = 64 << 10

// control is the API by which programs and the chat page drive the world.
type control struct {
	world *World
	page  string // the chat page's origin
}

// problem is a request that cannot be done, with its HTTP status.
type problem struct {
	status int
	text   string
}

// Error says what is wrong.
func (p *problem) Error() string { return p.text }

func invalid(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func absent(format string, args ...any) error {
	return &problem{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &problem{http.StatusConflict, fmt.Sprintf(format, args...)}
}

// action does what a request asks and returns the answer, to be written as JSON.
type action func(r *http.Request) (any, error)

// handler is the whole API.
func (c *control) handler() http.Handler {
	r := chi.NewRouter()
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, absent("there is no %s here", r.URL.Path))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &problem{http.StatusMethodNotAllowed, r.Method + " is not allowed here"})
	})
	c.people(r)
	c.money(r)
	c.machines(r)
	return c.guard(r)
}

// guard keeps web pages that the developer visits from driving the world: what
// is asked must be this machine by name, and by nobody but the chat page or a
// program.
func (c *control) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		origin := r.Header.Get("Origin")
		switch {
		case !isLoopback(r.Host):
			writeError(w, &problem{http.StatusForbidden, "ask for 127.0.0.1 or localhost"})
			return
		case origin != "" && !c.trusts(origin, r.Host):
			writeError(w, &problem{http.StatusForbidden, "only the chat page may ask from a browser"})
			return
		case origin != "":
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// trusts says whether the origin is the chat page, under either of its names, or
// the very server that is asked.
func (c *control) trusts(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && (origin == c.page || u.Scheme == "http" && u.Host == host)
}

func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// does makes a handler of an action.
func does(do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(r)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

func writeError(w http.ResponseWriter, err error) {
	writeJSON(w, statusOf(err), map[string]string{"error": err.Error()})
}

// statusOf is the one place where errors become HTTP statuses.
func statusOf(err error) int {
	var p *problem
	var refused *telegram.RefusedError
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &p):
		return p.status
	case is(telegram.ErrNoChat, telegram.ErrNoMessage, telegram.ErrNoButton, telegram.ErrNoInvoice, cryptopay.ErrNotFound):
		return http.StatusNotFound
	case is(telegram.ErrText, cryptopay.ErrAsset, cryptopay.ErrComment, cryptopay.ErrAnonymous, fault.ErrMode):
		return http.StatusBadRequest
	case is(telegram.ErrBlocked, telegram.ErrAlreadyPaid, cryptopay.ErrPaid, cryptopay.ErrExpired,
		cryptopay.ErrUnpaid, cryptopay.ErrNoWebhook), errors.As(err, &refused):
		return http.StatusConflict
	case is(telegram.ErrPayTimeout, cryptopay.ErrRefused):
		return http.StatusFailedDependency
	default:
		return http.StatusInternalServerError
	}
}

// read decodes the body; an empty one leaves v as it is. Unknown names are
// refused, for they are mistakes.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &problem{http.StatusRequestEntityTooLarge, "the body is over 64 KiB"}
	case err != nil:
		return invalid("the body: %v", err)
	case d.More():
		return invalid("the body: more than one JSON value")
	}
	return nil
}

// number reads a number from the path.
func number(r *http.Request, name string) (int64, error) {
	n, err := strconv.ParseInt(chi.URLParam(r, name), 10, 64)
	if err != nil || n <= 0 {
		return 0, invalid("%s: want a positive number", name)
	}
	return n, nil
}
