package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"sallyport/shop"
)

const (
	// maxBody bounds what is read of an update, maxCallback of a payment callback: those
	// are a few kilobytes, and who sends them is known only when all is read.
	maxBody     = 1 << 20
	maxCallback = 64 << 10
	// arriving is how many bodies of callbacks may be on their way at once, arrivingEach
	// how many from one address.
	arriving     = 1024
	arrivingEach = 32
	// readBudget bounds how long a body may take to arrive.
	readBudget = 3 * time.Second
	// storeBudget bounds how long a delivery may wait for the database.
	storeBudget = 3 * time.Second
	// checkoutBudget leaves Telegram's ten seconds a margin.
	checkoutBudget = 8 * time.Second
)

// delivery is one request of a receiver, its body read.
type delivery struct {
	header http.Header
	body   []byte
}

// receiver takes deliveries of one sender.
type receiver struct {
	name   string
	known  func(http.Header) bool // says no by the header alone when a stranger sends
	porch  *porch                 // where whom the header does not show to be known is until all has arrived; nil without
	most   int64                  // bytes of a body
	take   func(context.Context, delivery) error
	places chan struct{} // one for each delivery worked at once
}

// refusalOf is the message of a delivery's line in the log: strangers have one of their
// own, lest they have those of genuine deliveries left out, and so has a sender who did
// not wait for our answer.
func refusalOf(code int, gone bool) string {
	switch {
	case code == http.StatusUnauthorized:
		return "stranger refused"
	case gone:
		return "sender left"
	default:
		return "delivery refused"
	}
}

// receive returns the handler of a receiver. Strangers are sent away before they
// cost anything, then whoever comes when all places are taken: at once if the header
// shows who sends, else when the body has arrived, so that nobody holds a place by being
// slow. The body is bounded in size and time. take returns nil only when the delivery is
// durable; its error becomes a status code, which is counted and logged.
func (e *Edge) receive(r receiver) http.HandlerFunc {
	name := r.name
	r.places = make(chan struct{}, e.cfg.AtOnce)
	return func(w http.ResponseWriter, request *http.Request) {
		start := time.Now()
		client := clientOf(request, e.cfg.Proxies)
		err := r.serve(w, request, client)
		code := statusOf(err)
		e.requests.WithLabelValues(name, strconv.Itoa(code)).Observe(time.Since(start).Seconds())
		if err == nil {
			e.log.Debug("delivery taken", zap.String("receiver", name), zap.Duration("dur", time.Since(start)))
		} else {
			e.log.Warn(refusalOf(code, request.Context().Err() != nil), zap.String("receiver", name), zap.Int("code", code),
				zap.Stringer("client", client), zap.Duration("dur", time.Since(start)), zap.NamedError("err", err))
		}
		if code == http.StatusServiceUnavailable {
			busy(w)
			return
		}
		w.WriteHeader(code)
	}
}

// promptly has every body arrive in time, also one that nobody is going to read: the
// server does not let go of a connection before.
func promptly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readBudget)) // a recorder in a test cannot
		next.ServeHTTP(w, r)
	})
}

func (r *receiver) serve(w http.ResponseWriter, request *http.Request, client netip.Addr) error {
	if !r.known(request.Header) {
		return shop.ErrForged
	}
	read := func() ([]byte, error) { return readBody(http.MaxBytesReader(w, request.Body, r.most)) }
	if r.porch != nil {
		body, err := r.porch.wait(client, read)
		if err != nil {
			return err
		}
		read = func() ([]byte, error) { return body, nil }
	}
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	default:
		return errBusy
	}
	body, err := read()
	if err != nil {
		return err
	}
	return r.take(request.Context(), delivery{header: request.Header, body: body})
}

func readBody(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(from)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, errBadRequest
	}
	return body, nil
}

// porch bounds how many bodies of strangers are on their way: in all, and from each
// address.
type porch struct {
	mu      sync.Mutex
	all     int
	origins map[netip.Prefix]int
}

// wait reads a body of a client's, if there is room for another.
func (p *porch) wait(client netip.Addr, read func() ([]byte, error)) ([]byte, error) {
	origin := originOf(client)
	p.mu.Lock()
	if p.all >= arriving || p.origins[origin] >= arrivingEach {
		p.mu.Unlock()
		return nil, errBusy
	}
	p.all++
	p.origins[origin]++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.origins[origin]--; p.origins[origin] == 0 {
			delete(p.origins, origin)
		}
	}()
	return read()
}

var (
	errTooLarge   = errors.New("body too large")
	errBadRequest = errors.New("body not readable")
	errBusy       = errors.New("all places are taken")
)

// statusOf is the one table from errors to status codes. Whatever is not the
// sender's fault asks the sender to repeat.
func statusOf(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, shop.ErrForged):
		return http.StatusUnauthorized
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errBadRequest):
		return http.StatusBadRequest
	default:
		return http.StatusServiceUnavailable
	}
}

// fromTelegram says whether the header bears a secret of ours. How long that takes
// tells nothing of the secrets.
func (e *Edge) fromTelegram(h http.Header) bool {
	sent := sha256.Sum256([]byte(h.Get("X-Telegram-Bot-Api-Secret-Token")))
	own := sha256.Sum256([]byte(e.cfg.Secret))
	known := subtle.ConstantTimeCompare(sent[:], own[:])
	if others := e.secrets.Load(); others != nil {
		for _, digest := range *others {
			known |= subtle.ConstantTimeCompare(sent[:], digest[:])
		}
	}
	return known == 1
}

// telegram takes one update.
func (e *Edge) telegram(ctx context.Context, d delivery) error {
	update, err := readUpdate(d.body)
	if err != nil {
		return e.bury(ctx, "telegram", err, d.body)
	}
	if update.Kind == "pre_checkout_query" {
		ctx, cancel := context.WithTimeoutCause(ctx, checkoutBudget, errors.New("checkout not answered in time"))
		defer cancel()
		err := e.cfg.Checkout(ctx, d.body)
		if kind := shop.KindOf(err); err != nil && kind != shop.KindUnavailable && kind != shop.KindLimited {
			return e.bury(context.WithoutCancel(ctx), "telegram", err, d.body) // asking again would not help
		}
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("update not stored in time"))
	defer cancel()
	if _, err := e.cfg.Inbox.AddUpdate(ctx, update); err != nil {
		return err
	}
	e.cfg.Wake(update.Lane, update.Urgent())
	return nil
}

// payment takes one payment callback.
func (e *Edge) payment(ctx context.Context, d delivery) error {
	event, err := e.cfg.Payment(d.header, d.body)
	switch {
	case errors.Is(err, shop.ErrIrrelevant):
		return nil
	case errors.Is(err, shop.ErrUndecodable):
		return e.bury(ctx, "cryptobot", err, d.body)
	case err != nil:
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("payment not stored in time"))
	defer cancel()
	_, err = e.cfg.Settle(ctx, event)
	if kind := shop.KindOf(err); err != nil && kind != shop.KindUnavailable && kind != shop.KindLimited {
		return e.bury(context.WithoutCancel(ctx), "cryptobot", err, d.body) // to repeat it would not help, and ends all deliveries after some days
	}
	return err
}

// bury keeps a delivery that is genuine but not understood.
func (e *Edge) bury(ctx context.Context, source string, reason error, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("dead letter not stored in time"))
	defer cancel()
	if err := e.cfg.Inbox.BuryLetter(ctx, source, reason.Error(), body); err != nil {
		return err
	}
	e.log.Error("delivery not understood", zap.String("receiver", source), zap.NamedError("err", reason))
	return nil
}
