package telegram

import (
	"fmt"
	"math"
	"time"
)

// apiError is a failure as the Bot API shows it.
type apiError struct {
	code       int
	text       string
	retryAfter int
}

// Error returns the description that the client sees.
func (e *apiError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &apiError{code: 400, text: "Bad Request: " + fmt.Sprintf(format, args...)}
}

func forbidden(text string) error {
	return &apiError{code: 403, text: "Forbidden: " + text}
}

func conflict(text string) error {
	return &apiError{code: 409, text: "Conflict: " + text}
}

func notFound(text string) error {
	return &apiError{code: 404, text: "Not Found" + text}
}

func notEmulated(what string) error {
	return &apiError{code: 501, text: "Not Implemented: sandbox does not emulate " + what}
}

// tooMany rounds the wait up to whole seconds, at least one, as the real server does.
func tooMany(wait time.Duration) error {
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	return &apiError{code: 429, text: fmt.Sprintf("Too Many Requests: retry after %d", seconds), retryAfter: seconds}
}

// errQueryTooOld answers a callback or pre-checkout query that is unknown, expired or settled.
func errQueryTooOld() error {
	return badRequest("query is too old and response timeout expired or query ID is invalid")
}
