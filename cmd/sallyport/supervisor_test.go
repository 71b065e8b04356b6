package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// systemd listens as systemd does.
func systemd(t *testing.T) (socket string, heard <-chan string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	words := make(chan string, 100)
	go func() {
		buffer := make([]byte, 100)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			words <- string(buffer[:n])
		}
	}()
	return socket, words
}

func hears(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	select {
	case got := <-heard:
		if got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("never heard %q", want)
	}
}

func TestSystemdHearsThatTheLoopTurns(t *testing.T) {
	t.Parallel()
	socket, heard := systemd(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		supervisor{socket: socket, patience: 3 * time.Millisecond}.attend(ctx, func(err error) { t.Error(err) })
	}()
	for _, word := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"} {
		hears(t, heard, word)
	}
	stop()
	<-ended
	for last := ""; last != "STOPPING=1"; {
		select {
		case last = <-heard:
		case <-time.After(time.Minute):
			t.Fatal("never heard that it stops")
		}
	}
}

func TestNobodyIsToldWhereNobodyListens(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	supervisor{}.attend(ctx, func(err error) { t.Error(err) })
	complaints := 0
	supervisor{socket: filepath.Join(t.TempDir(), "gone")}.attend(ctx, func(error) { complaints++ })
	if complaints != 2 {
		t.Errorf("%d complaints", complaints)
	}
}

func TestWhatSystemdSaysIsRead(t *testing.T) { //nolint:paralleltest // the environment is the process's
	t.Setenv("NOTIFY_SOCKET", "@abstract")
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "1")
	if s := newSupervisor(); s.socket != "@abstract" || s.patience != 0 { // it is another's
		t.Errorf("%+v", s)
	}
	t.Setenv("WATCHDOG_PID", "")
	if s := newSupervisor(); s.patience != 30*time.Second {
		t.Errorf("%+v", s)
	}
}
