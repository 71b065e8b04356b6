// Package cryptobot takes payments through Crypto Pay, the payment service of
// @CryptoBot.
//
// Client asks the service: for an invoice, for the invoice of an order, for
// what was paid. Verify and Parse read the webhook by which the service tells
// of a payment. Both roads end in one shop.PaymentEvent per invoice; what it is
// worth is the shop's decision, never this package's.
//
// The service may change its answers without notice, so decoding is lenient:
// unknown fields and values pass, and a field that can not be read is empty. A
// payment whose amount can not be read is still an event, of no money, so that
// it reaches an operator instead of vanishing.
package cryptobot
