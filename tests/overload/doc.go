// Command overload puts more on the shop than it can do at once, and prints what became
// of it: crowds of newcomers, long queues of messages, one customer who floods, an inbox
// that is full, and a kill while updates arrive.
//
// Everything outside is the sandbox's: real PostgreSQL and Xray, emulated Telegram and
// Crypto Pay, whose own records are the proof. docs/overload.md explains the figures.
package main
