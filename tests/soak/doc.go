// Command soak runs the shop for a week of its schedule within an hour, under a steady
// load and with short faults, and says whether anything grew that must not: memory,
// goroutines, open files, connections, tables. It fails if something did, if a table
// kept what it should have removed, or if anything is owed or lost at the end.
//
// Everything outside is the sandbox's: real PostgreSQL and Xray, emulated Telegram and
// Crypto Pay. docs/performance.md explains how a week becomes an hour, and the figures.
package main
