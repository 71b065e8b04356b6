package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/api"
	"sallyport/shop"
	"sallyport/store"
)

// waiting is degraded by so many things that wait for an operator.
func waiting(count int, code, reason string) api.Finding {
	return api.Finding{State: api.StateDegraded, Code: code, Reason: reason, Count: count}
}

func also(first api.Finding, others ...api.Finding) api.Finding {
	first.Also = others
	return first
}

func TestFindingsSayWhatAnOperatorShouldLookAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		got  api.Finding
		want api.Finding
	}{
		{"an idle inbox", inboxFinding(store.Vitals{}), api.Finding{State: api.StateOK}},
		{
			"a late inbox", inboxFinding(store.Vitals{WaitingUpdates: 3, OldestUpdate: time.Minute, DeadUpdates: 1}),
			also(degraded(api.CodeInboxLate, "3 updates wait, the oldest for 1m0s"), waiting(1, api.CodeInboxDead, "1 updates and 0 deliveries were put aside")),
		},
		{
			"an inbox that gave up", inboxFinding(store.Vitals{DeadUpdates: 1, DeadLetters: 2}),
			waiting(3, api.CodeInboxDead, "1 updates and 2 deliveries were put aside"),
		},
		{"a night", inboxFinding(store.Vitals{Silence: store.SilenceVitals{Lasts: 8, Heard: 110, Usual: 9}}), api.Finding{State: api.StateOK}},
		{"a shop with few customers", inboxFinding(store.Vitals{Silence: store.SilenceVitals{Lasts: 100, Heard: 83, Usual: 9}}), api.Finding{State: api.StateOK}},
		{"a shop that is new", inboxFinding(store.Vitals{Silence: store.SilenceVitals{Lasts: 100, Heard: 84, Usual: 84}}), api.Finding{State: api.StateOK}},
		{
			"silence where customers write at every hour", inboxFinding(store.Vitals{Silence: store.SilenceVitals{Lasts: 3, Heard: 168, Usual: 1}}),
			degraded(api.CodeUpdatesSilent, "no update came for 3 hours; the longest pause of the week before was one of about 1"),
		},
		{"jobs in time", jobsFinding(store.Vitals{Jobs: map[string]store.JobVitals{"notify": {Waiting: 5, Oldest: time.Second}}}), api.Finding{State: api.StateOK}},
		{
			"late jobs", jobsFinding(store.Vitals{Jobs: map[string]store.JobVitals{"notify": {Waiting: 5, Oldest: time.Hour}, "clean_up": {Waiting: 1}}}),
			degraded(api.CodeJobsLate, "6 jobs are owed, the oldest for 1h0m0s"),
		},
		{
			"periodic jobs that fail", jobsFinding(store.Vitals{IdleJobs: []string{"expire_due", "poll_invoices"}}),
			degraded(api.CodeJobsIdle, "no success for long: expire_due, poll_invoices"),
		},
		{
			"jobs given up", jobsFinding(store.Vitals{Jobs: map[string]store.JobVitals{"notify": {Dead: 1}}}),
			waiting(1, api.CodeJobsDead, "1 jobs were given up in the last day"),
		},
		{
			"everything that jobs can be",
			jobsFinding(store.Vitals{IdleJobs: []string{"clean_up"}, Jobs: map[string]store.JobVitals{"notify": {Waiting: 1, Oldest: time.Hour, Dead: 2}}}),
			also(
				degraded(api.CodeJobsLate, "1 jobs are owed, the oldest for 1h0m0s"),
				degraded(api.CodeJobsIdle, "no success for long: clean_up"), waiting(2, api.CodeJobsDead, "2 jobs were given up in the last day"),
			),
		},
		{"payments in order", paymentsFinding(store.Vitals{Undelivered: 1, Undelivering: time.Second}), api.Finding{State: api.StateOK}},
		{"payments that cannot be booked", paymentsFinding(store.Vitals{Unsettled: 1}), waiting(1, api.CodePaymentsUnsettled, "1 payments came and cannot be booked, for a fault of ours")},
		{"flagged payments", paymentsFinding(store.Vitals{FlaggedPayments: 2}), waiting(2, api.CodePaymentsFlagged, "2 payments are flagged for an operator")},
		{"backups made by others", backupFinding(store.BackupVitals{}), api.Finding{State: api.StateOK, Reason: "none is made by the shop's own script"}},
		{"a backup of yesterday", backupFinding(store.BackupVitals{Expected: true, Age: 25 * time.Hour}), api.Finding{State: api.StateOK}},
		{
			"backups that fail", backupFinding(store.BackupVitals{Expected: true, Age: 72 * time.Hour, Failure: "could not dump the database"}),
			also(
				degraded(api.CodeBackupLate, "none has succeeded for 72h0m0s"),
				degraded(api.CodeBackupFailed, "the last one failed: could not dump the database"),
			),
		},
		{
			"invoices that are refused", paymentsFinding(store.Vitals{RefusedInvoices: map[shop.Provider]int{shop.Stars: 1, shop.CryptoBot: 2}}),
			degraded(api.CodeInvoicesRefused, "invoices that are refused, by provider: cryptobot 2, stars 1"),
		},
		{
			"a customer who waits", paymentsFinding(store.Vitals{FlaggedPayments: 2, Undelivered: 3, Undelivering: time.Hour}),
			also(
				degraded(api.CodePaymentsUndelivered, "3 orders are paid and not delivered, the oldest for 1h0m0s"),
				waiting(2, api.CodePaymentsFlagged, "2 payments are flagged for an operator"),
			),
		},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (+):\n%s", c.name, diff)
		}
	}
}

// Who answers, if only that we call too often, is not away.
func TestALookAtAHostSaysWhatItsAnswerMeans(t *testing.T) {
	t.Parallel()
	silent := shop.Unavailable(errors.New("no answer"))
	for _, c := range []struct {
		err, failed error
		want        api.Finding
	}{
		{nil, nil, api.Finding{State: api.StateOK}},
		{shop.Limited(time.Minute, errors.New("429")), nil, api.Finding{State: api.StateOK, Reason: "it asks us to call less"}},
		{errors.New("401"), nil, api.Finding{State: api.StateFail, Code: "refused", Reason: "401"}},
		{silent, silent, api.Finding{}},
	} {
		found, err := lookAlone(func(context.Context) error { return c.err }, "refused")(t.Context())
		if !errors.Is(err, c.failed) || err == nil && c.failed != nil {
			t.Errorf("%v: %v", c.err, err)
		}
		if c.failed == nil && (len(found) != 1 || cmp.Diff(c.want, found[0]) != "") {
			t.Errorf("%v: %+v", c.err, found)
		}
	}
}
