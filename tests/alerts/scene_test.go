package alerts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/process"
	"sallyport/sandbox/telegram"
	"sallyport/store/storetest"
)

const (
	root       = "../.."
	rulesFile  = root + "/deploy/monitoring/alerts.yml"
	boardFile  = root + "/deploy/monitoring/dashboards/sallyport.json"
	manualFile = root + "/docs/operations.md"

	// limit bounds every wait.
	limit = 2 * time.Minute
	// operator is who runs the shop: the chat OPERATOR_CHAT.
	operator = 4242
)

var (
	server  *storetest.Server
	program string // the product, built by TestMain
)

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
	storetest.Main(m, func(s *storetest.Server) { server = s })
}

// build makes the program that is tested, from the sources as they are.
func build() error {
	bin, err := filepath.Abs(filepath.Join(root, ".bin"))
	if err != nil {
		return err
	}
	program = filepath.Join(bin, "sallyport-alerts")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/sallyport")
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does, whose work is then used again
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

// scene is a world with a Prometheus that watches it and an operator who reads along.
type scene struct {
	t          *testing.T
	w          *sandbox.World
	prometheus *prometheus
	texts      map[string]string // of the operator's language
	telegram   *guard            // before the Bot API
	cryptopay  *guard            // before Crypto Pay
	door       fault.Switch      // before the shop, as Telegram reaches it
	address    string            // of the operations pages
	ill        string            // a component that is never well in this scene
	program    string            // the product
}

// guard stands before a host; it passes everything on until it is told to refuse.
type guard struct {
	server *httptest.Server
	answer atomic.Pointer[string] // of 401; nil passes on
	rival  atomic.Bool            // another program deletes each webhook in the moment in which it is set
}

func newGuard(t *testing.T, port int) *guard {
	t.Helper()
	g := &guard{}
	next := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	next.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // as the host itself
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := g.answer.Load(); answer != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(*answer))
			return
		}
		if path, sets := strings.CutSuffix(r.URL.Path, "/setWebhook"); sets && g.rival.Load() {
			r.URL.Path = path + "/deleteWebhook" // so that nobody can look between the two
			r.Body, r.ContentLength = http.NoBody, 0
			r.Header.Del("Content-Type")
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(g.server.Close)
	return g
}

func (g *guard) refuse(answer string) { g.answer.Store(&answer) }
func (g *guard) pass()                { g.answer.Store(nil) }

// begin starts a world whose waits are short, with an operator who has met the bot.
func begin(t *testing.T, settings ...string) *scene {
	t.Helper()
	s := prepare(t)
	s.start(settings...)
	if err := s.person(operator).Write("/start"); err != nil {
		t.Fatal(err)
	}
	s.until("the bot to answer the operator", func() bool { return len(s.w.Telegram.Chat(operator).Messages) > 1 })
	return s
}

// prepare makes a scene that does not run yet.
func prepare(t *testing.T) *scene {
	t.Helper()
	return &scene{t: t, texts: textsOf(t, "en"), program: program}
}

// textsOf are what operators and customers read in a language.
func textsOf(t *testing.T, language string) map[string]string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(readFile(t, root+"/bot/locales/"+language+".json"), &all); err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for key, value := range all {
		if text, isText := value.(string); isText {
			texts[key] = text
		}
	}
	return texts
}

// start starts the world and its Prometheus.
func (s *scene) start(settings ...string) {
	s.t.Helper()
	s.startOn(freePort(s.t), settings...)
}

// startOn is start with the port on which the operations pages are.
func (s *scene) startOn(app int, settings ...string) {
	t := s.t
	t.Helper()
	bot, pay := freePort(t), freePort(t)
	s.telegram, s.cryptopay = newGuard(t, bot), newGuard(t, pay)
	door, err := fault.NewProxy("127.0.0.1:0", "tcp", fmt.Sprintf("127.0.0.1:%d", app), &s.door)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.door.Clear(); _ = door.Close() })
	s.address = fmt.Sprintf("http://127.0.0.1:%d", app)
	s.w, err = sandbox.Start(t.Context(), sandbox.Config{
		Program: s.program, AppPort: app, TelegramPort: bot, CryptoPayPort: pay, Speed: 200,
		Env: append([]string{
			"TELEGRAM_API=" + s.telegram.server.URL, "CRYPTOPAY_API=" + s.cryptopay.server.URL + "/api",
			"PUBLIC_URL=http://" + door.Addr(), fmt.Sprintf("OPERATOR_CHAT=%d", operator),
			"WATCH_EVERY=200ms", "ALERT_AFTER=1s", "SWEEP_PAYMENTS_EVERY=500ms", "CHECK_NODES_EVERY=200ms",
		}, settings...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	rules, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	s.prometheus = newPrometheus(s.address, rules)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { defer close(ended); s.prometheus.run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
}

func (s *scene) end() {
	if s.t.Failed() {
		s.t.Logf("the product said:\n%s", s.w.ProductTail())
	}
	if err := s.prometheus.err(); err != nil {
		s.t.Errorf("a rule or a scrape failed: %v", err)
	}
	if err := s.w.Stop(); err != nil {
		s.t.Errorf("stop: %v", err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// person is someone with a phone.
func (s *scene) person(id int64) *sandbox.Person {
	return s.w.Person(telegram.User{ID: id, FirstName: fmt.Sprint("Person", id), LanguageCode: "en"})
}

// until waits for a condition.
func (s *scene) until(what string, done func() bool) {
	s.t.Helper()
	end, tick := time.After(limit), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-end:
			s.t.Fatalf("waited in vain for %s; firing: %v; health: %+v; the operator reads: %q",
				what, s.prometheus.all(), s.health(), s.told(""))
		case <-tick.C:
		}
	}
}

// component is what /healthz says of one.
type component struct {
	Status, Code, Reason string
	Also                 []component
}

// health asks /healthz.
func (s *scene) health() map[string]component {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(s.address + "/healthz")
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var report struct{ Components map[string]component }
	_ = json.NewDecoder(response.Body).Decode(&report) // what is not there is not found
	return report.Components
}

// shows says whether /healthz shows the code.
func (s *scene) shows(code string) bool {
	for _, c := range s.health() {
		if slices.ContainsFunc(append(c.Also, c), func(c component) bool { return c.Code == code }) {
			return true
		}
	}
	return false
}

// told lists the messages to the operator that begin with the text.
func (s *scene) told(prefix string) (texts []string) {
	for _, m := range s.w.Telegram.Chat(operator).Messages {
		if m.FromBot && !m.Deleted && strings.HasPrefix(m.Text, prefix) {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// begins and ends list what the operator was told of a code.
func (s *scene) begins(code string) []string { return s.told("🔴 " + s.texts["alert."+code] + "\n") }

func (s *scene) ends(code string) []string {
	return s.told("🟢 Over: " + s.texts["alert."+code] + "\n")
}

// sql runs statements at the database itself, past the faults.
func (s *scene) sql(statements ...string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.w.Ready().DatabaseDirectURL)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(s.t.Context()))
	for _, statement := range statements {
		if _, err := conn.Exec(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// number asks the database for one.
func (s *scene) number(query string) (n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.w.Ready().DatabaseDirectURL)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(s.t.Context()))
	if err := conn.QueryRow(s.t.Context(), query).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// fails waits until that many more jobs of a kind have failed.
func (s *scene) fails(kind string, many int) {
	s.t.Helper()
	failed := fmt.Sprintf(`SELECT count(*) FROM river_job WHERE kind = '%s' AND state = 'cancelled'`, kind)
	before := s.number(failed)
	s.until(fmt.Sprintf("%d of %s to fail", many, kind), func() bool { return s.number(failed) >= before+many })
}

// spoil has a part of the world misbehave, mend ends that.
func (s *scene) spoil(target sandbox.Target, mode fault.Mode, latency time.Duration) {
	s.t.Helper()
	if err := s.w.Fault(target).Set(mode, latency, 0); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) mend(target sandbox.Target) { s.w.Fault(target).Clear() }

// signal sends the product a signal.
func (s *scene) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.w.Ready().ProductPID, sig); err != nil {
		s.t.Fatal(err)
	}
}

// post posts to the shop as the outside does, and returns the status.
func (s *scene) post(path, header, value string, body []byte) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.w.Ready().AppURL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set(header, value)
	client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// bot calls the Bot API as somebody who has the token, past the faults.
func (s *scene) bot(method string, args url.Values) {
	s.t.Helper()
	ready := s.w.Ready()
	client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.PostForm(ready.TelegramAPI+"/bot"+ready.BotToken+"/"+method, args)
	if err != nil {
		s.t.Error(err) // perhaps not on the test's goroutine
		return
	}
	_ = response.Body.Close()
}

// orders walks a person to the pay page of a new order, and returns its address.
func (s *scene) orders(id int64) string {
	s.t.Helper()
	s.wishes(id)
	p := s.person(id)
	var pressed sandbox.Pressed
	s.until("the pay page", func() bool {
		var err error
		pressed, err = p.Press("Pay")
		return err == nil && pressed.URL != ""
	})
	return pressed.URL
}

// wishes walks a person to a new order.
func (s *scene) wishes(id int64) {
	s.t.Helper()
	p := s.person(id)
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	steps := []struct {
		see string
		act func() error
	}{
		{"Choose your language", func() error { return p.Write("/start") }},
		{"Fast and private", func() error { return press(p, "English") }},
		{"Choose a plan", func() error { return p.Write("/buy") }},
		{"For how long?", func() error { return press(p, "Plus") }},
		{"How would you like to pay?", func() error { return press(p, "30 days") }},
		{"", func() error { return press(p, "CryptoBot") }},
	}
	if len(s.w.Telegram.Chat(id).Messages) > 0 {
		steps = steps[2:]
	}
	for _, step := range steps {
		if err := step.act(); err != nil {
			s.t.Fatal(err)
		}
		if step.see == "" {
			continue
		}
		if _, err := p.See(ctx, step.see); err != nil {
			s.t.Fatal(err)
		}
	}
}

func press(p *sandbox.Person, label string) error {
	_, err := p.Press(label)
	return err
}

// buys has a person buy and pay.
func (s *scene) buys(id int64) {
	s.t.Helper()
	if _, err := s.person(id).Pay(s.orders(id)); err != nil {
		s.t.Fatal(err)
	}
}

// received says whether the person has a key.
func (s *scene) received(id int64) bool {
	return slices.ContainsFunc(s.w.Telegram.Chat(id).Messages, func(m telegram.Message) bool {
		return m.FromBot && strings.Contains(m.Text, "vless://")
	})
}

// product starts or stops the shop's process.
func (s *scene) product(action string) {
	s.t.Helper()
	response, err := http.Post(s.w.Ready().ControlURL+"/product/"+action, "application/json", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s the product: %s", action, response.Status)
	}
}
