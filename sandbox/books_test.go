package sandbox_test

import (
	"context"
	"testing"

	"sallyport/sandbox"
	"sallyport/sandbox/books"
)

// ledgers are the books of a world in a test, which they fail.
type ledgers struct {
	*books.Books

	t *testing.T
}

func newBooks(t *testing.T, w *sandbox.World) *ledgers {
	t.Helper()
	opened, err := books.Open(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return &ledgers{Books: opened, t: t}
}

// count runs a query for one number.
func (l *ledgers) count(query string, args ...any) int {
	l.t.Helper()
	n, err := l.Count(l.t.Context(), query, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// check compares what is named, or everything. Nothing may be under way.
func (l *ledgers) check(parts ...func(context.Context) error) {
	l.t.Helper()
	if len(parts) == 0 {
		parts = append(parts, l.Check)
	}
	for _, part := range parts {
		if err := part(l.t.Context()); err != nil {
			l.t.Error(err)
		}
	}
}
