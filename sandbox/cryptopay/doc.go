// Package cryptopay is a stand-in for the Crypto Pay API of @CryptoBot, for
// tests, demonstrations and other people's clients.
//
// It keeps the real rules as far as they are published or were observed:
// token header, all ways of passing parameters, every check of createInvoice,
// expiry, string amounts, the three per cent fee and signed webhooks that are
// retried 17 times over three days and then switched off. What the real
// service does not publish is decided here and said at the place: names of
// errors other than UNAUTHORIZED, METHOD_DISABLED, UNSUPPORTED_ASSET,
// PAID_BTN_URL_REQUIRED, EXPIRES_IN_INVALID and APP_ERROR, the sort order of
// getInvoices (newest first), and the intervals between webhook attempts.
//
// The package moves no money and must never be reachable from production
// code; invoices live in memory and are gone with the process.
package cryptopay
