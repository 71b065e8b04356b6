// Package acme tests the shop's certificates against Pebble, a real ACME server,
// started in the test's own process. It is all tests: a module of its own, so that
// the product does not depend on a CA.
//
// Most of it runs the program itself, as an operator starts it, with an emulated
// Telegram that delivers over HTTPS and trusts nothing but Pebble's root.
package acme
