package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/node"
	"sallyport/sandbox/process"
	"sallyport/sandbox/telegram"
	"sallyport/store"
	"sallyport/store/storetest"
)

var server *storetest.Server

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	storetest.Main(m, func(s *storetest.Server) { server = s })
}

// asProgram makes the tests' binary the program itself: see command.
const asProgram = "SALLYPORT_TEST_AS_PROGRAM"

const (
	testBotToken = "123456:AAHnotarealtokenbutlongenough000000"
	testPayToken = "777:AAnotarealtokeneither00000000000000000"
	testSecret   = "a-secret-that-is-long-enough"
	operatorChat = 77
)

// world is the program as main runs it, on real PostgreSQL and real Xray, between
// emulators of Telegram and Crypto Pay.
type world struct {
	t        *testing.T
	config   config
	app      string // the program's address
	telegram *telegram.Server
	pay      *cryptopay.Server
	node     *node.Node
	store    *store.Store
	log      *logBuffer
	internet *httptest.Server

	telegramFault, payFault, nodeFault, dbFault fault.Switch

	stop context.CancelFunc
	done chan error
}

// logBuffer keeps all that is logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newWorld starts everything but the program.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: &logBuffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", w.log)
		}
	})
	w.internet = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") }))
	t.Cleanup(w.internet.Close)
	w.telegram = telegram.New(telegram.Config{Token: testBotToken, Speed: 50})
	t.Cleanup(w.telegram.Close)
	telegramAPI := httptest.NewServer(w.telegramFault.Middleware(w.telegram))
	t.Cleanup(telegramAPI.Close)
	w.pay = cryptopay.New(cryptopay.Config{Token: testPayToken, Speed: 50, PublicURL: "https://pay.example"})
	t.Cleanup(w.pay.Close)
	payAPI := httptest.NewServer(w.payFault.Middleware(w.pay))
	t.Cleanup(payAPI.Close)
	w.startNode()
	app := freeAddress(t)
	w.app = "http://" + app
	w.pay.SetWebhook(w.app + "/payments/cryptobot")
	database := server.Database(t)
	w.store = server.OpenURL(t, database)
	w.config = config{
		BotToken: testBotToken, TelegramAPI: telegramAPI.URL, PublicURL: w.app, WebhookSecret: testSecret, MaxWebhooks: 40, SendRate: 26,
		CryptoPayToken: testPayToken, CryptoPayAPI: payAPI.URL + "/api", CryptoPayAssets: []string{"USDT", "TON"},
		DatabaseURL: secret(w.throughProxy(database)), WebConns: 8, WorkConns: 7, AcquireTimeout: 2 * time.Second, StatementTimeout: 10 * time.Second,
		Catalogue: w.writeCatalogue(), Listen: app, Operations: sharedListener, Timezone: "UTC", LogLevel: "debug",
		ExpireEvery: 300 * time.Millisecond, NodesEvery: 300 * time.Millisecond, PollEvery: time.Second, SweepEvery: 2 * time.Second,
		OperatorChat: operatorChat, OperatorLanguage: "en", WatchEvery: 200 * time.Millisecond, AlertAfter: 500 * time.Millisecond,
	}
	return w
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func (w *world) startNode() {
	w.t.Helper()
	n, err := node.Start(w.t.Context(), node.Config{Allow: []string{w.internet.Listener.Addr().String()}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = n.Stop() })
	w.node = n
}

// proxy puts a fault switch before an address.
func (w *world) proxy(network, address string, sw *fault.Switch) string {
	w.t.Helper()
	p, err := fault.NewProxy("127.0.0.1:0", network, address, sw)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = p.Close() })
	return p.Addr()
}

func (w *world) throughProxy(database string) string {
	direct := server.Cluster().Addr()
	return strings.Replace(database, direct, w.proxy("tcp", direct, &w.dbFault), 1)
}

func (w *world) writeCatalogue() string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "catalogue.yaml")
	text := catalogueText("149", nodeText("de1", w.proxy("tcp", w.node.APIAddr, &w.nodeFault), w.node))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// catalogueText is a catalogue in which a month costs so much.
func catalogueText(price string, nodes ...string) string {
	return fmt.Sprintf(`support: "@sallyport_support"
plans:
  - id: basic
    name: {en: Basic, ru: Базовый}
    description: {en: For everyone., ru: Для всех.}
    periods:
      - {length: 30d, rub: %q}
      - {length: 2s, rub: "10"}
nodes:
%s`, price, strings.Join(nodes, ""))
}

func nodeText(name, api string, n *node.Node) string {
	return fmt.Sprintf(`  - name: %s
    title: Sallyport Germany
    api: %s
    inbound: %s
    host: %s
    port: %d
    server_name: %s
    public_key: %s
    short_id: %q
    fingerprint: chrome
`, name, api, n.Inbound, n.Host, n.Port, n.ServerName, n.PublicKey, n.ShortID)
}

// start runs the program until the test, or stopProgram, ends it.
func (w *world) start() *program {
	w.t.Helper()
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(w.log), zap.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := build(ctx, w.config, zap.New(core))
	if err != nil {
		w.t.Fatal(err)
	}
	w.stop, w.done = cancel, make(chan error, 1)
	go func() { w.done <- p.run(ctx, nil); p.close() }()
	w.t.Cleanup(w.stopProgram)
	w.waitFor("the program to be ready", func() bool { return w.get("/readyz") == http.StatusOK && w.webhookSet() })
	return p
}

func (w *world) webhookSet() bool {
	return strings.Contains(string(w.telegram.WebhookInfo()), "/telegram/webhook")
}

// stopProgram ends the program as a signal does and checks that it goes in time.
func (w *world) stopProgram() {
	w.t.Helper()
	if w.stop == nil {
		return
	}
	w.stop()
	w.stop = nil
	select {
	case err := <-w.done:
		if err != nil {
			w.t.Errorf("the program ended with %v", err)
		}
	case <-time.After(time.Minute):
		w.t.Fatal("the program did not end")
	}
}

func (w *world) get(path string) int {
	resp, err := http.Get(w.app + path)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// waitFor waits until done, which must come true.
func (w *world) waitFor(what string, done func() bool) {
	w.t.Helper()
	limit := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-limit:
			w.t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// person is a customer with their phone.
type person struct {
	*world
	telegram.User
}

func (w *world) person(id int64) *person {
	return &person{world: w, User: telegram.User{ID: id, FirstName: "Анна <b>", LanguageCode: "ru", Username: "anna_private_name"}}
}

func (p *person) write(text string) {
	p.t.Helper()
	if _, err := p.telegram.SendText(p.User, text); err != nil {
		p.t.Fatal(err)
	}
}

// live returns the messages of the bot that stand in the chat, newest first.
func (p *person) live() []telegram.Message {
	var messages []telegram.Message
	for _, m := range p.telegram.Chat(p.ID).Messages {
		if m.FromBot && !m.Deleted {
			messages = append(messages, m)
		}
	}
	slices.Reverse(messages)
	return messages
}

// see waits for a message that contains the text and returns it.
func (p *person) see(text string) telegram.Message {
	p.t.Helper()
	var found telegram.Message
	p.waitFor("the text "+text, func() bool {
		for _, m := range p.live() {
			if strings.Contains(m.Text, text) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// tap waits for the newest button whose label contains the text and presses it.
func (p *person) tap(label string) telegram.Button {
	p.t.Helper()
	var message telegram.Message
	var button telegram.Button
	p.waitFor("the button "+label, func() bool {
		for _, m := range p.live() {
			for _, b := range slices.Concat(m.Keyboard...) {
				if strings.Contains(b.Text, label) {
					message, button = m, b
					return true
				}
			}
		}
		return false
	})
	if button.URL == "" {
		p.press(message.ID, button.Data)
	}
	return button
}

// press presses a button and waits until the press is answered.
func (p *person) press(message int, data string) {
	p.t.Helper()
	query, err := p.telegram.Press(p.ID, message, data)
	if err != nil {
		p.t.Fatal(err)
	}
	p.waitFor("the answer to a press", func() bool {
		return slices.ContainsFunc(p.telegram.Chat(p.ID).Answers, func(a telegram.Answer) bool { return a.QueryID == query })
	})
}

// order walks from /start to the invoice and returns its id.
func (p *person) order(period string) int64 {
	p.t.Helper()
	p.write("/start")
	if len(p.live()) == 0 || p.telegram.Chat(p.ID).Version < 4 {
		p.tap("Русский")
	}
	return p.orderFromMenu(period)
}

func (p *person) orderFromMenu(period string) int64 {
	p.t.Helper()
	p.tap("Купить доступ")
	p.tap("Базовый")
	p.tap(period)
	p.tap("CryptoBot")
	url := p.tap("Оплатить").URL
	for _, i := range p.pay.Invoices() {
		if i.BotInvoiceURL == url {
			return i.ID
		}
	}
	p.t.Fatal("the pay button leads to no invoice")
	return 0
}

// paid pays an invoice.
func (p *person) paid(invoice int64) {
	p.t.Helper()
	if _, err := p.pay.Pay(invoice, "USDT"); err != nil {
		p.t.Fatal(err)
	}
}

// key returns the link in a message.
func key(m telegram.Message) string {
	for line := range strings.Lines(m.Text) {
		if strings.HasPrefix(line, "vless://") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
