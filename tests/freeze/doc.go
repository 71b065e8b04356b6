// Command freeze puts the shop under the load and the faults under which an audited
// shop of the same kind froze, and beside it a model of that shop's structure under the
// same. It prints what both did, and whether the shop kept its promises.
//
// Everything outside is the sandbox's: real PostgreSQL and Xray, emulated Telegram and
// Crypto Pay with switches for faults. docs/freeze.md explains the figures.
package main
