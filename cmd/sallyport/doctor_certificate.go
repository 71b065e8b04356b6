package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"sallyport/api"
)

// checkCertificate looks at who answers at the public address, as Telegram would.
func (d *doctor) checkCertificate(ctx context.Context, c *check) {
	if strings.HasPrefix(d.config.PublicURL, "http://") {
		c.add(well, "none: the public address is plain HTTP on this machine", "")
		return
	}
	roots, err := d.config.publicRoots()
	if err != nil {
		status, todo := fails, "correct the file, or remove it to have another made"
		if errors.Is(err, fs.ErrNotExist) {
			status, todo = warns, "the shop makes it when it starts: sallyport serve"
		}
		c.add(status, causeOf(err), todo)
		return
	}
	seen, err := api.LookAt(ctx, d.config.PublicURL, "")
	if seen.Chain != nil {
		d.judgeChain(seen, roots, c)
	}
	if err != nil {
		d.judgeSilence(err, c)
		return
	}
	d.judgeWho(seen, c)
}

// publicRoots is what the certificate at the public address must be trusted by.
func (c config) publicRoots() (*x509.CertPool, error) {
	if c.TLS == tlsSelfSigned {
		return api.SelfSignedRoots(c.TLSDir)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("system's roots: %w", err)
	}
	if c.ACMERoots == "" {
		return roots, nil
	}
	text, err := os.ReadFile(c.ACMERoots)
	if err != nil {
		return nil, fmt.Errorf("ACME_CA_ROOTS: %w", err)
	}
	roots.AppendCertsFromPEM(text)
	return roots, nil
}

// judgeChain says what of the certificate somebody would stumble over.
func (d *doctor) judgeChain(seen api.Look, roots *x509.CertPool, c *check) {
	leaf, host, now := seen.Chain[0], d.config.publicHost(), time.Now()
	left := leaf.NotAfter.Sub(now)
	switch days := int(math.Floor(left.Hours() / 24)); {
	case left <= 0:
		c.add(fails, "it ended at "+leaf.NotAfter.UTC().Format(time.RFC3339), d.renewing())
	case now.Before(leaf.NotBefore):
		c.add(fails, "it begins at "+leaf.NotBefore.UTC().Format(time.RFC3339), "set this machine's clock right")
	case api.Late(leaf, now):
		c.add(warns, fmt.Sprintf("%d days left", days), d.renewing())
	default:
		c.add(well, fmt.Sprintf("%d days left, by %s", days, issuerOf(leaf)), "")
	}
	if leaf.VerifyHostname(host) != nil {
		c.add(fails, "it is for other names than "+host, "another program answers there, or the proxy has no certificate for "+host+": see that the name leads to this server, and that PUBLIC_URL is right")
	}
	if err := seen.Trusted(roots); err != nil {
		c.add(fails, "nobody trusts it: "+causeOf(err), d.trusting())
	}
	if !seen.HTTP2 {
		c.add(well, "HTTP/2 is not offered", "")
	}
}

func issuerOf(cert *x509.Certificate) string {
	if len(cert.Issuer.Organization) > 0 {
		return cert.Issuer.Organization[0]
	}
	return cert.Issuer.CommonName
}

// renewing is what to do about a certificate that is not renewed.
func (d *doctor) renewing() string {
	switch d.config.TLS {
	case tlsACME:
		return "see certificate in /healthz and the log for why it is not renewed: the name must lead here, with port 443 on LISTEN or port 80 on HTTP_LISTEN"
	case tlsSelfSigned:
		return "the shop renews it by itself: start it again, and see its log"
	default:
		return "it is the proxy's: renew it there"
	}
}

// trusting is what to do about a certificate that nobody trusts.
func (d *doctor) trusting() string {
	switch d.config.TLS {
	case tlsACME:
		return "see that ACME_CA is not a CA for tests; a private one's root belongs into ACME_CA_ROOTS. Telegram trusts public CAs alone"
	case tlsSelfSigned:
		return "another program answers there, or another shop: its certificate is not the one in TLS_DIR"
	default:
		return "the proxy must send a whole chain of a public CA: the certificate, then those between it and the root"
	}
}

// judgeSilence says why nobody answered.
func (d *doctor) judgeSilence(err error, c *check) {
	host := d.config.publicHost()
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		c.add(fails, "the name "+host+" has no address", "make its DNS record, or correct PUBLIC_URL")
		return
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		c.add(fails, "it answers, and has no certificate to show: "+causeOf(err), d.renewing())
		return
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		c.add(fails, "it answers in the clear", "TLS=off serves plain HTTP: put a proxy with a certificate before LISTEN, or choose another TLS")
		return
	}
	c.add(warns, "not reachable from this machine: "+causeOf(err),
		"start the shop (and the proxy) if it does not run; see that "+host+" leads here and the firewall lets the port through. "+
			"Some routers do not let a machine reach itself by its public address (hairpin NAT): then look from elsewhere, curl -v "+d.config.under("/livez"))
}

// judgeWho says whether it is the shop that answers.
func (d *doctor) judgeWho(seen api.Look, c *check) {
	switch {
	case seen.Ours:
	case seen.Status >= http.StatusInternalServerError:
		c.add(warns, fmt.Sprintf("the proxy answers %d for the shop", seen.Status), "start the shop if it does not run; see that the proxy leads to LISTEN, "+d.config.Listen)
	default:
		c.add(fails, fmt.Sprintf("somebody answers, and it is not the shop: %d for /livez", seen.Status),
			"see that the name leads to this server, and that the proxy passes on "+api.TelegramPath+" and "+api.PaymentsPath)
	}
}

// hostOf is the host of an address, whose path may be a secret of somebody else.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "an address that cannot be read"
	}
	return u.Host
}
