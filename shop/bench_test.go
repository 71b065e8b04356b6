package shop_test

import (
	"sync/atomic"
	"testing"
	"time"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// BenchmarkCompareNode compares a node with the 10,000 users whom it should let in, and
// finds nothing to do.
func BenchmarkCompareNode(b *testing.B) {
	s, node := server.Open(b), shoptest.NewNode("de1")
	for _, sql := range []string{
		`INSERT INTO users (id, language) SELECT n, 'en' FROM generate_series(1, 10000) n`,
		`INSERT INTO subscriptions (user_id, plan, status, expires_at) SELECT id, 'basic', 'active', now() + interval '1 day' FROM users`,
		`ANALYZE`,
	} {
		if _, err := s.Pool().Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	var catalogue atomic.Pointer[shop.Catalogue]
	catalogue.Store(&shop.Catalogue{})
	clock := time.Now()
	sells := shop.New(shop.Config{
		Store: s, Catalogue: &catalogue, Nodes: func() []shop.Node { return []shop.Node{node} },
		Now: func() time.Time { return clock },
	})
	b.ReportAllocs()
	for b.Loop() {
		clock = clock.Add(time.Hour) // it is due for a full comparison
		if err := sells.CheckNode(b.Context(), node.Name()); err != nil {
			b.Fatal(err)
		}
	}
}
