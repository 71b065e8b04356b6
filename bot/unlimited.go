package bot

import "golang.org/x/time/rate"

// NewUnlimitedSender returns a Sender that leaves the limit of all messages together
// to whoever it sends to. It is for measuring what lies behind that limit, which is
// Telegram's and not ours; the limit of each chat stays.
func NewUnlimitedSender(client *Client) *Sender {
	s := NewSender(client)
	s.global.SetLimit(rate.Inf)
	return s
}
