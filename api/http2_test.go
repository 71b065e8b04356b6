package api_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"sallyport/api"
)

// What of HTTP/2 the tests speak.
const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

	frameData, frameHeaders, frameReset, frameSettings, frameGoAway, frameContinuation = 0x0, 0x1, 0x3, 0x4, 0x7, 0x9

	flagEndStream, flagEndHeaders = 0x1, 0x4

	refusedStream, enhanceYourCalm = 0x7, 0xb

	status400 = 0x8c // as the head of an answer says it

	// mostStreams is how many requests of one connection Go's server works at once.
	mostStreams = 250
)

// h2 is one HTTP/2 connection, spoken by hand.
type h2 struct {
	t       *testing.T
	conn    *tls.Conn
	out     *bufio.Writer
	resets  map[uint32]int // codes of the streams that the server reset
	answers chan byte      // how the head of each answer begins
	goAway  chan uint32    // the code by which it ended the connection; closed when it is over
}

func dialH2(t *testing.T, s *httptest.Server) *h2 {
	t.Helper()
	config := &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com", NextProtos: []string{"h2"}}
	c := &h2{t: t, conn: tls.Client(dial(t, s, 20*time.Second), config), resets: make(map[uint32]int), answers: make(chan byte, 1000), goAway: make(chan uint32, 1)}
	if err := c.conn.HandshakeContext(t.Context()); err != nil || c.conn.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatalf("%v, speaks %q", err, c.conn.ConnectionState().NegotiatedProtocol)
	}
	c.out = bufio.NewWriter(c.conn)
	_, _ = c.out.WriteString(preface)
	c.send(frameSettings, 0, 0, nil)
	go c.listen()
	return c
}

// send writes a frame; it reports whether the server still listens.
func (c *h2) send(kind, flags byte, stream uint32, payload []byte) bool {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8)
	head[3], head[4] = kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, err := c.out.Write(append(head, payload...))
	return err == nil
}

// listen notes what the server resets, until it ends the connection.
func (c *h2) listen() {
	defer close(c.goAway)
	in := bufio.NewReader(c.conn)
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		switch head[3] {
		case frameHeaders:
			c.answers <- payload[0]
		case frameReset:
			c.resets[binary.BigEndian.Uint32(payload)]++
		case frameGoAway:
			c.goAway <- binary.BigEndian.Uint32(payload[4:])
			return
		}
	}
}

// request returns the header block of a genuine delivery.
func request() []byte {
	block := []byte{0x83, 0x87} // POST, https
	for _, f := range []struct {
		name  []byte
		value string
	}{{[]byte{0x04}, api.TelegramPath}, {[]byte{0x01}, "shop"}, {literal("x-telegram-bot-api-secret-token"), secret}} {
		block = append(block, f.name...)
		block = append(append(block, byte(len(f.value))), f.value...)
	}
	return block
}

func literal(name string) []byte { return append([]byte{0x00, byte(len(name))}, name...) }

// crowded serves deliveries that take until release, and counts them.
func crowded(t *testing.T) (s *httptest.Server, most *atomic.Int64, release func()) {
	t.Helper()
	e, gate := newEdge(t, 1000), make(chan struct{})
	var now atomic.Int64
	most = new(atomic.Int64)
	s = open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); {
			seen = most.Load()
		}
		if r.URL.Path != "/livez" {
			<-gate // as if it could not be told that nobody waits any more
		}
		e.handler.ServeHTTP(w, r)
	}), true, zap.NewNop())
	done := make(chan struct{})
	t.Cleanup(func() { // before the server is closed
		select {
		case <-done:
		default:
			close(gate)
		}
	})
	return s, most, func() { close(gate); close(done) }
}

// alive checks that another client is answered within a second.
func alive(t *testing.T, s *httptest.Server) {
	t.Helper()
	client := s.Client()
	client.Timeout = time.Minute
	answer, err := client.Get(s.URL + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("meanwhile another client was answered %d", answer.StatusCode)
	}
}

// One connection has no more than so many requests worked at once, whatever it opens;
// what is more is refused or waits, and others are served meanwhile.
func TestOneConnectionOpensOnlySoManyStreams(t *testing.T) {
	t.Parallel()
	s, most, release := crowded(t)
	c := dialH2(t, s)
	for i := range uint32(1000) {
		if !c.send(frameHeaders, flagEndHeaders|flagEndStream, 2*i+1, request()) {
			break
		}
	}
	_ = c.out.Flush()
	alive(t, s)
	release()
	_ = c.conn.CloseWrite()
	for range c.goAway { // until it is over
	}
	t.Logf("%d streams were refused; at most %d requests were worked at once", c.resets[refusedStream], most.Load())
	if most.Load() > mostStreams+1 {
		t.Errorf("at most %d requests should be worked at once", mostStreams)
	}
}

// Streams that are opened and reset at once do not pile up requests: the connection is
// ended, and others are served meanwhile.
func TestRapidResetEndsTheConnection(t *testing.T) {
	t.Parallel()
	s, most, _ := crowded(t)
	c := dialH2(t, s)
	for i := range uint32(20_000) {
		stream := 2*i + 1
		if !c.send(frameHeaders, flagEndHeaders|flagEndStream, stream, request()) || !c.send(frameReset, 0, stream, []byte{0, 0, 0, 8}) {
			break
		}
	}
	_ = c.out.Flush() // it may be refused already
	if code, told := <-c.goAway; told && code != enhanceYourCalm {
		t.Errorf("the connection was ended with code %d", code)
	}
	alive(t, s)
	for range c.goAway { // until it is over
	}
	if most.Load() > mostStreams+1 {
		t.Errorf("%d requests were worked at once", most.Load())
	}
}

// A head without an end is not gathered: the connection is ended.
func TestAHeadWithoutEndEndsTheConnection(t *testing.T) {
	t.Parallel()
	s, most, _ := crowded(t)
	c := dialH2(t, s)
	c.send(frameHeaders, flagEndStream, 1, request())
	more := append(literal("x-more"), append([]byte{100}, make([]byte, 100)...)...)
	sent := 0
	for c.send(frameContinuation, 0, 1, more) && sent < 64<<20 {
		sent += len(more)
	}
	for range c.goAway { // until it is over
	}
	alive(t, s)
	if sent >= 64<<20 || most.Load() > 1 {
		t.Errorf("took %d bytes, worked %d requests", sent, most.Load())
	}
}

// The body of a stream is bounded like any other, in size and in time.
func TestASlowStreamIsCutOff(t *testing.T) {
	t.Parallel()
	s := open(t, newEdge(t, 8).handler, true, zap.NewNop())
	c := dialH2(t, s)
	c.send(frameHeaders, flagEndHeaders, 1, request())
	c.send(frameData, 0, 1, []byte("{"))
	_ = c.out.Flush()
	if code := ask(t, s, nil, nil); code != http.StatusOK {
		t.Errorf("meanwhile another was answered %d", code)
	}
	if first := <-c.answers; first != status400 { // it waits for the rest no longer
		t.Errorf("answered %#x", first)
	}
}
