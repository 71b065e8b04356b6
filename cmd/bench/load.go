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
	lasts    time.Duration // of what counts, at least
	least    int64         // answers that must count: it lasts until there are so many
	requests source
	next     atomic.Int64
	refused  atomic.Int64 // of the answers; they do not count
}

// span is the time in which answers count: as long as it must last, and on a machine
// that is slow or busy longer, until there are enough of them.
type span struct {
	begin, end time.Time
	least      int64
	counted    atomic.Int64
	enough     atomic.Int64 // nanoseconds after the beginning, when the least were counted
}

func newSpan(warm, lasts time.Duration, least int64) *span {
	begin := time.Now().Add(warm)
	return &span{begin: begin, end: begin.Add(lasts), least: least}
}

// open says that answers still count.
func (s *span) open(now time.Time) bool {
	return now.Before(s.end) || s.counted.Load() < s.least && now.Before(s.begin.Add(awaitLimit))
}

// counts says whether an answer counts, and counts it.
func (s *span) counts(sent, answered time.Time) bool {
	if sent.Before(s.begin) || !s.open(answered) {
		return false
	}
	if s.counted.Add(1) == s.least {
		s.enough.Store(int64(answered.Sub(s.begin)))
	}
	return true
}

// outcome is what was found by the time when nothing counts any more.
func (s *span) outcome(times []time.Duration, refused int64) (outcome, error) {
	if int64(len(times)) < s.least {
		return outcome{}, fmt.Errorf("only %d answers in %s, and %d refusals", len(times), awaitLimit, refused)
	}
	slices.Sort(times)
	took := max(s.end.Sub(s.begin), time.Duration(s.enough.Load()))
	return outcome{rate: float64(len(times)) / took.Seconds(), times: times, refused: float64(refused)}, nil
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

// collect is drive for those that measure: it gathers the times of all connections.
func (l *load) collect(ctx context.Context, each func(context.Context, *wire) ([]time.Duration, error)) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	err := l.drive(ctx, func(ctx context.Context, w *wire) error {
		times, err := each(ctx, w)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, times...)
		return err
	})
	return all, err
}

// closed sends the next request of each connection when the last is answered, for as
// long as answers count.
func (l *load) closed(ctx context.Context) (outcome, error) {
	span := newSpan(l.warm, l.lasts, l.least)
	all, err := l.collect(ctx, func(ctx context.Context, w *wire) (times []time.Duration, err error) {
		for sent := time.Now(); ctx.Err() == nil && span.open(sent); sent = time.Now() {
			answered, err := l.post(w, l.next.Add(1)-1)
			if err != nil {
				return nil, err
			}
			if now := time.Now(); answered && span.counts(sent, now) {
				times = append(times, now.Sub(sent))
			}
		}
		return times, nil
	})
	if err != nil {
		return outcome{}, err
	}
	return span.outcome(all, l.refused.Load())
}

// whole sends that many requests and no more, each until it is taken.
func (l *load) whole(ctx context.Context, many int64) (outcome, error) {
	began := time.Now()
	all, err := l.collect(ctx, func(ctx context.Context, w *wire) (times []time.Duration, err error) {
		for n := l.next.Add(1) - 1; n < many; n = l.next.Add(1) - 1 {
			sent := time.Now()
			if err := l.insist(ctx, w, n); err != nil {
				return nil, err
			}
			times = append(times, time.Since(sent))
		}
		return times, nil
	})
	slices.Sort(all)
	return outcome{rate: float64(len(all)) / time.Since(began).Seconds(), times: all, refused: float64(l.refused.Load())}, err
}

// open sends requests at a steady rate, whatever becomes of them; the times count
// from when each was due.
func (l *load) open(ctx context.Context, perSecond int) (outcome, error) {
	due := make(chan time.Time, 1<<16)
	first := time.Now().Add(10 * time.Millisecond)
	go metronome(ctx, first, perSecond, l.warm+l.lasts, due)
	all, err := l.collect(ctx, func(ctx context.Context, w *wire) (times []time.Duration, err error) {
		for at := range due {
			if ctx.Err() != nil {
				break
			}
			answered, err := l.post(w, l.next.Add(1)-1)
			if err != nil {
				return nil, err
			}
			if answered && at.Sub(first) >= l.warm {
				times = append(times, time.Since(at))
			}
		}
		return times, nil
	})
	slices.Sort(all)
	return outcome{rate: float64(len(all)) / l.lasts.Seconds(), times: all, refused: float64(l.refused.Load())}, err
}

// post posts the nth request, and counts a refusal.
func (l *load) post(w *wire, n int64) (answered bool, err error) {
	err = w.exchange(n)
	if errors.Is(err, errRefused) {
		l.refused.Add(1)
		return false, nil
	}
	return err == nil, err
}

// insistEvery is how soon what was refused is posted again.
const insistEvery = 10 * time.Millisecond

// insist posts the nth request until it is taken, as Telegram and Crypto Pay do.
func (l *load) insist(ctx context.Context, w *wire, n int64) error {
	for end := time.Now().Add(awaitLimit); ; {
		answered, err := l.post(w, n)
		if err != nil || answered {
			return err
		}
		if time.Now().After(end) {
			return errRefused
		}
		if err := wait(ctx, insistEvery); err != nil {
			return err
		}
	}
}

// metronome sends each moment when it comes, until ctx ends, the first in any case. It sleeps in a
// thread of its own: the runtime's timers are late by up to a millisecond.
func metronome(ctx context.Context, first time.Time, perSecond int, lasts time.Duration, due chan<- time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(due)
	every := time.Second / time.Duration(perSecond)
	for at := first; at.Equal(first) || at.Sub(first) < lasts && ctx.Err() == nil; at = at.Add(every) {
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
