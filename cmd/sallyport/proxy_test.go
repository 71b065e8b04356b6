package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sallyport/shop"
)

const (
	proxyUser     = "gate"
	proxyPassword = "p@ss:word/1"
)

// relay is a proxy that carries connections anywhere, whatever name is asked for, to one
// target.
type relay struct {
	target string
	mu     sync.Mutex
	asked  []string // the addresses that were asked for
	work   sync.WaitGroup
}

func (r *relay) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// join asks the target, and carries until both sides have ended.
func (r *relay) join(client net.Conn, address string, ready func() error) {
	r.mu.Lock()
	r.asked = append(r.asked, address)
	r.mu.Unlock()
	target, err := new(net.Dialer).DialContext(context.Background(), "tcp", r.target)
	if err != nil {
		return
	}
	defer target.Close()
	if ready() != nil {
		return
	}
	r.work.Go(func() {
		_, _ = io.Copy(target, client)
		_ = target.Close()
	})
	_, _ = io.Copy(client, target)
	_ = client.Close()
}

// connectProxy is a proxy of HTTP, over TLS if it is told to.
func (r *relay) connectProxy(t *testing.T, secure bool) *httptest.Server {
	t.Helper()
	good := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodConnect || q.Header.Get("Proxy-Authorization") != good {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		r.work.Add(1)
		defer r.work.Done()
		defer client.Close()
		r.join(client, q.Host, func() error {
			_, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
			return err
		})
	}))
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() { server.Close(); r.work.Wait() })
	return server
}

// socksProxy is a SOCKS5 server with a user and a password (RFC 1928, 1929).
func (r *relay) socksProxy(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() {
				defer client.Close()
				if address, err := greet(client); err == nil {
					r.join(client, address, func() error {
						_, err := client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
						return err
					})
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); r.work.Wait() })
	return l
}

// greet plays the server's side until the client has named an address.
func greet(client net.Conn) (string, error) {
	in := bufio.NewReader(client)
	take := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b) // what is missing is zero, and refused
		return b
	}
	methods := take(int(take(2)[1]))
	if !slices.Contains(methods, 2) {
		return "", errors.New("no password offered")
	}
	_, _ = client.Write([]byte{5, 2})
	user := string(take(int(take(2)[1])))
	password := string(take(int(take(1)[0])))
	if user != proxyUser || password != proxyPassword {
		_, err := client.Write([]byte{1, 1})
		return "", errors.Join(errors.New("wrong password"), err)
	}
	_, _ = client.Write([]byte{1, 0})
	var name string
	switch request := take(4); {
	case request[1] == 1 && request[3] == 1:
		name = net.IP(take(4)).String()
	case request[1] == 1 && request[3] == 3:
		name = string(take(int(take(1)[0])))
	default:
		return "", errors.New("not a connection")
	}
	port := binary.BigEndian.Uint16(take(2))
	return net.JoinHostPort(name, strconv.Itoa(int(port))), nil
}

// proxyAt returns the setting for a proxy.
func proxyAt(scheme, host, password string) secret {
	return secret((&url.URL{Scheme: scheme, Host: host, User: url.UserPassword(proxyUser, password)}).String())
}

// start starts a proxy and returns its address.
func (r *relay) start(t *testing.T, scheme string) string {
	t.Helper()
	if strings.HasPrefix(scheme, "http") {
		return r.connectProxy(t, scheme == "https").Listener.Addr().String()
	}
	return r.socksProxy(t).Addr().String()
}

// farAddress has a name that the service's certificate bears and only proxies resolve.
const farAddress = "https://far.example.com"

func TestTheOutsideIsReachedByProxies(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https", "socks5", "socks5h"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			f := newFar(t, true)
			f.fill()
			r := &relay{target: f.server.Listener.Addr().String()}
			proxy := proxyAt(scheme, r.start(t, scheme), proxyPassword)
			for _, c := range []struct {
				name               string
				config             config
				telegram, payments string // their addresses
				want               []string
			}{
				{"both", config{HTTPSProxy: proxy}, farAddress, farAddress + ":444", []string{"far.example.com:443", "far.example.com:444"}},
				{"telegram alone", config{TelegramProxy: proxy}, farAddress, f.server.URL, []string{"far.example.com:443"}},
				{"telegram in spite of NO_PROXY", config{TelegramProxy: proxy, NoProxy: "*"}, farAddress, f.server.URL, []string{"far.example.com:443"}},
			} {
				before := len(r.seen())
				p := f.outside(t, c.config, c.telegram, c.payments)
				if err := errors.Join(p.client.Check(t.Context()), p.cryptobot.Check(t.Context())); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				if got := r.seen()[before:]; !slices.Equal(got, c.want) {
					t.Errorf("%s: by the proxy went %v, want %v", c.name, got, c.want)
				}
				if f.proto.Load() != "HTTP/2.0" {
					t.Errorf("%s: it speaks %s", c.name, f.proto.Load())
				}
				p.close()
			}
		})
	}
}

// passwords are the ways in which a password could be shown.
func passwords() []string {
	return []string{proxyPassword, url.QueryEscape(proxyPassword), url.PathEscape(proxyPassword), "wrong-" + proxyPassword, "ss:word"}
}

func TestAProxysPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https", "socks5"} {
		f := newFar(t, true)
		f.fill()
		r := &relay{target: f.server.Listener.Addr().String()}
		for name, host := range map[string]string{"refuses": r.start(t, scheme), "is away": freeAddress(t), "has no address": "proxy.invalid:1"} {
			p := f.outside(t, config{HTTPSProxy: proxyAt(scheme, host, "wrong-"+proxyPassword)}, farAddress, farAddress)
			for _, err := range []error{p.client.Check(t.Context()), p.cryptobot.Check(t.Context())} {
				if shop.KindOf(err) != shop.KindUnavailable {
					t.Errorf("%s that %s: %v", scheme, name, err)
				}
				for _, password := range passwords() {
					if strings.Contains(err.Error(), password) {
						t.Errorf("%s that %s: the password is shown: %v", scheme, name, err)
					}
				}
			}
		}
	}
}

func TestAWrongProxyIsReportedWithoutItsPassword(t *testing.T) {
	values := good()
	values["TELEGRAM_PROXY"] = "socks4://u:hunter2@host"
	values["https_proxy"] = "http://u:hunter2%zz@host"
	environment(t, values)
	_, err := readConfig()
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
	for _, name := range []string{"TELEGRAM_PROXY: got 23 characters, want a proxy such as", "HTTPS_PROXY: got 24 characters, want a proxy"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is missing: %v", name, err)
		}
	}
}

func TestDoctorSaysWhichProxyIsUsed(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	k.config.NoProxy = "none.example"
	r := &relay{target: strings.TrimPrefix(k.config.TelegramAPI, "http://")}
	good := r.start(t, "socks5")
	k.env = []string{"TELEGRAM_PROXY=" + string(proxyAt("socks5", good, proxyPassword))}
	k.want(map[string]string{}, "telegram", "@sallyport_bot, by the SOCKS5 proxy "+good, "")
	if len(r.seen()) == 0 {
		t.Error("it went another way")
	}
	k.env = []string{"TELEGRAM_PROXY=" + string(proxyAt("socks5", good, "wrong-"+proxyPassword))}
	k.want(map[string]string{"telegram": fails, "webhook": warns, "operator": warns}, "telegram", ", by the SOCKS5 proxy "+good+": ", "TELEGRAM_PROXY")
	report, _ := k.examine()
	for _, c := range report.Checks {
		for _, password := range passwords() {
			if strings.Contains(c.Found+c.Todo, password) {
				t.Errorf("the password is shown: %+v", c)
			}
		}
	}
}
