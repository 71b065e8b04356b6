package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	// manageAgain is how long to wait before the storage of certificates is asked
	// again, after it failed.
	manageAgain = 5 * time.Second
	// checkRenewal is how often certificates are looked at for renewal.
	checkRenewal = 10 * time.Minute
)

// ACMEConfig says for which name to get a certificate, where, and how its CA
// reaches us.
type ACMEConfig struct {
	Host       string                                // the name
	Directory  string                                // the CA
	Email      string                                // for the CA to write to; may be empty
	Roots      *x509.CertPool                        // that the CA's own address is trusted by; nil means the system's
	Proxy      func(*http.Request) (*url.URL, error) // by which the CA is reached; nil means as the environment says
	Listen     string                                // where HTTPS is served: TLS-ALPN-01 is solved there
	HTTPListen string                                // where HTTP is served: HTTP-01 is solved there; empty means it is not
	PublicPort int                                   // where the outside reaches HTTPS; default 443
	Storage    certmagic.Storage                     // shared by all replicas
	CheckEvery time.Duration                         // default 10 min
	Logger     *zap.Logger
}

// ACME gets a certificate from a CA and renews it. Whatever the CA does, it neither
// stops the process nor the certificate that is being served.
type ACME struct {
	cfg     ACMEConfig
	log     *zap.Logger
	cache   *certmagic.Cache
	magic   *certmagic.Config
	issuer  *certmagic.ACMEIssuer
	trouble atomic.Pointer[trouble]
}

// trouble is an error, and which certificate was served when it came. With the next
// one, whichever process got that, it is over.
type trouble struct {
	err     error
	serving *x509.Certificate
}

var _ Certificates = (*ACME)(nil)

// NewACME returns an ACME. It calls nobody before Run; Close must be called.
func NewACME(cfg ACMEConfig) (*ACME, error) {
	if cfg.CheckEvery == 0 {
		cfg.CheckEvery = checkRenewal
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	a := &ACME{cfg: cfg, log: cfg.Logger}
	quiet := cfg.Logger // its news are told by our own lines
	if quiet.Core().Enabled(zap.InfoLevel) {
		quiet = quiet.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
	}
	listenHost, tlsPort, err := splitListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	httpPort := 0
	if cfg.HTTPListen != "" {
		if _, httpPort, err = splitListen(cfg.HTTPListen); err != nil {
			return nil, err
		}
	}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		RenewCheckInterval: cfg.CheckEvery,
		Logger:             quiet,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Storage: cfg.Storage, DefaultServerName: cfg.Host, OnEvent: a.note, Logger: quiet,
	})
	a.issuer = certmagic.NewACMEIssuer(a.magic, certmagic.ACMEIssuer{
		CA: cfg.Directory, Email: cfg.Email, Agreed: true, TrustedRoots: cfg.Roots, HTTPProxy: cfg.Proxy, Logger: quiet,
		ListenHost: listenHost, AltTLSALPNPort: tlsPort, AltHTTPPort: httpPort, DisableHTTPChallenge: cfg.HTTPListen == "",
		DisableTLSALPNChallenge: a.besideOther() && cfg.HTTPListen != "", // the CA comes to port 443, and would meet the other
	})
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

func splitListen(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("address %q: want host:port", address)
	}
	return host, port, nil
}

// Close stops the renewal.
func (a *ACME) Close() { a.cache.Stop() }

// besideOther says whether something other than the shop has port 443.
func (a *ACME) besideOther() bool { return a.cfg.PublicPort != 0 && a.cfg.PublicPort != httpsPort }

const httpsPort = 443

// TLS is how to listen. It solves TLS-ALPN-01 for all replicas. Where something else has
// port 443, such as a node whose cover is another site, our certificate is shown to nobody
// who does not ask for our name: that they belong together is not to be seen.
func (a *ACME) TLS() *tls.Config {
	config := a.magic.TLSConfig()
	if a.besideOther() {
		config.GetCertificate = onlyFor(a.cfg.Host, config.GetCertificate)
	}
	config.MinVersion = tls.VersionTLS12
	config.NextProtos = append([]string{"h2", "http/1.1"}, config.NextProtos...) // the first that a client knows is taken
	return config
}

// errNotOurs is what a client that asks for another name is refused with.
var errNotOurs = errors.New("asked for another name, or for none")

// onlyFor shows a certificate to those alone who ask for the name.
func onlyFor(name string, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if !strings.EqualFold(strings.TrimSuffix(hello.ServerName, "."), name) {
			return nil, errNotOurs
		}
		return get(hello)
	}
}

// Challenges solves HTTP-01 for all replicas, and passes on whatever else is asked.
func (a *ACME) Challenges(next http.Handler) http.Handler { return a.issuer.HTTPChallengeHandler(next) }

// Run loads the certificate, or orders it, and keeps it valid until ctx ends. Both
// are tried again for as long as it takes.
func (a *ACME) Run(ctx context.Context) {
	for {
		err := a.magic.ManageAsync(ctx, []string{a.cfg.Host})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		a.trouble.Store(&trouble{err: err, serving: a.Current()})
		a.log.Error("certificate not loaded, trying again", zap.NamedError("err", err), zap.Duration("after", manageAgain))
		select {
		case <-ctx.Done():
			return
		case <-time.After(manageAgain):
		}
	}
	<-ctx.Done()
}

// note keeps the last error and logs what became of an order.
func (a *ACME) note(_ context.Context, event string, data map[string]any) error {
	renewal, _ := data["renewal"].(bool)
	switch event {
	case "cert_obtained":
		a.trouble.Store(nil)
		a.log.Info("certificate obtained", zap.Bool("renewal", renewal))
	case "cached_managed_cert":
		a.trouble.Store(nil)
	case "cert_failed":
		err, isError := data["error"].(error)
		if !isError {
			err = errors.New("certificate not obtained")
		}
		a.trouble.Store(&trouble{err: err, serving: a.Current()})
		a.log.Error("certificate not obtained, trying again later", zap.Bool("renewal", renewal), zap.NamedError("err", err))
	}
	return nil
}

// Current is the certificate that is served, nil while there is none.
func (a *ACME) Current() *x509.Certificate {
	var newest *x509.Certificate
	for _, cert := range a.cache.AllMatchingCertificates(a.cfg.Host) {
		if newest == nil || cert.Leaf.NotAfter.After(newest.NotAfter) {
			newest = cert.Leaf
		}
	}
	return newest
}

// Trouble is why the last order, or the last look into the storage, failed.
func (a *ACME) Trouble() error {
	last := a.trouble.Load()
	if last == nil || !last.serving.Equal(a.Current()) {
		return nil
	}
	return last.err
}
