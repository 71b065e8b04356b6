package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/xray"
)

// call calls the Bot API with the patience of the audited shop's library.
func (m *model) call(ctx context.Context, method string, args url.Values) error {
	ready := m.world.Ready()
	return m.send(ctx, messageTimeout, ready.TelegramAPI+"/bot"+ready.BotToken+"/"+method, "application/x-www-form-urlencoded", args.Encode(), nil)
}

// pay calls Crypto Pay.
func (m *model) pay(ctx context.Context, limit time.Duration, method string, args map[string]any, into any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return m.send(ctx, limit, m.world.Ready().CryptoPayAPI+"/"+method, "application/json", string(body), into)
}

func (m *model) send(ctx context.Context, limit time.Duration, address, kind, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("call: %w", err)
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Crypto-Pay-API-Token", m.world.Ready().CryptoPayToken)
	response, err := m.http.Do(request)
	if err != nil {
		return fmt.Errorf("call: %w", err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("call: %s", text.String())
	}
	if into == nil {
		return nil
	}
	answer := struct {
		Result any `json:"result"`
	}{into}
	if err := json.Unmarshal(text.Bytes(), &answer); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	return nil
}

var errSkipped = errors.New("the breaker is open")

// breaker is that of the audited shop: open for 30 s after ten failures, which no
// success ever takes back.
type breaker struct {
	mu     sync.Mutex
	failed int
	until  time.Time
}

func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.until)
}

func (b *breaker) failure() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed++; b.failed >= 10 {
		b.until = time.Now().Add(30 * time.Second)
	}
}

// vpn calls the VPN server with a new client, as every call of the audited shop did
// (architecture audit, section 5), and again as often as it did: after 1 and 2 s.
func (m *model) vpn(ctx context.Context, retries int, do func(context.Context, *xray.Node) error) error {
	for try := 0; ; try++ {
		err := m.vpnOnce(ctx, do)
		if err == nil || try == retries {
			return err
		}
		select {
		case <-time.After(time.Second << try):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *model) vpnOnce(ctx context.Context, do func(context.Context, *xray.Node) error) error {
	x := m.world.Ready().Xray
	node, err := xray.Dial(xray.Config{
		Name: "model", Label: "model", API: x.API, Inbound: x.Inbound, Flow: x.Flow,
		Endpoint: xray.Endpoint{
			Host: x.Host, Port: x.Port, ServerName: x.ServerName, PublicKey: x.PublicKey, ShortID: x.ShortID, Fingerprint: "chrome",
		},
		Host: outbound.New(outbound.Config{Name: "xray", Timeout: xrayTimeout}),
	})
	if err != nil {
		return err
	}
	defer node.Close()
	return do(ctx, node)
}

// addUser and updateUser are the two calls that asked the breaker; only add was tried
// again.
func (m *model) addUser(ctx context.Context, id int64, key uuid.UUID) error {
	return m.guarded(ctx, id, key, 2)
}

func (m *model) updateUser(ctx context.Context, id int64, key uuid.UUID) error {
	return m.guarded(ctx, id, key, 0)
}

func (m *model) guarded(ctx context.Context, id int64, key uuid.UUID, retries int) error {
	if m.breaker.open() {
		return errSkipped
	}
	err := m.vpn(ctx, retries, func(ctx context.Context, node *xray.Node) error {
		return node.Ensure(ctx, shop.Access{ID: shop.AccessID(fmt.Sprint("u", id)), UUID: key})
	})
	if err != nil {
		m.breaker.failure()
	}
	return err
}

func (m *model) removeUser(ctx context.Context, id int64) error {
	return m.vpn(ctx, 2, func(ctx context.Context, node *xray.Node) error {
		return node.Absent(ctx, shop.AccessID(fmt.Sprint("u", id)))
	})
}
