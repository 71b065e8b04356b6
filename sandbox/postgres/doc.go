// Package postgres runs a private PostgreSQL cluster for tests and the sandbox.
//
// It owns one cluster: its directory, its server process and its databases by
// name. It must never be used in production, where DATABASE_URL names a server
// that somebody else runs.
//
// The cluster uses the server programs installed on the machine. It works for a
// plain user and for root, for whom the server runs as the user postgres, or
// nobody. Nothing of it outlives the process that started it.
package postgres
