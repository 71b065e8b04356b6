package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// source makes the requests of one connection: the nth of all, as raw HTTP/1.1. The
// bytes are good until the next call.
type source func() (nth func(n int64) []byte)

// load posts requests over connections that are kept. It writes and reads HTTP/1.1 by
// itself, so that it leaves the machine to what it measures.
type load struct {
	addr     string
	conns    int
	warm     time.Duration // at the start of each, that does not count
	lasts    time.Duration // of what counts
	requests source
	limit    int64 // of requests; 0 means none
	next     atomic.Int64
	refused  atomic.Int64 // of the answers; they do not count
}

// outcome is what a load has found.
type outcome struct {
	rate    float64 // of answers, a second
	times   []time.Duration
	refused float64
}

// at returns the quantile of the times, in milliseconds.
func (o outcome) at(quantile float64) float64 {
	if len(o.times) == 0 {
		return 0
	}
	n := min(int(quantile*float64(len(o.times))), len(o.times)-1)
	return ms(o.times[n])
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// drive has each connection do its turns until it says that there are no more.
func (l *load) drive(ctx context.Context, each func(context.Context, *wire) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range l.conns {
		w, err := dial(ctx, l.addr, l.requests())
		if err != nil {
			cancel(err)
			break
		}
		wg.Go(func() {
			defer w.conn.Close()
			if err := each(ctx, w); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// closed sends the next request of each connection when the last is answered.
func (l *load) closed(ctx context.Context) (outcome, error) {
	var mu sync.Mutex
	var all []time.Duration
	counts := time.Now().Add(l.warm)
	end := counts.Add(l.lasts)
	err := l.drive(ctx, func(ctx context.Context, w *wire) error {
		var times []time.Duration
		for ctx.Err() == nil {
			n := l.next.Add(1) - 1
			sent := time.Now()
			if sent.After(end) || l.limit > 0 && n >= l.limit {
				break
			}
			if err := l.post(w, n); err != nil {
				return err
			}
			if now := time.Now(); sent.After(counts) && now.Before(end) {
				times = append(times, now.Sub(sent))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, times...)
		return nil
	})
	slices.Sort(all)
	took := min(time.Since(counts), l.lasts)
	return outcome{rate: float64(len(all)) / took.Seconds(), times: all, refused: float64(l.refused.Load())}, err
}

// open sends requests at a steady rate, whatever becomes of them; the times count
// from when each was due.
func (l *load) open(ctx context.Context, perSecond int) (outcome, error) {
	var mu sync.Mutex
	var all []time.Duration
	due := make(chan time.Time, 1<<16)
	first := time.Now().Add(10 * time.Millisecond)
	go metronome(ctx, first, perSecond, l.warm+l.lasts, due)
	err := l.drive(ctx, func(ctx context.Context, w *wire) error {
		var times []time.Duration
		for at := range due {
			if ctx.Err() != nil {
				break
			}
			if err := l.post(w, l.next.Add(1)-1); err != nil {
				return err
			}
			if at.Sub(first) >= l.warm {
				times = append(times, time.Since(at))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, times...)
		return nil
	})
	slices.Sort(all)
	return outcome{rate: float64(len(all)) / l.lasts.Seconds(), times: all, refused: float64(l.refused.Load())}, err
}

// post posts the nth request and counts a refusal.
func (l *load) post(w *wire, n int64) error {
	err := w.exchange(n)
	if errors.Is(err, errRefused) {
		l.refused.Add(1)
		return nil
	}
	return err
}

// metronome sends each moment when it comes, until ctx ends. It sleeps in a thread of its own: the
// runtime's timers are late by up to a millisecond.
func metronome(ctx context.Context, first time.Time, perSecond int, lasts time.Duration, due chan<- time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(due)
	every := time.Second / time.Duration(perSecond)
	for at := first; at.Sub(first) < lasts && ctx.Err() == nil; at = at.Add(every) {
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			span := syscall.NsecToTimespec(int64(wait))
			_ = syscall.Nanosleep(&span, nil) // a signal that breaks it off starts the next
		}
		due <- at
	}
}

// wire is one kept connection.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	nth  func(int64) []byte
}

func dial(ctx context.Context, addr string, nth func(int64) []byte) (*wire, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &wire{conn: conn, in: bufio.NewReader(conn), nth: nth}, nil
}

// answerLimit is after how long an answer is given up.
const answerLimit = 10 * time.Second

var errRefused = errors.New("answered otherwise than with 200")

// exchange posts the nth request; any answer but 200 is errRefused.
func (w *wire) exchange(n int64) error {
	if err := w.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if _, err := w.conn.Write(w.nth(n)); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	status, err := w.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	length := 0
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(text)); err != nil {
				return errors.New("answer: no length")
			}
		}
	}
	if _, err := w.in.Discard(length); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if !good {
		return errRefused
	}
	return nil
}
