// Command chaos puts several replicas of the shop under random load and random faults,
// all drawn from one seed, and then checks that nothing was lost, done twice, left over
// or given away. It ends with status 0 only if all checks hold.
//
// Everything outside is the sandbox's: real PostgreSQL and Xray, emulated Telegram and
// Crypto Pay. docs/chaos.md says what is broken, what is checked, and how a run is
// repeated.
package main
