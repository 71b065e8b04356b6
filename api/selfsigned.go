package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// selfSignedLife is how long a certificate of our own is valid.
	selfSignedLife = 2 * 365 * 24 * time.Hour
	// selfSignedRenew is how long before its end it is made anew.
	selfSignedRenew = 30 * 24 * time.Hour
	// selfSignedCheck is how often that is looked at.
	selfSignedCheck = time.Hour
)

// SelfSignedFile is the file in Dir that holds key and certificate.
const SelfSignedFile = "selfsigned.pem"

// SelfSignedConfig says whom the certificate is for and where it is kept.
type SelfSignedConfig struct {
	Host       string                                      // a name or an IP address
	Dir        string                                      // made if it is not there
	Announce   func(ctx context.Context, pem []byte) error // returns once who must trust the next certificate does; may be nil
	Now        func() time.Time                            // default time.Now
	CheckEvery time.Duration                               // default 1 h
	Logger     *zap.Logger
}

// SelfSigned is a certificate that we signed ourselves, for a server without a name
// of its own: Telegram trusts it because it is uploaded with the webhook. It trusts
// that one alone, so the next is announced first and served right after.
type SelfSigned struct {
	cfg     SelfSignedConfig
	current atomic.Pointer[tls.Certificate]
	trouble atomic.Pointer[error]
}

var _ Certificates = (*SelfSigned)(nil)

// NewSelfSigned returns the certificate that lies in Dir, or makes one.
func NewSelfSigned(cfg SelfSignedConfig) (*SelfSigned, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CheckEvery == 0 {
		cfg.CheckEvery = selfSignedCheck
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &SelfSigned{cfg: cfg}
	kept, err := s.load()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	if err == nil && kept.Leaf.VerifyHostname(cfg.Host) == nil && !s.due(kept.Leaf) {
		s.current.Store(kept)
		return s, nil
	}
	made, err := s.make()
	if err == nil {
		err = s.serve(made)
	}
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	return s, nil
}

// due says whether the next certificate should be made.
func (s *SelfSigned) due(cert *x509.Certificate) bool {
	return cert.NotAfter.Sub(s.cfg.Now()) <= selfSignedRenew
}

func (s *SelfSigned) path() string { return filepath.Join(s.cfg.Dir, SelfSignedFile) }

// load reads key and certificate.
func (s *SelfSigned) load() (*tls.Certificate, error) {
	text, err := os.ReadFile(s.path())
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 { // a disk was full, or the power went
		return nil, fmt.Errorf("%s is blank: %w", s.path(), fs.ErrNotExist)
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a certificate with its key (remove it to have one made): %w", s.path(), err)
	}
	return &cert, nil
}

// make makes a key and a certificate for it, as the text of a file.
func (s *SelfSigned) make() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := s.sign(key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	return append(asPEM(der), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), nil
}

// serve keeps a certificate and serves it from now on.
func (s *SelfSigned) serve(text []byte) error {
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return fmt.Errorf("read what was made: %w", err)
	}
	if err := s.keep(text); err != nil {
		return err
	}
	s.current.Store(&cert)
	s.cfg.Logger.Info("self-signed certificate made", zap.Time("until", cert.Leaf.NotAfter))
	return nil
}

func (s *SelfSigned) sign(key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	now := s.cfg.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: s.cfg.Host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife), // an hour for clocks that differ
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:        true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(s.cfg.Host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{s.cfg.Host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return der, nil
}

// keep writes the file whole or not at all, for us alone to read.
func (s *SelfSigned) keep(text []byte) error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	file, err := os.CreateTemp(s.cfg.Dir, ".selfsigned-*") // readable by us alone
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), s.path())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write: %w", err), os.Remove(file.Name()))
	}
	return nil
}

// renew makes the next certificate, announces it, and serves it.
func (s *SelfSigned) renew(ctx context.Context) error {
	next, err := s.make()
	if err != nil {
		return err
	}
	if s.cfg.Announce != nil {
		block, _ := pem.Decode(next)
		if err := s.cfg.Announce(ctx, asPEM(block.Bytes)); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
	}
	return s.serve(next)
}

// Run renews the certificate before it ends, until ctx ends.
func (s *SelfSigned) Run(ctx context.Context) {
	tick := time.NewTicker(s.cfg.CheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.due(s.Current()) {
			continue
		}
		err := s.renew(ctx)
		switch {
		case err == nil:
			s.trouble.Store(nil)
		case ctx.Err() == nil:
			s.trouble.Store(&err)
			s.cfg.Logger.Error("self-signed certificate not renewed, trying again", zap.NamedError("err", err))
		}
	}
}

// TLS is how to listen.
func (s *SelfSigned) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load(), nil },
	}
}

// PEM is the certificate, without its key, as Telegram wants it uploaded.
func (s *SelfSigned) PEM() []byte { return asPEM(s.current.Load().Certificate[0]) }

func asPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Current is the certificate that is served.
func (s *SelfSigned) Current() *x509.Certificate { return s.current.Load().Leaf }

// Trouble is why the last renewal failed.
func (s *SelfSigned) Trouble() error {
	if err := s.trouble.Load(); err != nil {
		return *err
	}
	return nil
}
