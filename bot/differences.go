package bot

import (
	"fmt"
	"slices"
)

// Differences says in what the webhook that Telegram knows differs from w, its
// address and secret apart: the secret is never told.
func (i WebhookInfo) Differences(w Webhook) []string {
	var found []string
	if i.MaxConnections != w.MaxConnections {
		found = append(found, fmt.Sprintf("max_connections is %d, not %d", i.MaxConnections, w.MaxConnections))
	}
	got, want := slices.Sorted(slices.Values(i.AllowedUpdates)), slices.Sorted(slices.Values(AllowedUpdates()))
	if !slices.Equal(got, want) {
		found = append(found, fmt.Sprintf("allowed_updates are %q, not %q", got, want))
	}
	switch {
	case w.Certificate != nil && !i.OwnCertificate:
		found = append(found, "our own certificate was not uploaded")
	case w.Certificate == nil && i.OwnCertificate:
		found = append(found, "a certificate was uploaded that is not used any more")
	}
	return found
}
