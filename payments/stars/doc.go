// Package stars takes payments in Telegram Stars.
//
// An invoice is a link with the order's id as its payload. Telegram binds it neither
// to a payer nor to one payment: who may pay, and when, is decided when Telegram asks
// before it charges (shop.BeginCheckout). That a payment was made is told by an
// update; this package reads Telegram's list of transactions, which also has those
// whose update was lost.
//
// It makes no connection of its own: whoever wires it passes a call to the Bot API.
package stars
