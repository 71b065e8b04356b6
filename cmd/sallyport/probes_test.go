package main

import (
	"testing"
	"time"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/store"
)

func TestFindingsSayWhatAnOperatorShouldLookAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		got  api.Finding
		want api.Finding
	}{
		{"an idle inbox", inboxFinding(store.Vitals{}), api.Finding{State: api.StateOK}},
		{"a late inbox", inboxFinding(store.Vitals{WaitingUpdates: 3, OldestUpdate: time.Minute}), api.Finding{State: api.StateDegraded, Reason: "3 updates wait, the oldest for 1m0s"}},
		{"an inbox that gave up", inboxFinding(store.Vitals{DeadUpdates: 1, DeadLetters: 2}), api.Finding{State: api.StateDegraded, Reason: "1 updates and 2 deliveries put aside in the last day"}},
		{"jobs in time", jobsFinding(store.Vitals{OwedJobs: 5, OldestJob: time.Second}), api.Finding{State: api.StateOK}},
		{"late jobs", jobsFinding(store.Vitals{OwedJobs: 5, OldestJob: time.Hour}), api.Finding{State: api.StateDegraded, Reason: "5 jobs are owed, the oldest for 1h0m0s"}},
		{"periodic jobs that fail", jobsFinding(store.Vitals{IdleJobs: []string{"expire_due", "poll_invoices"}}), api.Finding{State: api.StateDegraded, Reason: "no success for long: expire_due, poll_invoices"}},
		{"jobs given up", jobsFinding(store.Vitals{DeadJobs: 1}), api.Finding{State: api.StateDegraded, Reason: "1 jobs given up in the last day"}},
		{"payments in order", paymentsFinding(store.Vitals{}), api.Finding{State: api.StateOK}},
		{"flagged payments", paymentsFinding(store.Vitals{FlaggedPayments: 2}), api.Finding{State: api.StateDegraded, Reason: "2 payments flagged for an operator in the last day"}},
		{"a webhook of ours", webhookFinding(bot.WebhookInfo{URL: "u", LastErrorDate: 5, Pending: 3}, "u", time.Now()), api.Finding{State: api.StateOK}},
		{"no webhook", webhookFinding(bot.WebhookInfo{}, "u", time.Now()), api.Finding{State: api.StateDegraded, Reason: "no webhook is set: nothing is delivered"}},
		{"a webhook of somebody else", webhookFinding(bot.WebhookInfo{URL: "v"}, "u", time.Now()), api.Finding{State: api.StateDegraded, Reason: "the webhook is set to another address: somebody else uses this bot's token"}},
		{"a webhook that fails", webhookFinding(bot.WebhookInfo{URL: "u", LastErrorDate: time.Now().Unix(), LastErrorMessage: "Connection refused", Pending: 3}, "u", time.Now()), api.Finding{State: api.StateDegraded, Reason: "3 updates cannot be delivered: Connection refused"}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v", c.name, c.got)
		}
	}
}
