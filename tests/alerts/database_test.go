package alerts_test

import (
	"fmt"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/fault"
)

// cure runs what the manual says changes something, in the section of a code.
func (s *scene) cure(code string) {
	s.t.Helper()
	found := statements(manual(s.t)[code], `^UPDATE`)
	if len(found) == 0 {
		s.t.Fatalf("the manual changes nothing for %s", code)
	}
	s.sql(found...)
}

func TestTheDatabaseAndWhatWaitsInIt(t *testing.T) {
	t.Parallel()
	s := begin(t)
	s.buys(1)
	s.until("a key", func() bool { return s.received(1) })
	plays(t, s, []trouble{
		{
			code: "database_unreachable", alerts: []string{"SallyportDatabaseUnreachable", "SallyportReceiverErrors"},
			breaks: func(s *scene) {
				s.spoil(sandbox.PostgresTarget, fault.Down, 0)
				for n := range int64(3) { // each is delivered again and again
					_ = s.person(1).Write(fmt.Sprint("Hello ", n))
				}
			},
			cures: func(s *scene) { s.mend(sandbox.PostgresTarget) },
		},
		{
			alerts: []string{"SallyportReceiverSlow", "SallyportPoolExhausted", "SallyportConnectionHeldLong"},
			breaks: func(s *scene) {
				s.spoil(sandbox.PostgresTarget, fault.Slow, 450*time.Millisecond)
				for n := range int64(30) {
					_ = s.person(100 + n).Write("/start")
				}
			},
			cures: func(s *scene) { s.mend(sandbox.PostgresTarget) },
		},
		{
			code: "inbox_late", alerts: []string{"SallyportInboxLate"},
			breaks: func(s *scene) { // a process has taken the lane, and hangs
				s.sql(`INSERT INTO lanes (lane, holder, leased_until) VALUES (7, 'another process', now() + interval '80 seconds')`)
				_ = s.person(7).Write("/start")
				s.until("the update", func() bool { return s.number(`SELECT count(*) FROM inbox WHERE lane = 7`) > 0 })
				s.sql(`UPDATE inbox SET received_at = received_at - interval '1 minute' WHERE lane = 7`)
			},
			cures: func(s *scene) { s.sql(`UPDATE lanes SET leased_until = now() WHERE lane = 7`) },
		},
		{
			code: "updates_silent", alerts: []string{"SallyportUpdatesSilent"},
			breaks: func(s *scene) { // customers wrote at every hour, until five hours ago
				s.sql(`UPDATE inbox SET received_at = received_at - interval '5 hours'`)
				s.sql(`INSERT INTO listened SELECT floor(extract(epoch FROM now()) / 3600) - ago, ago > 4 FROM generate_series(0, 300) AS ago
					ON CONFLICT (hour) DO UPDATE SET heard = excluded.heard`)
			},
			cures: func(s *scene) { _ = s.person(operator).Write("/start") },
		},
		{
			code: "inbox_dead", alerts: []string{"SallyportInboxDead"},
			breaks: func(s *scene) {
				ready := s.w.Ready()
				if status := s.post(ready.WebhookPath, "X-Telegram-Bot-Api-Secret-Token", ready.WebhookSecret, []byte("not JSON")); status != 200 {
					s.t.Errorf("answered %d", status)
				}
			},
			cures: func(s *scene) { s.cure("inbox_dead") },
		},
		{
			code: "payments_flagged", alerts: []string{"SallyportPaymentsFlagged"},
			breaks: func(s *scene) {
				body := []byte(`{"update_id":1,"update_type":"invoice_paid","request_date":"2026-01-01T00:00:00Z","payload":{
					"invoice_id":990001,"hash":"x","status":"paid","currency_type":"fiat","fiat":"RUB","amount":"149","paid_asset":"USDT",
					"paid_amount":"1.9","fee_asset":"USDT","fee_amount":"0.05","payload":"nobody's order","paid_at":"2026-01-01T00:00:00Z"}}`)
				if status := s.post("/payments/cryptobot", "crypto-pay-api-signature", cryptopay.Sign(s.w.Ready().CryptoPayToken, body), body); status != 200 {
					s.t.Errorf("answered %d", status)
				}
			},
			cures: func(s *scene) { s.cure("payments_flagged") },
		},
		{
			code: "payments_unsettled", alerts: []string{"SallyportPaymentsUnsettled"},
			breaks: func(s *scene) {
				s.sql(`ALTER TABLE ledger_postings RENAME TO mislaid`)
				s.buys(2)
			},
			cures: func(s *scene) { s.sql(`ALTER TABLE mislaid RENAME TO ledger_postings`) }, // the sweep does the rest
		},
		{
			code: "invoices_refused", alerts: []string{"SallyportInvoicesRefused"},
			breaks: func(s *scene) { // as after the second refusal
				_ = s.orders(3)
				s.sql(`UPDATE invoices SET refusals = 2, external_id = NULL, url = NULL WHERE order_id IN (SELECT id FROM orders WHERE user_id = 3)`)
			},
			cures: func(s *scene) { s.sql(`UPDATE orders SET status = 'cancelled' WHERE user_id = 3`) },
		},
		{
			code: "backup_late", alerts: []string{"SallyportBackupLate"},
			breaks: func(s *scene) {
				s.sql(`INSERT INTO backups (id, since, succeeded_at) VALUES (1, now() - interval '9 days', now() - interval '37 hours')`)
			},
			cures: func(s *scene) { s.sql(`UPDATE backups SET succeeded_at = now()`) },
		},
		{
			code: "backup_failed", alerts: []string{"SallyportBackupFailed"},
			breaks: func(s *scene) { s.sql(`UPDATE backups SET failed_at = now(), reason = 'could not store it'`) },
			cures:  func(s *scene) { s.sql(`UPDATE backups SET failed_at = NULL, reason = ''`) },
		},
		{
			code: "jobs_dead", alerts: []string{"SallyportJobsDead"},
			breaks: func(s *scene) { // as after the twelfth failure
				s.sql(`UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = max_attempts WHERE id =
					(SELECT id FROM river_job WHERE kind = 'converge_user' AND state = 'completed' ORDER BY id LIMIT 1)`)
			},
			cures: func(s *scene) { s.cure("jobs_dead") },
		},
		{
			code: "jobs_uncounted", alerts: []string{"SallyportJobsUncounted"},
			breaks: func(s *scene) { s.sql(`ALTER TABLE dead_letters RENAME TO mislaid`) },
			cures:  func(s *scene) { s.sql(`ALTER TABLE mislaid RENAME TO dead_letters`) },
		},
	})
}

func TestCryptoPayAndTheWorkForIt(t *testing.T) {
	t.Parallel()
	s := begin(t)
	plays(t, s, []trouble{
		{
			code: "cryptopay_unreachable", alerts: []string{"SallyportCryptoPayUnreachable", "SallyportBreakerOpen"},
			breaks: func(s *scene) { s.spoil(sandbox.CryptoPayTarget, fault.Down, 0) },
			cures:  func(s *scene) { s.mend(sandbox.CryptoPayTarget) },
		},
		{
			code: "jobs_idle", alerts: []string{"SallyportJobsIdle"},
			breaks: func(s *scene) {
				s.spoil(sandbox.CryptoPayTarget, fault.Down, 0)
				s.fails("sweep_payments", 1)
				s.sql(`UPDATE river_job SET finalized_at = finalized_at - interval '1 hour' WHERE kind = 'sweep_payments' AND state = 'completed'`)
			},
			cures: func(s *scene) { s.mend(sandbox.CryptoPayTarget) },
		},
		{
			code: "jobs_late", alerts: []string{"SallyportJobsLate"},
			breaks: func(s *scene) {
				s.spoil(sandbox.CryptoPayTarget, fault.Hung, 0)
				s.wishes(1)
				s.until("the job", func() bool { return s.number(`SELECT count(*) FROM river_job WHERE kind = 'open_invoice'`) > 0 })
				s.sql(`UPDATE river_job SET created_at = created_at - interval '40 seconds' WHERE kind = 'open_invoice'`)
			},
			cures: func(s *scene) { s.mend(sandbox.CryptoPayTarget) },
		},
		{
			code: "cryptopay_refused", alerts: []string{"SallyportCryptoPayRefused", "SallyportJobsFailing"},
			breaks: func(s *scene) { s.cryptopay.refuse(`{"ok":false,"error":{"code":401,"name":"UNAUTHORIZED"}}`) },
			cures:  func(s *scene) { s.cryptopay.pass() },
		},
	})
}

// TestAJobLostWithAConnectionIsTriedAgain: the database has given a job to the shop,
// and the answer was lost. Nobody waits until the queue itself notices.
func TestAJobLostWithAConnectionIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := begin(t)
	s.buys(1)
	s.until("a key", func() bool { return s.received(1) })
	s.until("the end of the job", func() bool {
		return s.number(`SELECT count(*) FROM river_job WHERE kind = 'converge_user' AND state = 'completed'`) == 1
	})
	s.sql(`UPDATE river_job SET state = 'running', finalized_at = NULL, attempted_at = now() - interval '20 seconds',
		attempted_by = (SELECT array_agg(holder) FROM processes) WHERE kind = 'converge_user'`)
	s.until("the job to be tried again", func() bool {
		return s.number(`SELECT count(*) FROM river_job WHERE kind = 'converge_user' AND state = 'completed'`) == 1
	})
	if s.number(`SELECT count(*) FROM river_job WHERE kind = 'converge_user' AND array_to_string(errors, ' ') LIKE '%Stuck job rescued%'`) > 0 {
		t.Error("it was the queue itself that noticed")
	}
}
