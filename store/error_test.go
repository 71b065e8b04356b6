package store_test

import (
	"errors"
	"testing"

	"sallyport/shop"
	"sallyport/store"
)

// unwritable is a job that cannot be written down.
type unwritable struct{ shop.ExpireDue }

// MarshalJSON implements json.Marshaler.
func (unwritable) MarshalJSON() ([]byte, error) { return nil, errors.New("odd") }

// What we cannot send or read is a fault of ours, tried a few times and put aside; a
// connection that breaks is not, and is tried until there is one.
func TestWhoseFaultAnErrorIs(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), store.Config{URL: server.Database(t), Name: "test", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	placed(t, s)
	if err := s.Enqueue(t.Context(), unwritable{}); shop.KindOf(err) != shop.KindInternal {
		t.Errorf("a job that cannot be written: %s %v", shop.KindOf(err), err)
	}
	must(t, s, `ALTER TABLE users ALTER COLUMN language DROP NOT NULL`)
	must(t, s, `UPDATE users SET language = NULL`)
	if _, err := s.User(t.Context(), buyer); shop.KindOf(err) != shop.KindInternal {
		t.Errorf("a row that cannot be read: %s %v", shop.KindOf(err), err)
	}
	must(t, s, `UPDATE users SET language = 'en'`)
	conn, err := s.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Conn().PgConn().Conn().Close(); err != nil {
		t.Fatal(err)
	}
	conn.Release()
	if _, err := s.User(t.Context(), buyer); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("a connection that broke: %s %v", shop.KindOf(err), err)
	}
	if _, err := s.User(t.Context(), buyer); err != nil {
		t.Errorf("and then: %v", err)
	}
}
