package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// supervisor is systemd, where it wants to hear from the process it has started.
type supervisor struct {
	socket   string        // empty if it does not
	patience time.Duration // it waits for so long for the next sign; 0 means that it waits for none
}

// newSupervisor reads what systemd has said: NOTIFY_SOCKET and WATCHDOG_USEC.
func newSupervisor() supervisor {
	s := supervisor{socket: os.Getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.patience = time.Duration(usec) * time.Microsecond
	}
	return s
}

// say sends one word.
func (s supervisor) say(ctx context.Context, word string) error {
	if s.socket == "" {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", s.socket)
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(word)); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// attend says that the process is ready, then that its loop turns, until ctx ends, and
// then that it stops. Nothing outside is looked at for that: a process that waits for its
// database must not be killed for it.
func (s supervisor) attend(ctx context.Context, complain func(error)) {
	tell := func(word string) {
		if err := s.say(context.WithoutCancel(ctx), word); err != nil {
			complain(err)
		}
	}
	tell("READY=1")
	defer tell("STOPPING=1")
	if s.patience <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(s.patience / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tell("WATCHDOG=1")
		}
	}
}
