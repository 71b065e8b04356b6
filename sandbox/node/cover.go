package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	coverLife    = 365 * 24 * time.Hour
	coverTimeout = 10 * time.Second
	// probesPerStart: two for each of three ways to ask for a protocol.
	probesPerStart = 6
	probeLimit     = 2 * time.Second
)

// cover is the web site that REALITY shows to whoever holds no key: a TLS 1.3
// server of our own, so that no test leaves the machine.
type cover struct {
	net.Listener
	server *http.Server
	done   chan error

	mu     sync.Mutex
	gone   bool          // every connection is turned away
	probes int           // how many connections are still to be turned away
	probed chan struct{} // closed when there are none
}

func startCover(name string) (*cover, error) {
	certificate, err := selfSigned(name)
	if err != nil {
		return nil, fmt.Errorf("cover site: %w", err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("cover site: %w", err)
	}
	c := &cover{Listener: listener, done: make(chan error, 1), probed: make(chan struct{})}
	c.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "Welcome.\n")
		}),
		ReadHeaderTimeout: coverTimeout,
		// Scanners and Xray itself break off handshakes; nobody needs to know.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := tls.NewListener(c, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2", "http/1.1"},
	})
	go func() { c.done <- c.server.Serve(served) }()
	return c, nil
}

// hide has every connection turned away, or ends that.
func (c *cover) hide(gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = gone
}

// Accept returns the next connection that is not a probe.
func (c *cover) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !c.turnsAway() {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func (c *cover) turnsAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probes == 0 {
		return c.gone
	}
	c.probes--
	if c.probes == 0 {
		close(c.probed)
	}
	return true
}

// expectProbes prepares for the start of a server. Xray studies the cover site
// when it starts, and until it is done each customer's connection waits five
// seconds. Turned away, it is done at once.
func (c *cover) expectProbes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes, c.probed = probesPerStart, make(chan struct{})
}

// awaitProbes waits until Xray has been turned away often enough, or clearly
// is not going to try as often as expected.
func (c *cover) awaitProbes(ctx context.Context) {
	c.mu.Lock()
	probed := c.probed
	c.mu.Unlock()
	limit := time.NewTimer(probeLimit)
	defer limit.Stop()
	select {
	case <-probed:
	case <-limit.C:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes = 0
}

func (c *cover) addr() string { return c.Addr().String() }

func (c *cover) close() error {
	err := c.server.Close()
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("close the cover site: %w", err)
	}
	return nil
}

func selfSigned(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(coverLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
