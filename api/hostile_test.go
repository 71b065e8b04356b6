package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sallyport/api"
)

// open serves handler as the program does, over TLS with HTTP/2 if secure.
func open(t *testing.T, handler http.Handler, secure bool, log *zap.Logger) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = api.Server("", handler, log)
	if s.EnableHTTP2 = secure; secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// dial opens a connection on which nothing waits for longer than limit.
func dial(t *testing.T, s *httptest.Server, limit time.Duration) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// head is the beginning of a genuine delivery that promises a body of this length.
func head(length int, more string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: shop\r\nX-Telegram-Bot-Api-Secret-Token: %s\r\nContent-Length: %d\r\n%s\r\n",
		api.TelegramPath, secret, length, more)
}

// status reads one answer.
func status(t *testing.T, conn net.Conn) int {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// served checks that a genuine delivery is taken.
func served(t *testing.T, s *httptest.Server) {
	t.Helper()
	conn := dial(t, s, time.Minute)
	write(t, conn, head(15, "")+`{"update_id":1}`)
	if code := status(t, conn); code != http.StatusOK {
		t.Errorf("meanwhile a genuine delivery was answered %d", code)
	}
}

// Clients that never come to the end of a request, more of them than there are places,
// are cut off in time; those who do come to an end are served at once meanwhile.
func TestSlowClientsAreCutOffAndHoldUpNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sends string
		places      int // more than one places are free of clients that are slow in the body
		code        int // 0: no answer
	}{
		{"in the head", "POST " + api.TelegramPath + " HTTP/1.1\r\nHost: shop\r\nX-A: ", 1, 0},
		{"before the first byte", "", 1, 0},
		{"in the body", head(1000, "") + "{", 64, http.StatusBadRequest},
		{"in the body, strangers", strings.Replace(head(1000, ""), secret, "wrong", 1) + "{", 1, http.StatusUnauthorized},
		{"in the body, nowhere", strings.Replace(head(1000, ""), api.TelegramPath, "/wp-login.php", 1) + "{", 1, http.StatusNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newEdge(t, c.places).handler, false, zap.NewNop())
			slow := make([]net.Conn, 50)
			for i := range slow {
				slow[i] = dial(t, s, time.Minute)
				write(t, slow[i], c.sends)
			}
			answers := make(chan []byte, len(slow))
			for _, conn := range slow {
				go func() {
					answer, err := io.ReadAll(conn) // a reset is an end, too
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("it was not cut off")
					}
					answers <- answer
				}()
			}
			served(t, s)
			if n := len(answers); n > 0 {
				t.Errorf("a genuine delivery was taken when %d were cut off", n)
			}
			for range slow {
				answer := <-answers
				if said := strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", c.code)); said != (c.code != 0) && len(answer) > 0 {
					t.Errorf("answered %.40q", answer)
				}
			}
			served(t, s)
		})
	}
}

// Who does not sign, or pretends to, holds no place of those who pay: neither in all nor
// those of another address.
func TestSlowCallbacksHoldUpNoPayment(t *testing.T) {
	t.Parallel()
	begins := func(signature string, length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: shop\r\n%s\r\nContent-Length: %d\r\n\r\n", api.PaymentsPath, signature, length)
	}
	for _, c := range []struct {
		name, signature string
		code            int // of those that are answered before their body has come
	}{
		{"unsigned", "X-A: b", http.StatusUnauthorized},
		{"forged", "Crypto-Pay-Api-Signature: forged", http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newEdge(t, 256).handler, false, zap.NewNop())
			slow := make([]net.Conn, 300)
			for i := range slow {
				conn, err := connectFrom(t.Context(), "127.0.0.2", s)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				write(t, conn, begins(c.signature, 1000)+"{")
				slow[i] = conn
			}
			for range 5 {
				conn, err := connectFrom(t.Context(), "127.0.0.3", s)
				if err != nil {
					t.Fatal(err)
				}
				write(t, conn, begins("Crypto-Pay-Api-Signature: good", 2)+"{}")
				if code := status(t, conn); code != http.StatusOK {
					t.Errorf("meanwhile a signed callback was answered %d", code)
				}
				_ = conn.Close()
			}
			answered := make(map[int]int)
			for _, conn := range slow {
				answered[status(t, conn)]++
			}
			if want := len(slow) - 32; answered[c.code] < want {
				t.Errorf("answered %v, want %d at least %d times", answered, c.code, want)
			}
		})
	}
}

func TestACallbackIsAFewKilobytes(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]int{64 << 10: http.StatusOK, 64<<10 + 1: http.StatusRequestEntityTooLarge} {
		if w := newEdge(t, 8).post(api.PaymentsPath, "crypto-pay-api-signature", "good", strings.Repeat("x", length)); w.Code != want {
			t.Errorf("%d bytes: answered %d, want %d", length, w.Code, want)
		}
	}
}

// Who sends the body a byte at a time gains nothing by it.
func TestADripIsCutOffLikeASilence(t *testing.T) {
	t.Parallel()
	s := open(t, newEdge(t, 8).handler, false, zap.NewNop())
	conn := dial(t, s, time.Minute)
	write(t, conn, head(1000, ""))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		drip := time.NewTicker(50 * time.Millisecond)
		defer drip.Stop()
		for range drip.C {
			if _, err := io.WriteString(conn, " "); err != nil {
				return
			}
		}
	}()
	if code := status(t, conn); code != http.StatusBadRequest {
		t.Errorf("answered %d", code)
	}
	_ = conn.Close()
	<-ended
}

func TestWhatIsTooLargeOrMalformedIsRefused(t *testing.T) {
	t.Parallel()
	e := newEdge(t, 8)
	for _, secure := range []bool{false, true} {
		s := open(t, e.handler, secure, zap.NewNop())
		for _, c := range []struct {
			name string
			make func(*http.Request)
			body io.Reader
			code int
		}{
			{"a large body", nil, strings.NewReader(strings.Repeat(" ", 1<<20+1)), 413},
			{"a large body that does not say so", nil, io.MultiReader(strings.NewReader(strings.Repeat(" ", 2<<20))), 413},
			{"another method", func(r *http.Request) { r.Method = http.MethodPut }, nil, 405},
			{"a method of their own", func(r *http.Request) { r.Method = "HACK" }, nil, 405},
			{"a path that climbs", func(r *http.Request) { r.URL.Path = "/telegram/../../etc/passwd" }, nil, 404},
		} {
			t.Run(fmt.Sprintf("%s, TLS %t", c.name, secure), func(t *testing.T) {
				t.Parallel()
				if code := ask(t, s, c.make, c.body); code != c.code {
					t.Errorf("answered %d, want %d", code, c.code)
				}
			})
		}
	}
	t.Cleanup(func() {
		if len(e.updates)+len(e.letters) != 0 {
			t.Errorf("kept %v, %v", e.updates, e.letters)
		}
	})
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t, newEdge(t, 8).handler, false, zap.NewNop())
	for name, more := range map[string]string{
		"one":  "X-Long: " + strings.Repeat("a", 24<<10) + "\r\n",
		"many": strings.Repeat("X-Many: aaaa\r\n", 2000),
	} {
		conn := dial(t, s, 10*time.Second)
		write(t, conn, head(0, more))
		if code := status(t, conn); code != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: answered %d", name, code)
		}
	}
	served(t, s)
}

// ask posts with the secret and returns the status.
func ask(t *testing.T, s *httptest.Server, change func(*http.Request), body io.Reader) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+api.TelegramPath, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Telegram-Bot-Api-Secret-Token", secret)
	if change != nil {
		change(r)
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// What a body is called changes nothing: it is an update, or it is kept for an operator.
func TestContentTypesAreNotBelieved(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-7", "\xff"} {
		for body, update := range map[string]bool{
			`{"update_id":5,"message":{"from":{"id":42}}}`:                   true,
			`update_id=5&message=hi`:                                         false,
			"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n": false,
			"\x1f\x8b\x08\x00":                                               false, // nothing is unpacked
			`{"update_id":5` + strings.Repeat(`,"a":[`, 500):                 false,
			strings.Repeat(`{"a":`, 200_000):                                 false,
			`{"update_id":5,"message":` + strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000) + `}`: false,
		} {
			e := newEdge(t, 8)
			s := open(t, e.handler, true, zap.NewNop())
			code := ask(t, s, func(r *http.Request) { r.Header["Content-Type"] = []string{strings.ToValidUTF8(kind, "?")} }, strings.NewReader(body))
			if code != http.StatusOK || len(e.updates) != 1 && update || len(e.letters) != 1 && !update {
				t.Errorf("%q as %q: %d, %d updates, %d letters", body[:min(len(body), 30)], kind, code, len(e.updates), len(e.letters))
			}
			s.Close()
		}
	}
}

// ledger is where a log is written.
type ledger struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

// Whatever a stranger writes, it is one line of the log, and no field but those we
// wrote; nothing in it moves a terminal.
func TestNobodyWritesALineOfTheLog(t *testing.T) {
	t.Parallel()
	written := new(ledger)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(written), zap.DebugLevel))
	e := newEdge(t, 8)
	made := api.New(api.Config{
		Secret: secret, Inbox: e, Wake: func(int64, bool) {}, Health: api.NewHealth("test"), Logger: log,
		Gate: api.GateWarn, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	s := open(t, made.Receivers(), false, log)
	const line = `{"level":"error","msg":"FORGED"}`
	for _, evil := range []string{line, "\x1b[2J" + line, "\n" + line, "\r" + line, "\r\n\r\n" + line, "\x00" + line, "\u2028" + line, "%0a" + line, "203.0.113.9%\n" + line} {
		for _, form := range []string{
			"POST " + api.TelegramPath + " HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: " + evil + "\r\nContent-Length: 0\r\n\r\n",
			head(0, "X-Forwarded-For: "+evil+"\r\n"),
			head(len(evil), "") + evil,
			"POST " + api.TelegramPath + "?" + evil + " HTTP/1.1\r\nHost: " + evil + "\r\n\r\n",
			evil + " / HTTP/1.1\r\n\r\n",
			"GET /" + evil + " HTTP/1.1\r\nHost: shop\r\nUser-Agent: " + evil + "\r\n\r\n",
		} {
			conn := dial(t, s, 10*time.Second)
			write(t, conn, form)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.ReadAll(conn)
		}
	}
	s.Close()
	checkLines(t, written.String(), map[string]bool{
		"delivery refused": true, "sender left": true, "stranger refused": true, "delivery not understood": true, "delivery taken": true, "update from an address that is not Telegram's": true,
	})
}

// checkLines checks that a log has only lines that say one of these things.
func checkLines(t *testing.T, log string, known map[string]bool) {
	t.Helper()
	if log == "" {
		t.Fatal("nothing was logged")
	}
	if i := strings.IndexFunc(log, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); i >= 0 {
		t.Errorf("a control character stands in %q", log[max(0, i-40):i+1])
	}
	for l := range strings.Lines(log) {
		var said struct{ Msg string }
		if err := json.Unmarshal([]byte(l), &said); err != nil || !known[said.Msg] {
			t.Errorf("%v in %s", err, l)
		}
	}
}
