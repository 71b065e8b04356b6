package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Certificates is where the HTTPS listener has its certificate from.
type Certificates interface {
	// TLS is how to listen.
	TLS() *tls.Config
	// Run keeps the certificate valid until ctx ends. The listeners must be open.
	Run(ctx context.Context)
	// Current is the certificate that is served, nil while there is none.
	Current() *x509.Certificate
	// Trouble is why the last attempt to get one failed, nil if it did not.
	Trouble() error
}

// lateRenewal is when a certificate that is not renewed yet is a complaint. One of a
// short life is renewed later, and complained of later: in the last sixth of it.
const lateRenewal = 14 * 24 * time.Hour

// CertificateLeft is how long the certificate is still valid, 0 if there is none.
func CertificateLeft(c Certificates, now time.Time) time.Duration {
	cert := c.Current()
	if cert == nil {
		return 0
	}
	return cert.NotAfter.Sub(now)
}

// LookAtCertificate says how the certificate is.
func LookAtCertificate(c Certificates, now time.Time) Finding {
	cert, trouble := c.Current(), ""
	if err := c.Trouble(); err != nil {
		trouble = "; last error: " + reasonOf(err)
	}
	if cert == nil {
		return Finding{State: StateFail, Code: CodeCertificateNone, Reason: "none yet" + trouble}
	}
	left := CertificateLeft(c, now)
	days := fmt.Sprintf("%d days left", int(math.Floor(left.Hours()/24)))
	switch late := min(lateRenewal, cert.NotAfter.Sub(cert.NotBefore)/6); {
	case left <= 0:
		return Finding{State: StateFail, Code: CodeCertificateEnded, Reason: "ended at " + cert.NotAfter.UTC().Format(time.RFC3339) + trouble}
	case left < late:
		return Finding{State: StateDegraded, Code: CodeCertificateLate, Reason: days + trouble}
	default:
		return Finding{State: StateOK, Reason: days + trouble}
	}
}

// OnlyHTTPS tells browsers never to use plain HTTP for this host again.
func OnlyHTTPS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// ToHTTPS leads from plain HTTP to the same path at host over HTTPS: those who know our
// name, so that nobody learns it from our address. It leads readers only: who posts in the
// clear has shown what they post already, and must notice.
func ToHTTPS(host string) http.Handler {
	name := (&url.URL{Host: host}).Hostname()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), name) {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "HTTPS only", http.StatusForbidden)
			return
		}
		// The host is ours, whatever is asked for.
		there := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, there.String(), http.StatusPermanentRedirect)
	})
}
