package acme_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/sandbox/process"
	"sallyport/sandbox/telegram"
	"sallyport/store/storetest"
)

var (
	server  *storetest.Server
	program string
)

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "acme:", err)
		os.Exit(1)
	}
	_ = os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	_ = os.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // rejecting at random is a test of the ACME library, not of ours
	storetest.Main(m, func(s *storetest.Server) { server = s })
}

// build makes the program that is tested, from the sources as they are.
func build() error {
	bin, err := filepath.Abs(filepath.Join("..", "..", ".bin"))
	if err != nil {
		return err
	}
	program = filepath.Join(bin, "sallyport-acme")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/sallyport")
	command.Dir = filepath.Join("..", "..")
	command.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does, whose work is then used again
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

const (
	botToken = "123456:AAHnotarealtokenbutlongenough000000"
	secret   = "a-secret-that-is-long-enough"
	appKey   = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // 32 bytes
)

// shop is one process of the shop.
type shop struct {
	t                     *testing.T
	https, http, operator int // ports
	env                   map[string]string
	process               *process.Process
	log                   *output
}

type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// newShop returns a shop that does not run yet: its public name is localhost, its
// settings are those of a go-live.
func newShop(t *testing.T, settings map[string]string) *shop {
	t.Helper()
	s := &shop{t: t, https: freePort(t), http: freePort(t), operator: freePort(t), log: &output{}}
	dir := t.TempDir()
	catalogue := filepath.Join(dir, "catalogue.yaml")
	text := `support: "@sallyport_support"
plans:
  - {id: basic, name: {en: Basic, ru: Базовый}, description: {en: All., ru: Всё.}, periods: [{length: 30d, rub: "149"}]}
nodes:
  - {name: de1, title: Germany, api: "127.0.0.1:9", inbound: in, host: 127.0.0.1, port: 9, server_name: cover.example,
     public_key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", short_id: "0123456789abcdef", fingerprint: chrome}
`
	if err := os.WriteFile(catalogue, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = map[string]string{
		"BOT_TOKEN": botToken, "WEBHOOK_SECRET": secret, "TELEGRAM_API": "http://127.0.0.1:9",
		"CRYPTOPAY_TOKEN": "777:AAnotarealtokeneither", "CRYPTOPAY_API": "http://127.0.0.1:9/api",
		"CATALOGUE": catalogue, "TLS_DIR": filepath.Join(dir, "tls"),
		"PUBLIC_URL":        fmt.Sprintf("https://localhost:%d", s.https),
		"LISTEN":            fmt.Sprintf("127.0.0.1:%d", s.https),
		"OPERATIONS_LISTEN": fmt.Sprintf("127.0.0.1:%d", s.operator),
	}
	maps.Copy(s.env, settings)
	if s.env["DATABASE_URL"] == "" {
		s.env["DATABASE_URL"] = server.Database(t)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the shop's log:\n%s", s.log)
		}
	})
	return s
}

// trusting makes the shop get its certificate from a CA.
func (s *shop) trusting(a *authority) *shop {
	s.env["TLS"], s.env["ACME_CA"], s.env["ACME_CA_ROOTS"] = "acme", a.Directory, a.RootsFile
	return s
}

// start starts the process and waits until it serves.
func (s *shop) start() {
	s.t.Helper()
	s.launch()
	s.ready()
}

func (s *shop) ready() {
	s.t.Helper()
	s.until("ready", 20*time.Second, func() bool { return s.page("/readyz") != "" })
}

// launch starts the process.
func (s *shop) launch() {
	s.t.Helper()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.t.TempDir()}
	for name, value := range s.env {
		env = append(env, name+"="+value)
	}
	started, err := process.Start(process.Config{Path: program, Args: []string{"serve"}, Dir: s.t.TempDir(), Env: env, Output: s.log, Grace: 15 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = started
}

// stop ends the process as a supervisor does.
func (s *shop) stop() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := s.process.Stop(ctx); err != nil {
		s.t.Errorf("stop: %v", err)
	}
	s.process = nil
}

// page returns an operator's page, empty if it cannot be had.
func (s *shop) page(path string) string {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.operator, path))
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// component is what /healthz says of the certificate.
func (s *shop) component() (status, reason string) {
	var report struct {
		Components map[string]struct{ Status, Reason string } `json:"components"`
	}
	_ = json.Unmarshal([]byte(s.page("/healthz")), &report)
	return report.Components["certificate"].Status, report.Components["certificate"].Reason
}

// until waits for a condition.
func (s *shop) until(what string, limit time.Duration, done func() bool) {
	s.t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-end:
			s.t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// client reaches the shop by its port and trusts the roots alone. It follows no
// redirect and keeps its connections.
func client(t *testing.T, port int, roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// alive asks over HTTPS, and returns the answer, or nil while there is none.
func (s *shop) alive(c *http.Client) *http.Response {
	resp, err := c.Get("https://localhost/livez")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// served waits for a certificate that the roots vouch for and returns it.
func (s *shop) served(roots *x509.CertPool, limit time.Duration) *x509.Certificate {
	s.t.Helper()
	var resp *http.Response
	c := client(s.t, s.https, roots)
	s.until("a certificate", limit, func() bool { resp = s.alive(c); return resp != nil })
	return resp.TLS.PeerCertificates[0]
}

// telegramWith starts Telegram for the shop; it trusts the roots.
func (s *shop) telegramWith(roots *x509.CertPool) *telegram.Server {
	s.t.Helper()
	emulator := telegram.New(telegram.Config{Token: botToken, Speed: 50, Roots: roots})
	s.t.Cleanup(emulator.Close)
	address := httptest.NewServer(emulator)
	s.t.Cleanup(address.Close)
	s.env["TELEGRAM_API"] = address.URL
	return emulator
}

// answers has somebody write to the bot and waits until the bot has answered.
func (s *shop) answers(emulator *telegram.Server, id int64) {
	s.t.Helper()
	s.until("the webhook", 20*time.Second, func() bool { return strings.Contains(string(emulator.WebhookInfo()), "/telegram/webhook") })
	if _, err := emulator.SendText(telegram.User{ID: id, FirstName: "Anna", LanguageCode: "en"}, "/start"); err != nil {
		s.t.Fatal(err)
	}
	s.until("the bot's answer", 20*time.Second, func() bool {
		for _, m := range emulator.Chat(id).Messages {
			if m.FromBot {
				return true
			}
		}
		return false
	})
}
