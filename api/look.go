package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Look is what whoever answers at an address shows to a stranger.
type Look struct {
	Chain  []*x509.Certificate // as it was sent, the server's own first; nil in the clear
	HTTP2  bool
	Ours   bool // a shop answers
	Status int  // of the answer to /livez
}

// maxLook bounds what is read of an answer.
const maxLook = 4096

// LookAt asks whoever answers at base, such as https://shop.example, whether it is a
// shop. It connects to address instead of base's own host and port, unless that is
// empty. Certificates are not judged. With an error, Look holds what was seen before.
func LookAt(ctx context.Context, base, address string) (Look, error) {
	var seen Look
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, own string) (net.Conn, error) {
			if address != "" {
				own = address
			}
			return new(net.Dialer).DialContext(ctx, network, own)
		},
		ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			InsecureSkipVerify: true, //nolint:gosec // it is looked at, whatever it is; nothing secret is sent
			VerifyConnection: func(state tls.ConnectionState) error {
				seen.Chain, seen.HTTP2 = state.PeerCertificates, state.NegotiatedProtocol == "h2"
				return nil
			},
		},
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	err := seen.ask(ctx, client, strings.TrimSuffix(base, "/"))
	return seen, err
}

// ask tries the pages by which a shop is known: the public listener has the first, the
// operators' one has the second, and a proxy may pass on none but the last.
func (l *Look) ask(ctx context.Context, client *http.Client, base string) error {
	for i, page := range []string{"/livez", "/readyz", TelegramPath} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+page, nil)
		if err != nil {
			return fmt.Errorf("look: %w", err)
		}
		answer, err := client.Do(request)
		if err != nil {
			return bareURL(err)
		}
		if i == 0 {
			l.Status = answer.StatusCode
		}
		l.Ours = isOurs(answer, page)
		_ = answer.Body.Close()
		if l.Ours {
			return nil
		}
	}
	return nil
}

func isOurs(answer *http.Response, page string) bool {
	switch {
	case page == TelegramPath: // it is there, but not to be read
		return answer.StatusCode == http.StatusMethodNotAllowed && answer.Header.Get("Allow") == http.MethodPost
	case answer.StatusCode == http.StatusPermanentRedirect: // HTTP_LISTEN leads to HTTPS
		to, err := url.Parse(answer.Header.Get("Location"))
		return err == nil && to.Scheme == "https" && to.Hostname() == answer.Request.URL.Hostname() && answer.Header.Get("Server") == ""
	default:
		var body struct {
			Status string `json:"status"`
		}
		err := json.NewDecoder(io.LimitReader(answer.Body, maxLook)).Decode(&body)
		return err == nil && body.Status != "" && answer.Header.Get("Cache-Control") == "no-store"
	}
}

// bareURL takes the address off a transport error: the cause is enough.
func bareURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// Trusted returns why somebody who trusts roots would not trust the chain, nil if they
// would. Of the name and of the end of its validity it says nothing.
func (l Look) Trusted(roots *x509.CertPool) error {
	leaf := l.Chain[0]
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: time.Now()}
	if options.CurrentTime.After(leaf.NotAfter) {
		options.CurrentTime = leaf.NotAfter
	}
	for _, above := range l.Chain[1:] {
		options.Intermediates.AddCert(above)
	}
	_, err := leaf.Verify(options)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// Late says that a certificate should have been renewed by now.
func Late(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) < min(lateRenewal, cert.NotAfter.Sub(cert.NotBefore)/6)
}

// SelfSignedRoots returns what trusts the certificate of our own that lies in dir.
func SelfSignedRoots(dir string) (*x509.CertPool, error) {
	text, err := os.ReadFile(filepath.Join(dir, selfSignedName))
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("self-signed certificate: no certificate in the file")
	}
	return roots, nil
}
