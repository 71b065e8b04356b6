package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// doorPatience is how long a replica may take to answer.
	doorPatience = 15 * time.Second
	// latest is how late a callback may be told.
	latest = 4 * time.Second
	// Of so many deliveries one is told twice at once, one is told again because the
	// answer was lost, and one callback comes late.
	oneTwice, oneUnanswered, oneLate = 20, 30, 4
)

// door stands where Telegram and Crypto Pay deliver, as a bad network before a
// balancer: it gives each delivery to the next replica that takes connections; some it
// gives twice, of some it loses the answer, and some callbacks it keeps for a while.
type door struct {
	fleet  *fleet
	server *http.Server
	client *http.Client
	turn   atomic.Int64
	good   atomic.Bool // the network is

	mu     sync.Mutex
	random *rand.Rand
	taken  map[int64]bool // updates that Telegram was told we have
}

func newDoor(ctx context.Context, port int, f *fleet, seed uint64) (*door, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	d := &door{
		fleet: f, client: &http.Client{Timeout: doorPatience, Transport: &http.Transport{
			// What idles is closed before its goroutines are counted.
			MaxIdleConnsPerHost: 100, IdleConnTimeout: restLimit / 3,
		}},
		random: rand.New(rand.NewPCG(seed, 3)), taken: make(map[int64]bool),
	}
	d.server = &http.Server{Handler: http.HandlerFunc(d.deliver), ReadHeaderTimeout: time.Minute}
	go func() { _ = d.server.Serve(listener) }() // it ends by close alone
	return d, nil
}

func (d *door) close() error {
	d.client.CloseIdleConnections()
	if err := d.server.Close(); err != nil {
		return fmt.Errorf("door: %w", err)
	}
	return nil
}

// lot draws one of so many.
func (d *door) lot(many int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.good.Load() && d.random.IntN(many) == 0
}

// wait is how late a callback is told.
func (d *door) wait() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return between(d.random, 0, latest)
}

func (d *door) deliver(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	update := strings.HasPrefix(r.URL.Path, "/telegram")
	if !update && d.lot(oneLate) {
		select {
		case <-time.After(d.wait()):
		case <-r.Context().Done():
		}
	}
	if d.lot(oneTwice) {
		go d.pass(context.WithoutCancel(r.Context()), r, body)
	}
	status, answer, kind := d.pass(r.Context(), r, body)
	if status == http.StatusOK && d.lot(oneUnanswered) {
		status, answer = http.StatusBadGateway, nil
	}
	if update && status == http.StatusOK {
		d.note(body)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(answer) // whoever asked may have gone
}

// note remembers an update that was taken.
func (d *door) note(body []byte) {
	var update struct {
		ID int64 `json:"update_id"`
	}
	if json.Unmarshal(body, &update) == nil && update.ID != 0 {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.taken[update.ID] = true
	}
}

// acknowledged lists the updates that Telegram was told we have.
func (d *door) acknowledged() (ids []int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.taken {
		ids = append(ids, id)
	}
	return ids
}

// pass hands a delivery to the next replica that answers.
func (d *door) pass(ctx context.Context, r *http.Request, body []byte) (status int, answer []byte, kind string) {
	all := d.fleet.ports()
	first := d.turn.Add(1)
	for n := range int64(len(all)) {
		address := fmt.Sprintf("http://127.0.0.1:%d%s", all[(first+n)%int64(len(all))], r.URL.Path)
		again, err := http.NewRequestWithContext(ctx, r.Method, address, bytes.NewReader(body))
		if err != nil {
			continue
		}
		again.Header = r.Header.Clone()
		response, err := d.client.Do(again)
		if err != nil {
			continue
		}
		answer, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err == nil {
			return response.StatusCode, answer, response.Header.Get("Content-Type")
		}
	}
	return http.StatusBadGateway, nil, ""
}
