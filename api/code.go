package api

import "slices"

// The codes of what can be wrong, as docs/operations.md explains them. CodeUnknown
// is the code of what cannot be told because something else is wrong.
const (
	CodeUnknown             = "unknown"
	CodeDatabaseUnreachable = "database_unreachable"
	CodeInboxLate           = "inbox_late"
	CodeUpdatesSilent       = "updates_silent"
	CodeInboxDead           = "inbox_dead"
	CodeJobsLate            = "jobs_late"
	CodeJobsIdle            = "jobs_idle"
	CodeJobsDead            = "jobs_dead"
	CodeJobsUncounted       = "jobs_uncounted"
	CodePaymentsUnsettled   = "payments_unsettled"
	CodePaymentsFlagged     = "payments_flagged"
	CodePaymentsUndelivered = "payments_undelivered"
	CodeInvoicesRefused     = "invoices_refused"
	CodeEndsHeld            = "ends_held"
	CodeClockOff            = "clock_off"
	CodeTelegramUnreachable = "telegram_unreachable"
	CodeTelegramRefused     = "telegram_refused"
	CodeOperatorUnreachable = "operator_unreachable"
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
	CodeNodeUnusable        = "node_unusable"
	CodeNodeStale           = "node_stale"
	CodeCatalogueInvalid    = "catalogue_invalid"
	CodeBackupFailed        = "backup_failed"
	CodeBackupLate          = "backup_late"
	CodeDiskFull            = "disk_full"
)

// Codes returns every code that says that something is wrong; of one component, the
// worst first.
func Codes() []string {
	return []string{
		CodeDatabaseUnreachable, CodeInboxLate, CodeUpdatesSilent, CodeInboxDead, CodeJobsUncounted, CodeJobsLate, CodeJobsIdle, CodeJobsDead,
		CodePaymentsUnsettled, CodePaymentsUndelivered, CodePaymentsFlagged, CodeInvoicesRefused, CodeEndsHeld, CodeClockOff, CodeTelegramUnreachable, CodeTelegramRefused,
		CodeOperatorUnreachable, CodeWebhookMissing, CodeWebhookFailing, CodeWebhookElsewhere, CodeWebhookBehind,
		CodeCryptoPayDown, CodeCryptoPayRefused, CodeCertificateNone, CodeCertificateEnded, CodeCertificateLate,
		CodeNodeUnreachable, CodeNodeUnusable, CodeNodeStale, CodeCatalogueInvalid, CodeDiskFull, CodeBackupLate, CodeBackupFailed,
	}
}

// rank orders the codes, the worst first.
func rank(code string) int { return slices.Index(Codes(), code) }

// hides says whether nobody can know of a code while found is: it was not asked for.
func hides(found, code string) bool {
	switch found {
	case CodeUnknown:
		return true
	case CodeJobsUncounted:
		return code == CodeJobsLate || code == CodeJobsIdle || code == CodeJobsDead
	case CodeTelegramUnreachable:
		return code == CodeTelegramRefused
	case CodeCryptoPayDown:
		return code == CodeCryptoPayRefused
	case CodeNodeUnreachable:
		return code == CodeNodeUnusable || code == CodeNodeStale
	default:
		return false
	}
}
