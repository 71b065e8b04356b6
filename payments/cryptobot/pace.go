package cryptobot

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sallyport/shop"
)

const (
	// askRate is how many questions a second are asked that nobody waits for, askBurst
	// how many at once. The service names no limit; this is gentle.
	askRate  = 1
	askBurst = 5
	// limitPause is how long the service is left alone when it says that we call too
	// often, and not for how long.
	limitPause = 5 * time.Second
	// limitLongest is how long it is left alone at most, whatever it says.
	limitLongest = time.Hour
)

// errTooOften is why no call is made.
var errTooOften = errors.New("the service asked us to wait")

// pace is how we keep within the service's limits.
type pace struct {
	questions *rate.Limiter

	mu    sync.Mutex
	until time.Time // which the service asked us to wait
}

func newPace() *pace { return &pace{questions: rate.NewLimiter(askRate, askBurst)} }

// free returns nil if the service may be called, or how long to wait, which counts for
// all calls alike.
func (p *pace) free() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := time.Until(p.until); wait > 0 {
		return shop.Limited(wait, errTooOften)
	}
	return nil
}

// heed leaves the service alone for as long as an error of its asks for.
func (p *pace) heed(err error) {
	known, ok := errors.AsType[*shop.Error](err)
	if !ok || known.Kind != shop.KindLimited {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(known.RetryAfter); until.After(p.until) {
		p.until = until
	}
}

// question waits until one may be asked that nobody waits for.
func (p *pace) question(ctx context.Context) error {
	if err := p.questions.Wait(ctx); err != nil {
		return shop.Limited(time.Second/askRate, err)
	}
	return nil
}

// tooOften is the service's word that we call too often.
func tooOften(response *http.Response, err error) error {
	wait := limitPause
	said := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(said, 10, 16); err == nil && seconds > 0 {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(said); err == nil {
		wait = max(time.Until(at), time.Second)
	}
	return shop.Limited(min(wait, limitLongest), err)
}
