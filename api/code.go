package api

import "slices"

// The codes of what can be wrong, as docs/operations.md explains them. CodeUnknown
// is the code of what cannot be told because something else is wrong.
const (
	CodeUnknown             = "unknown"
	CodeDatabaseUnreachable = "database_unreachable"
	CodeInboxLate           = "inbox_late"
	CodeInboxDead           = "inbox_dead"
	CodeJobsLate            = "jobs_late"
	CodeJobsIdle            = "jobs_idle"
	CodeJobsDead            = "jobs_dead"
	CodePaymentsFlagged     = "payments_flagged"
	CodePaymentsUndelivered = "payments_undelivered"
	CodeTelegramUnreachable = "telegram_unreachable"
	CodeTelegramRefused     = "telegram_refused"
	CodeWebhookMissing      = "webhook_missing"
	CodeWebhookElsewhere    = "webhook_elsewhere"
	CodeWebhookFailing      = "webhook_failing"
	CodeWebhookBehind       = "webhook_behind"
	CodeCryptoPayDown       = "cryptopay_unreachable"
	CodeCryptoPayRefused    = "cryptopay_refused"
	CodeCertificateNone     = "certificate_none"
	CodeCertificateEnded    = "certificate_ended"
	CodeCertificateLate     = "certificate_late"
	CodeNodeUnreachable     = "node_unreachable"
	CodeNodeStale           = "node_stale"
	CodeCatalogueInvalid    = "catalogue_invalid"
)

// Codes returns every code that says that something is wrong; of one component, the
// worst first: while it is found, those after it are not looked for.
func Codes() []string {
	return []string{
		CodeDatabaseUnreachable, CodeInboxLate, CodeInboxDead, CodeJobsLate, CodeJobsIdle, CodeJobsDead,
		CodePaymentsUndelivered, CodePaymentsFlagged, CodeTelegramUnreachable, CodeTelegramRefused,
		CodeWebhookMissing, CodeWebhookElsewhere, CodeWebhookFailing, CodeWebhookBehind,
		CodeCryptoPayDown, CodeCryptoPayRefused, CodeCertificateNone, CodeCertificateEnded, CodeCertificateLate,
		CodeNodeUnreachable, CodeNodeStale, CodeCatalogueInvalid,
	}
}

// hides says whether finding the code worse leaves unknown whether the code holds.
func hides(worse, code string) bool {
	rank := slices.Index(Codes(), worse)
	return worse == CodeUnknown || rank >= 0 && rank < slices.Index(Codes(), code)
}
