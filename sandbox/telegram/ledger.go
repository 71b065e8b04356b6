package telegram

import "sort"

// getStarTransactions lists payments and refunds in chronological order.
func (s *Server) getStarTransactions(c *call) (any, error) {
	offset, limit := c.integer("offset"), int64(100)
	if c.has("limit") {
		limit = min(max(c.integer("limit"), 1), limit)
	}
	if offset < 0 {
		return nil, badRequest("offset must be non-negative")
	}
	all := make([]transaction, 0, len(s.charges))
	for _, d := range s.charges {
		all = append(all, d.transactions()...)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Date < all[j].Date })
	first := min(offset, int64(len(all)))
	last := min(first+limit, int64(len(all)))
	return map[string]any{"transactions": all[first:last]}, nil
}

func (s *Server) getMyStarBalance(*call) (any, error) {
	return map[string]any{"amount": s.balance}, nil
}
