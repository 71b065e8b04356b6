package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// stub is a Bot API that takes every call at once and notes when a screen arrived.
type stub struct {
	url    string
	server *http.Server

	mu    sync.Mutex
	shown map[int64]time.Time // when the chat was last shown a screen
	waits map[int64]chan time.Time
}

func newStub(ctx context.Context) (*stub, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bot api: %w", err)
	}
	s := &stub{url: "http://" + listener.Addr().String(), shown: make(map[int64]time.Time), waits: make(map[int64]chan time.Time)}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: answerLimit}
	go func() { _ = s.server.Serve(listener) }() // it ends with close
	return s, nil
}

func (s *stub) close() error { return s.server.Close() } //nolint:wrapcheck // it is told by its caller

// ServeHTTP answers that all is well.
func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	chat, _ := strconv.ParseInt(r.FormValue("chat_id"), 10, 64) // without one, it is no screen
	if chat != 0 {
		s.mu.Lock()
		s.shown[chat] = now
		if wait := s.waits[chat]; wait != nil {
			delete(s.waits, chat)
			wait <- now
		}
		s.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"ok":true,"result":{"message_id":77}}`))
}

// seen returns when the chat was last shown a screen; zero if it was not.
func (s *stub) seen(chat int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown[chat]
}

// next returns what tells when the chat is next shown a screen.
func (s *stub) next(chat int64) <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := make(chan time.Time, 1)
	s.waits[chat] = wait
	return wait
}

// forget begins anew.
func (s *stub) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.shown)
}
