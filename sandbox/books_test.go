package sandbox_test

import (
	"context"
	"slices"
	"testing"

	"sallyport/sandbox"
	"sallyport/sandbox/books"
	"sallyport/shop"
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

// TestUpdatesAreComparedWithinTheirQueue: Telegram has one queue for a chat's messages
// and payments and one for each other kind, and no order between them. A payment may be
// handled before a message that was there before it.
func TestUpdatesAreComparedWithinTheirQueue(t *testing.T) {
	t.Parallel()
	b := newBooks(t, start(t, sandbox.Config{}))
	arrive := func(update, lane int64, kind string) {
		t.Helper()
		if _, err := b.DB.Exec(t.Context(), `INSERT INTO inbox (update_id, lane, kind, body, state, closed_at) VALUES ($1, $2, $3, '{}', 'done', now())`, update, lane, kind); err != nil {
			t.Fatal(err)
		}
	}
	ends := func(update int64) {
		t.Helper()
		if _, err := b.DB.Exec(t.Context(), `UPDATE inbox SET closed_at = now() WHERE update_id = $1`, update); err != nil {
			t.Fatal(err)
		}
	}
	for lane, kinds := range map[int64][2]string{
		1: {"message", "message"}, 2: {shop.KindPayment, shop.KindPayment}, 3: {shop.KindPress, shop.KindPress}, // one queue
		11: {"message", shop.KindPress}, 12: {shop.KindPayment, "my_chat_member"}, // two
		13: {"message", shop.KindPayment}, // one, of which the other may go first
	} {
		arrive(10*lane, lane, kinds[0])
		arrive(10*lane+1, lane, kinds[1])
		ends(10 * lane) // after the later one
	}
	arrive(501, 50, "message")
	arrive(500, 50, "message") // it overtook the one before it
	arrive(601, 60, shop.KindPayment)
	arrive(600, 60, "message") // here too
	strays, err := b.Strays(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, s := range strays {
		got = append(got, s.Update)
	}
	slices.Sort(got)
	if want := []int64{11, 21, 31, 500, 600}; !slices.Equal(got, want) {
		t.Errorf("strays are %v, want %v", got, want)
	}
}
