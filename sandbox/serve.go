package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"sallyport/sandbox/node"
)

const (
	loopback = "127.0.0.1"
	// headerLimit is how long a client may take to send the head of a request.
	headerLimit = 5 * time.Second
	idleLimit   = 2 * time.Minute
	// serveStop is how long requests under way may take once the world ends.
	serveStop = 2 * time.Second
)

// server is one HTTP server of this machine.
type server struct {
	listener net.Listener
	http     *http.Server
	ended    chan struct{}
}

// listen takes a port of this machine, a free one if port is 0. Requests wait
// until serve.
func listen(ctx context.Context, port int) (*server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("take a port: %w", err)
	}
	return &server{listener: listener, ended: make(chan struct{})}, nil
}

func (s *server) addr() string { return s.listener.Addr().String() }
func (s *server) url() string  { return "http://" + s.addr() }

// serve answers with handler until stop. Requests have no time limit of ours:
// long polls and hung parts are meant to take long.
func (s *server) serve(ctx context.Context, handler http.Handler) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	s.http.RegisterOnShutdown(cancel)
	go func() {
		defer close(s.ended)
		defer cancel()
		_ = s.http.Serve(s.listener) // it ends by stop alone
	}()
}

// stop ends the server; requests under way are told by their context.
func (s *server) stop() error {
	if s.http == nil {
		return s.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), serveStop)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.ended
	return err
}

// internet is all that can be reached through the tunnel. Whoever comes another way is
// turned away, lest an app that goes past its tunnel seem to work.
func internet() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if from, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || from != node.Source {
			http.Error(w, "you came past the tunnel", http.StatusForbidden)
			return
		}
		fmt.Fprintln(w, InternetText)
	})
}

// InternetText is what the page behind the tunnel says.
const InternetText = "hello through the tunnel"
