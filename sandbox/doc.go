// Package sandbox is the whole world of the shop on one machine: a private
// PostgreSQL, a real Xray, the emulators of Telegram and Crypto Pay, an
// "internet" of one page to reach through the tunnel, and the product itself,
// run as an operator would run it and pointed at all of these by its ordinary
// configuration.
//
// The package wires these parts, breaks them on command and lets programs and
// people drive them over HTTP. What a part does is its own package's affair, and
// nothing of the product knows that it runs here. The package must never be
// reachable from production code.
package sandbox
