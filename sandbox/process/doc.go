// Package process starts child processes that can never outlive their parent.
//
// It owns starting, stopping and watching one child. It knows nothing of what
// the child is: PostgreSQL and Xray are started through it by their own packages.
//
// A child dies with us in every case: Stop and Kill end it on purpose, and when
// this process dies without a word (kill -9, a panic, a closed terminal) the
// kernel sends the child SIGKILL. That signal is tied to the thread which
// started the child, not to the process, so each child is started and awaited
// by one goroutine locked to its operating system thread.
package process
