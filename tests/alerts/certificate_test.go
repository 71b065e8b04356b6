package alerts_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// authority is the address of a CA that is not there.
const authority = "http://127.0.0.1:9/directory"

const day = 24 * time.Hour

// keepCertificate puts a certificate into a folder, as the shop keeps those of its CA.
func keepCertificate(t *testing.T, dir string, from, to time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, now := big.NewInt(time.Now().UnixNano()), time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(from), NotAfter: now.Add(to), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	issuer := (&certmagic.ACMEIssuer{CA: authority}).IssuerKey()
	storage, keys := &certmagic.FileStorage{Path: dir}, certmagic.StorageKeys
	for path, content := range map[string][]byte{
		keys.SiteCert(issuer, "localhost"):       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		keys.SitePrivateKey(issuer, "localhost"): pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
		keys.SiteMeta(issuer, "localhost"):       []byte(`{"sans":["localhost"],"issuer_data":{}}`),
	} {
		if err := storage.Store(context.Background(), path, content); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheCertificate(t *testing.T) {
	t.Parallel()
	s, dir := prepare(t), t.TempDir()
	s.ill = "webhook" // Telegram trusts none of these certificates
	keepCertificate(t, dir, -day, 89*day)
	app, secure := freePort(t), freePort(t)
	s.startOn(app, "TLS=acme", "ACME_CA="+authority, "TLS_DIR="+dir, fmt.Sprintf("PUBLIC_URL=https://localhost:%d", secure),
		fmt.Sprintf("LISTEN=127.0.0.1:%d", secure), fmt.Sprintf("OPERATIONS_LISTEN=127.0.0.1:%d", app))
	if err := s.person(operator).Write("/start"); err != nil {
		t.Fatal(err)
	}
	// has has the shop find such a certificate, which the CA that is away does not renew.
	has := func(from, to time.Duration) func(*scene) {
		return func(s *scene) {
			s.product("stop")
			if err := os.RemoveAll(dir); err != nil {
				s.t.Fatal(err)
			}
			if to != 0 {
				keepCertificate(s.t, dir, from, to)
			}
			s.product("start")
		}
	}
	good := has(-day, 89*day)
	plays(t, s, []trouble{
		{code: "certificate_none", alerts: []string{"SallyportCertificateNone"}, breaks: has(0, 0), cures: good},
		{code: "certificate_ended", alerts: []string{"SallyportCertificateEnded"}, breaks: has(-100*day, -time.Hour), cures: good},
		{
			code: "certificate_late", alerts: []string{"SallyportCertificateLate", "SallyportCertificateEnds"},
			breaks: has(-88*day, 2*day), cures: good,
		},
	})
}
