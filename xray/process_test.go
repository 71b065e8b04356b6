package xray_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sallyport/outbound"
	"sallyport/xray"
)

type object = map[string]any

// process is a real Xray, run as a child.
type process struct {
	config []byte
	socket string
	ready  func(context.Context) bool
	cmd    *exec.Cmd
	output *bytes.Buffer
}

// start runs Xray with config until the test ends, and waits until it is ready.
func start(t testing.TB, config object, socket string, ready func(context.Context) bool) *process {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{config: text, socket: socket, ready: ready}
	p.run(t)
	t.Cleanup(func() { p.kill(t) })
	return p
}

func (p *process) run(t testing.TB) {
	t.Helper()
	if err := os.Remove(p.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err) // kill -9 leaves the socket, and the next start would fail on it
	}
	p.output = &bytes.Buffer{}
	p.cmd = exec.Command(binary(t), "run", "-c", "stdin:")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = bytes.NewReader(p.config), p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "xray starts", p.ready)
}

// kill ends Xray as kill -9 does, and returns when it is gone.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) && p.cmd.ProcessState == nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("xray said:\n%s", p.output)
	}
}

// binary is the Xray that the Makefile builds, or the one in SALLYPORT_XRAY.
func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("SALLYPORT_XRAY"); path != "" {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the working directory")
		}
	}
	path := filepath.Join(dir, ".bin", "xray")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test drives a real Xray: run `make .bin/xray`, or set SALLYPORT_XRAY to one (%v)", err)
	}
	return path
}

// server is a real node: a REALITY inbound with Vision, and a plain VLESS one.
type server struct {
	*process
	cfg   xray.Config // of the REALITY inbound
	plain xray.Config
	addr  string // of the plain inbound
}

func newServer(t testing.TB) *server {
	t.Helper()
	cover := httptest.NewUnstartedServer(nil) // the site that REALITY shows to strangers
	cover.Config.ErrorLog = log.New(io.Discard, "", 0)
	cover.StartTLS()
	t.Cleanup(cover.Close)
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(shortDir(t), "api.sock")
	reality, plain := freePort(t), freePort(t)

	cfg := config("unix://" + socket)
	cfg.Endpoint.Port, cfg.Endpoint.ServerName = reality, "cover.test"
	cfg.Endpoint.PublicKey = base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
	s := &server{cfg: cfg, plain: cfg, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(plain))}
	s.plain.Inbound, s.plain.Flow = "vless-plain", ""

	private := base64.RawURLEncoding.EncodeToString(key.Bytes())
	s.process = start(t, serverConfig(socket, reality, plain, private, cover.Listener.Addr().String()), socket,
		func(ctx context.Context) bool { return works(ctx, cfg) })
	return s
}

// works says whether the node of cfg answers to somebody who never asked before,
// and so waits for no back-off. That it listens is not enough.
func works(ctx context.Context, cfg xray.Config) bool {
	cfg.Host = outbound.New(outbound.Config{Name: "watch"})
	n, err := xray.Dial(cfg)
	if err != nil {
		return false
	}
	_, err = n.Uptime(ctx)
	return n.Close() == nil && err == nil
}

func serverConfig(socket string, reality, plain int, privateKey, cover string) object {
	clients := object{"decryption": "none", "clients": []any{}}
	return object{
		"log":    object{"loglevel": "warning", "access": "none"},
		"api":    object{"tag": "api", "services": []string{"HandlerService", "StatsService"}},
		"stats":  object{},
		"policy": object{"levels": object{"0": object{"statsUserUplink": true, "statsUserDownlink": true}}},
		"inbounds": []object{
			{
				"tag": "api-in", "listen": socket + ",0600", "protocol": "dokodemo-door",
				"settings": object{"address": "127.0.0.1", "port": 1, "network": "unix"},
			},
			{"tag": "vless-plain", "listen": "127.0.0.1", "port": plain, "protocol": "vless", "settings": clients},
			{
				"tag": "vless-reality", "listen": "127.0.0.1", "port": reality, "protocol": "vless", "settings": clients,
				"streamSettings": object{"network": "raw", "security": "reality", "realitySettings": object{
					"target": cover, "serverNames": []string{"cover.test"}, "privateKey": privateKey,
					"shortIds": []string{"0123456789abcdef"},
				}},
			},
		},
		"outbounds": []object{{"tag": "direct", "protocol": "freedom"}},
		"routing":   object{"rules": []object{{"inboundTag": []string{"api-in"}, "outboundTag": "api"}}},
	}
}

// freePort returns a port that nothing listens on, below the range of outgoing
// connections: polling a port of that range may end up connected to itself.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10000 + mathrand.IntN(20000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return 0
}

// echo serves one line back to whoever connects, and returns its address.
func echo(t testing.TB) *net.TCPAddr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 64)
			if n, err := conn.Read(buffer); err == nil {
				_, _ = conn.Write([]byte(strings.ToUpper(string(buffer[:n]))))
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().(*net.TCPAddr)
}
