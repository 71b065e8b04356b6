package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"sallyport/tests/load"
)

// door stands before the shop where Telegram delivers, and times each delivery.
type door struct {
	url    string
	server *http.Server
	next   *http.Transport

	mu     sync.Mutex
	took   load.Times
	retold int
}

func newDoor(ctx context.Context, target string) (*door, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	d := &door{url: "http://" + listener.Addr().String(), next: &http.Transport{MaxIdleConnsPerHost: 200}}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: d,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	d.server = &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	go func() { _ = d.server.Serve(listener) }()
	return d, nil
}

// RoundTrip passes one delivery on.
func (d *door) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	response, err := d.next.RoundTrip(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took = append(d.took, time.Since(began))
	if err != nil || response.StatusCode != http.StatusOK {
		d.retold++
	}
	return response, err //nolint:wrapcheck // a transport's own
}

// begin forgets what was measured.
func (d *door) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took, d.retold = nil, 0
}

// end returns what was measured since begin.
func (d *door) end() (took load.Times, retold int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.took, d.retold
}

func (d *door) close() error {
	err := d.server.Close()
	d.next.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err //nolint:wrapcheck // nothing to add
}
