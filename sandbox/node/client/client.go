// Package client is a customer's VPN app without a screen: a real Xray client
// that is given a share link and nothing else.
//
// It reads the link with a parser of its own, independent of the product that
// wrote the link, so that an error of the one is not hidden by the other.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"sallyport/sandbox/process"
)

const (
	loopback = "127.0.0.1"
	// defaultSource is where connections to a server on this machine come from:
	// Xray does not count 127.0.0.1 among a user's online addresses.
	defaultSource = "127.0.0.2"
	startLimit    = 20 * time.Second
	pollEvery     = 10 * time.Millisecond
)

// Config says what client to run.
type Config struct {
	// Binary is the Xray program.
	Binary string
	// Link is the share link.
	Link string
	// Source is the loopback address that connections come from, "127.0.0.2" if
	// empty. It is the customer's device: another address is another device. It
	// counts only towards a server on this machine.
	Source string
}

// Client is a running VPN client.
type Client struct {
	link   Link
	server *process.Process
	socks  string
}

// Start runs a client for a share link. That the server accepts the customer
// shows only with the first connection.
func Start(ctx context.Context, binary, link string) (*Client, error) {
	return Config{Binary: binary, Link: link}.Start(ctx)
}

// Start runs the client and returns when its SOCKS port accepts connections.
func (cfg Config) Start(ctx context.Context) (*Client, error) {
	link, err := Parse(cfg.Link)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, fmt.Errorf("start client: %w", err)
	}
	config, err := json.Marshal(clientConfig(link, port, cfg.source(link)))
	if err != nil {
		return nil, fmt.Errorf("start client: %w", err)
	}
	log := &process.Tail{}
	server, err := process.Start(process.Config{
		Path: cfg.Binary, Args: []string{"run", "-c", "stdin:"}, Input: config, Output: log,
	})
	if err != nil {
		return nil, fmt.Errorf("start client: %w", err)
	}
	c := &Client{link: link, server: server, socks: net.JoinHostPort(loopback, strconv.Itoa(port))}
	if err := c.await(ctx); err != nil {
		server.Kill()
		return nil, fmt.Errorf("start client: %w; it said:\n%s", err, log)
	}
	return c, nil
}

// source is the address to send from, empty when the server is elsewhere.
func (cfg Config) source(link Link) string {
	addr, err := netip.ParseAddr(link.Host)
	if err != nil || !addr.Unmap().IsLoopback() || !addr.Unmap().Is4() {
		return ""
	}
	if cfg.Source == "" {
		return defaultSource
	}
	return cfg.Source
}

// await polls the SOCKS port until it accepts.
func (c *Client) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", c.socks)
		if err == nil {
			if err := conn.Close(); err != nil {
				return fmt.Errorf("close the probe: %w", err)
			}
			return nil
		}
		select {
		case <-c.server.Done():
			return fmt.Errorf("xray ended: %w", errors.Join(c.server.Err(), err))
		case <-ctx.Done():
			return fmt.Errorf("xray does not listen: %w", err)
		case <-tick.C:
		}
	}
}

// Link is what the share link says.
func (c *Client) Link() Link { return c.link }

// SOCKSAddr is the address of the client's SOCKS5 port.
func (c *Client) SOCKSAddr() string { return c.socks }

// HTTPClient fetches through the tunnel. Each request is a connection of its
// own, so a customer who was cut off is seen to be at the next request. Names
// are resolved by the server.
func (c *Client) HTTPClient() *http.Client {
	proxy := &url.URL{Scheme: "socks5h", Host: c.socks}
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
}

// Stop ends the client and all its connections. Stopping twice is harmless.
func (c *Client) Stop() error {
	if err := c.server.Stop(context.Background()); err != nil {
		return fmt.Errorf("stop client: %w", err)
	}
	return nil
}

// object is a JSON object of Xray's configuration.
type object map[string]any

func clientConfig(link Link, port int, source string) object {
	user := object{"id": link.ID, "encryption": "none"}
	if link.Flow != "" {
		user["flow"] = link.Flow
	}
	outbound := object{
		"protocol": "vless",
		"settings": object{"vnext": []object{{"address": link.Host, "port": link.Port, "users": []object{user}}}},
		"streamSettings": object{"network": "raw", "security": "reality", "realitySettings": object{
			"serverName": link.ServerName, "fingerprint": link.Fingerprint,
			"password": link.PublicKey, "shortId": link.ShortID, "spiderX": link.SpiderX,
		}},
	}
	if source != "" {
		outbound["sendThrough"] = source
	}
	return object{
		"log": object{"loglevel": "warning", "access": "none"},
		"inbounds": []object{{
			"listen": loopback, "port": port, "protocol": "socks", "settings": object{"auth": "noauth", "udp": false},
		}},
		"outbounds": []object{outbound},
	}
}
