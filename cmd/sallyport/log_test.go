package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sallyport/api"
)

// written is a log as the program writes it, with what is written.
func written(level zapcore.Level) (*zap.Logger, *logBuffer) {
	buffer := &logBuffer{}
	return zap.New(bounded(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(buffer), level))), buffer
}

// entry is a line of the log.
type entry struct {
	Level, Logger, Msg, Of string
	Lines                  int
}

func entries(t *testing.T, b *logBuffer) []entry {
	t.Helper()
	var found []entry
	for text := range strings.Lines(b.String()) {
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		found = append(found, e)
	}
	return found
}

func countOf(all []entry, message string) (n int) {
	for _, e := range all {
		if e.Msg == message {
			n++
		}
	}
	return n
}

// mostIn is how many lines of one message may be written in a time.
func mostIn(d time.Duration) int { return logMost * (2 + int(d/logSpan)) }

// strangers is how often they knock.
const strangers = 20000

// crowd does something twenty thousand times, by many at once.
func crowd(do func(n int)) {
	var g sync.WaitGroup
	for by := range 20 {
		g.Go(func() {
			for n := by; n < strangers; n += 20 {
				do(n)
			}
		})
	}
	g.Wait()
}

func TestStrangersDoNotWriteTheLog(t *testing.T) {
	t.Parallel()
	log, buffer := written(zap.InfoLevel)
	edge := api.New(api.Config{Secret: testSecret, Health: api.NewHealth("test"), Logger: log.Named("edge")})
	server := api.Server("", edge.Receivers(), log)
	server.TLSConfig = &tls.Config{Certificates: someCertificate(t), MinVersion: tls.VersionTLS12}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(listener, "", "") })
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = server.Close() })
	forger := httptest.NewServer(edge.Receivers())
	t.Cleanup(forger.Close)

	began := time.Now()
	crowd(func(n int) {
		if n == strangers/2 {
			log.Named("watch").Error("incident", zap.String("component", "database"))
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		reset(conn)
	})
	client := forger.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 20
	crowd(func(int) {
		resp, err := client.Post(forger.URL+api.TelegramPath, "application/json", strings.NewReader(`{"update_id":1}`))
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("answered %d", resp.StatusCode)
		}
	})
	took := time.Since(began)
	all := entries(t, buffer)
	for _, message := range []string{"connection failed", "stranger refused"} {
		if n := countOf(all, message); n == 0 || n > mostIn(took) {
			t.Errorf("%d lines %q in %s, at most %d", n, message, took, mostIn(took))
		}
	}
	if countOf(all, "incident") != 1 {
		t.Error("the incident is not in the log")
	}
}

// reset ends a connection without a word.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// someCertificate returns any.
func someCertificate(t *testing.T) []tls.Certificate {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates
}

// What is left out is counted, for each message by itself; and a log that is asked for
// everything has everything.
func TestTheLogSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	log, buffer := written(zap.DebugLevel)
	for n := range 3 * logMost {
		log.Named("edge").With(zap.Int("n", n)).Warn("often")
		log.Named("other").Warn("often")
		log.Debug("debug")
		if n%logMost == 0 {
			log.Warn("seldom", zap.NamedError("err", errors.New("x")))
		}
	}
	var all []entry
	deadline := time.After(time.Minute)
	for countOf(all, "lines left out") < 2 {
		select {
		case <-deadline:
			t.Fatal("what was left out is never told")
		case <-time.After(100 * time.Millisecond):
		}
		all = entries(t, buffer)
	}
	got := make(map[string]int)
	for _, e := range all {
		key := fmt.Sprintf("%s %s %s %s", e.Level, e.Logger, e.Msg, e.Of)
		got[key] += max(e.Lines, 1)
	}
	for key, want := range map[string]int{
		"debug  debug ": 3 * logMost, "warn  seldom ": 3,
	} {
		if got[key] != want {
			t.Errorf("%q: %d, want %d", key, got[key], want)
		}
	}
	for _, logger := range []string{"edge", "other"} {
		whole := got["warn "+logger+" often "] + got["warn "+logger+" lines left out often"]
		if whole != 3*logMost || got["warn "+logger+" lines left out often"] == 0 {
			t.Errorf("%s: %v", logger, got)
		}
	}
}

func TestMessagesWithoutEndAreBoundedToo(t *testing.T) {
	t.Parallel()
	log, buffer := written(zap.InfoLevel)
	began := time.Now()
	for n := range 20 * logKinds {
		log.Info(fmt.Sprint("message ", n))
	}
	if n, most := len(entries(t, buffer)), (logKinds+logMost)*(2+int(time.Since(began)/logSpan)); n > most {
		t.Errorf("%d lines, at most %d", n, most)
	}
}
