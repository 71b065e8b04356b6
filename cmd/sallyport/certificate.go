package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"

	"sallyport/api"
	"sallyport/store"
)

// The values of TLS and of TLS_STORAGE.
const (
	tlsOff        = "off"
	tlsACME       = "acme"
	tlsSelfSigned = "selfsigned"
	inFiles       = "file"
	inPostgres    = "postgres"
)

// validateEdge checks how the shop is reached.
func (c config) validateEdge(check func(ok bool, name, want string)) {
	check(slices.Contains([]string{tlsOff, tlsACME, tlsSelfSigned}, c.TLS), "TLS", "off, acme or selfsigned")
	check(slices.Contains([]string{inFiles, inPostgres}, c.TLSStorage), "TLS_STORAGE", "file or postgres")
	check(slices.Contains([]string{"off", "warn", "refuse"}, c.Gate), "TELEGRAM_GATE", "off, warn or refuse")
	for _, proxy := range c.Proxies {
		_, err := parseRange(proxy)
		check(err == nil, "TRUSTED_PROXIES", "addresses or ranges such as 127.0.0.1,10.0.0.0/8")
	}
	check(c.TLS != tlsOff || c.Gate != string(api.GateRefuse) || len(c.Proxies) > 0, "TRUSTED_PROXIES",
		"the proxy's address: TELEGRAM_GATE=refuse would take the proxy for the sender of every update")
	check(isURL(c.ACMECA), "ACME_CA", "the https address of a CA's directory")
	if c.TLS == tlsOff {
		check(c.HTTPListen == "", "HTTP_LISTEN", "nothing with TLS=off: LISTEN serves plain HTTP")
		return
	}
	check(!isPublic(c.PublicURL) || strings.HasPrefix(c.PublicURL, "https://"), "PUBLIC_URL", "https:// with TLS="+c.TLS)
	for _, address := range []struct{ name, value string }{{"LISTEN", c.Listen}, {"HTTP_LISTEN", c.HTTPListen}} {
		_, port, err := net.SplitHostPort(address.value)
		_, portErr := strconv.ParseUint(port, 10, 16)
		isOff := address.name == "HTTP_LISTEN" && address.value == ""
		isReported := address.name == "LISTEN" && err != nil
		check(portErr == nil || isOff || isReported, address.name, "host:port, such as :443")
	}
	if c.TLS != tlsACME {
		return
	}
	check(net.ParseIP(c.publicHost()) == nil, "PUBLIC_URL", "a name with TLS=acme; an IP address wants TLS=selfsigned")
	_, err := c.acmeRoots()
	check(err == nil, "ACME_CA_ROOTS", "a PEM file with certificates, or nothing")
	if c.TLSStorage == inPostgres {
		key, err := c.appKey()
		check(err == nil && len(key) == 32, "APP_KEY", "32 random bytes as base64, with TLS_STORAGE=postgres: openssl rand -base64 32")
	}
}

// parseRange reads a range of addresses, or an address as the range of itself.
func parseRange(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	found, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("range %q: %w", text, err)
	}
	return found, nil
}

// proxies returns the ranges of the proxies before us, which were validated.
func (c config) proxies() []netip.Prefix {
	ranges := make([]netip.Prefix, 0, len(c.Proxies))
	for _, proxy := range c.Proxies {
		if parsed, err := parseRange(proxy); err == nil {
			ranges = append(ranges, parsed)
		}
	}
	return ranges
}

// publicHost is the name or address that certificates are for.
func (c config) publicHost() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return "" // validation says so
	}
	return strings.ToLower(u.Hostname())
}

// publicPort is where the outside reaches the shop.
func (c config) publicPort() int {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return 0 // validation says so
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return 0 // that of the scheme
	}
	return port
}

func (c config) appKey() ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(string(c.AppKey))
	if err != nil {
		return nil, errors.New("APP_KEY: not base64") // the cause quotes it
	}
	return key, nil
}

// acmeRoots returns what the CA's own address is trusted by; nil means the system's.
func (c config) acmeRoots() (*x509.CertPool, error) {
	if c.ACMERoots == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.ACMERoots)
	if err != nil {
		return nil, fmt.Errorf("ACME_CA_ROOTS: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("ACME_CA_ROOTS: no certificate in it")
	}
	return roots, nil
}

// buildCertificates makes what TLS says.
func (p *program) buildCertificates(ctx context.Context) (err error) {
	switch p.config.TLS {
	case tlsACME:
		if p.acme, err = p.buildACME(ctx); err != nil {
			return fmt.Errorf("TLS=acme: %w", err)
		}
		p.onClose(p.acme.Close)
		p.certs = p.acme
	case tlsSelfSigned:
		p.selfSigned, err = api.NewSelfSigned(api.SelfSignedConfig{
			Host: p.config.publicHost(), Dir: p.config.TLSDir, Logger: p.log.Named("tls"),
			Announce: p.announceCertificate,
		})
		if err != nil {
			return fmt.Errorf("TLS=selfsigned: %w", err)
		}
		p.certs = p.selfSigned
	default:
		return nil
	}
	p.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "sallyport", Subsystem: "certificate", Name: "left_seconds",
		Help: "How long the certificate that is served is still valid; 0 while there is none.",
	}, func() float64 { return api.CertificateLeft(p.certs, time.Now()).Seconds() }))
	return nil
}

func (p *program) buildACME(ctx context.Context) (*api.ACME, error) {
	kept, err := p.certificateStorage(ctx)
	if err != nil {
		return nil, err
	}
	roots, err := p.config.acmeRoots()
	if err != nil {
		return nil, err
	}
	return api.NewACME(api.ACMEConfig{
		PublicPort: p.config.publicPort(),
		Host:       p.config.publicHost(), Directory: p.config.ACMECA, Email: p.config.ACMEEmail, Roots: roots,
		Proxy:  p.config.proxy(),
		Listen: p.config.Listen, HTTPListen: p.config.HTTPListen, Storage: kept, Logger: p.log.Named("tls"),
	})
}

// tlsConnections is how many connections the certificates have to themselves:
// strangers can cause lookups of challenges, which must hold up nobody else.
const tlsConnections = 2

func (p *program) certificateStorage(ctx context.Context) (certmagic.Storage, error) {
	if p.config.TLSStorage == inFiles {
		return &certmagic.FileStorage{Path: p.config.TLSDir}, nil
	}
	key, err := p.config.appKey()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Config{
		URL: string(p.config.DatabaseURL), Name: "tls", MaxConns: tlsConnections,
		AcquireTimeout: p.config.AcquireTimeout, StatementTimeout: p.config.StatementTimeout,
		Logger: p.log.Named("store"), Metrics: p.metrics,
	})
	if err != nil {
		return nil, err
	}
	p.onClose(s.Close)
	return store.NewCertificates(s, key)
}

// keepCertificate keeps the certificate valid until ctx ends. In PostgreSQL there is
// a place for it once the database is up to date.
func (p *program) keepCertificate(ctx context.Context, up <-chan struct{}) {
	if p.certs == nil {
		return
	}
	if p.config.TLS == tlsACME && p.config.TLSStorage == inPostgres {
		select {
		case <-up:
		case <-ctx.Done():
			return
		}
	}
	p.certs.Run(ctx)
}

// publicServer serves what the outside may reach.
func (p *program) publicServer() *http.Server {
	server := api.Server(p.config.Listen, p.public, p.log)
	if p.certs != nil {
		server.TLSConfig = p.certs.TLS()
	}
	if p.acme != nil {
		server.Handler = api.OnlyHTTPS(p.public)
	}
	return server
}

// plain serves HTTP: challenges, and the way to HTTPS.
func (p *program) plain() http.Handler {
	u, err := url.Parse(p.config.PublicURL)
	if err != nil {
		return http.NotFoundHandler() // it was validated
	}
	redirect := api.ToHTTPS(u.Host)
	if p.acme == nil {
		return redirect
	}
	return p.acme.Challenges(redirect)
}
