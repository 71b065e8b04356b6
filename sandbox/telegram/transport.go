package telegram

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// prepare makes the client of this webhook: its own connections, its own trust, no redirects, IPv4.
func (h *webhook) prepare(s *Server, u *url.URL) error {
	trust, err := h.trust(u.Hostname(), s.cfg.Roots)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	h.address = net.JoinHostPort(or(h.ip, u.Hostname()), port)
	if u.User != nil {
		h.basicAuth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.String()))
	}
	h.client = &http.Client{
		Timeout:       s.cfg.ReadTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return h.dial(ctx) },
			TLSClientConfig:     trust,
			MaxConnsPerHost:     h.maxConnections,
			MaxIdleConnsPerHost: h.maxConnections,
		},
	}
	return nil
}

// trust accepts the uploaded certificate, or without one the given roots, or the system's. The host may also be named by the common
// name alone, which Go's own check refuses and Telegram allows.
func (h *webhook) trust(host string, roots *x509.CertPool) (*tls.Config, error) {
	if len(h.certificate) > 0 {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(h.certificate) {
			return nil, badWebhook("wrong certificate")
		}
	}
	verify := func(state tls.ConnectionState) error { return verifyPeer(state, roots, host) }
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below does the whole check
		VerifyConnection:   verify,
	}, nil
}

func verifyPeer(state tls.ConnectionState, roots *x509.CertPool, host string) error {
	leaf := state.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	if leaf.Subject.CommonName == host {
		return nil
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

// failureText says why a connection or an exchange failed in the words of the real server.
func failureText(err error) string {
	var verification *tls.CertificateVerificationError
	var lookup *net.DNSError
	var header tls.RecordHeaderError
	var dial *net.OpError
	switch {
	case errors.As(err, &verification):
		return "SSL error {error:0A000086:SSL routines::certificate verify failed}: certificate verify failed"
	case errors.As(err, &header), errors.Is(err, http.ErrSchemeMismatch):
		return "SSL error {error:0A00010B:SSL routines::wrong version number}"
	case errors.As(err, &lookup):
		return "Failed to resolve host: Name or service not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Connection refused"
	case errors.As(err, &dial) && dial.Op == "dial":
		return "Connection timed out"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return "Read timeout expired"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "Webhook connection closed"
	}
	return "Webhook connection closed"
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
