package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"sallyport/shop"
)

const (
	// maxBody bounds what is read of a request.
	maxBody = 1 << 20
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

// receive wraps a receiver: it reads the bounded body, turns the receiver's error
// into a status code, counts and logs. The receiver returns nil only when the
// delivery is durable.
func (e *Edge) receive(name string, take func(context.Context, delivery) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		err := e.take(w, r, take)
		code := statusOf(err)
		e.requests.WithLabelValues(name, strconv.Itoa(code)).Observe(time.Since(start).Seconds())
		switch {
		case err == nil:
		case code == http.StatusServiceUnavailable:
			e.log.Warn("delivery sent away", zap.String("receiver", name), zap.Duration("dur", time.Since(start)), zap.Error(err))
			busy(w)
			return
		default:
			e.log.Warn("delivery refused", zap.String("receiver", name), zap.Int("code", code))
		}
		w.WriteHeader(code)
	}
}

func (e *Edge) take(w http.ResponseWriter, r *http.Request, take func(context.Context, delivery) error) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return errTooLarge
		}
		return errBadRequest
	}
	return take(r.Context(), delivery{header: r.Header, body: body})
}

var (
	errTooLarge   = errors.New("body too large")
	errBadRequest = errors.New("body not readable")
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

// telegram takes one update.
func (e *Edge) telegram(ctx context.Context, d delivery) error {
	if !same(d.header.Get("X-Telegram-Bot-Api-Secret-Token"), e.cfg.Secret) {
		return shop.ErrForged
	}
	update, err := readUpdate(d.body)
	if err != nil {
		return e.bury(ctx, "telegram", err, d.body)
	}
	if update.Kind == "pre_checkout_query" {
		ctx, cancel := context.WithTimeoutCause(ctx, checkoutBudget, errors.New("checkout not answered in time"))
		defer cancel()
		return e.cfg.Checkout(ctx, d.body)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("update not stored in time"))
	defer cancel()
	if _, err := e.cfg.Inbox.AddUpdate(ctx, update); err != nil {
		return err
	}
	e.cfg.Wake(update.Lane)
	return nil
}

// payment takes one payment callback.
func (e *Edge) payment(ctx context.Context, d delivery) error {
	event, err := e.cfg.Payment(d.header, d.body)
	switch {
	case errors.Is(err, shop.ErrIrrelevant):
		e.payments.WithLabelValues("irrelevant").Inc()
		return nil
	case errors.Is(err, shop.ErrUndecodable):
		return e.bury(ctx, "cryptobot", err, d.body)
	case err != nil:
		e.payments.WithLabelValues("forged").Inc()
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("payment not stored in time"))
	defer cancel()
	outcome, err := e.cfg.Settle(ctx, event)
	if err != nil {
		return err
	}
	e.payments.WithLabelValues(string(outcome)).Inc()
	report := e.log.Info
	if outcome == shop.Flagged {
		report = e.log.Error // an operator must look at it
	}
	report("payment", zap.String("provider", string(event.Provider)), zap.String("payment_id", event.ExternalID),
		zap.String("outcome", string(outcome)))
	return nil
}

// bury keeps a delivery that is genuine but not understood.
func (e *Edge) bury(ctx context.Context, source string, reason error, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeBudget, errors.New("dead letter not stored in time"))
	defer cancel()
	if err := e.cfg.Inbox.BuryLetter(ctx, source, reason.Error(), body); err != nil {
		return err
	}
	e.log.Error("delivery not understood", zap.String("receiver", source), zap.Error(reason))
	return nil
}

// same compares in constant time, the lengths too.
func same(got, want string) bool {
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
