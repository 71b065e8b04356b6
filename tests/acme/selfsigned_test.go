package acme_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/api"
)

// Telegram trusts nobody here but the certificate that is uploaded to it.
func TestASelfSignedCertificateIsUploadedAndTrusted(t *testing.T) {
	t.Parallel()
	s := newShop(t, map[string]string{"TLS": "selfsigned"})
	s.env["PUBLIC_URL"] = fmt.Sprintf("https://127.0.0.1:%d", s.https)
	emulator := s.telegramWith(x509.NewCertPool())
	s.start()
	s.answers(emulator, 7)
	var info struct {
		Custom bool `json:"has_custom_certificate"`
	}
	if err := json.Unmarshal(emulator.WebhookInfo(), &info); err != nil || !info.Custom {
		t.Errorf("%s, %v", emulator.WebhookInfo(), err)
	}
	if status, reason := s.component(); status != "ok" || reason != "729 days left" {
		t.Errorf("certificate: %s, %s", status, reason)
	}
	path := filepath.Join(s.env["TLS_DIR"], "selfsigned.pem")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(before)
	resp, err := client(t, s.https, trusted).Get(s.env["PUBLIC_URL"] + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("%s, HSTS %q", resp.Proto, resp.Header.Get("Strict-Transport-Security"))
	}
	s.stop()
	s.start()
	s.answers(emulator, 8)
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("not the same certificate after a restart: %v", err)
	}
}

// The program was switched off for long: a month before the end it makes the next
// certificate at the start, and Telegram trusts that.
func TestACertificateNearItsEndIsReplacedAtTheStart(t *testing.T) {
	t.Parallel()
	s := newShop(t, map[string]string{"TLS": "selfsigned"})
	s.env["PUBLIC_URL"] = fmt.Sprintf("https://127.0.0.1:%d", s.https)
	emulator := s.telegramWith(x509.NewCertPool())
	before, err := api.NewSelfSigned(api.SelfSignedConfig{
		Host: "127.0.0.1", Dir: s.env["TLS_DIR"], Now: func() time.Time { return time.Now().Add(-710 * 24 * time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.answers(emulator, 7)
	if status, reason := s.component(); status != "ok" || reason != "729 days left" {
		t.Errorf("certificate: %s, %s", status, reason)
	}
	after, err := os.ReadFile(filepath.Join(s.env["TLS_DIR"], "selfsigned.pem"))
	if err != nil || bytes.Contains(after, before.PEM()) {
		t.Errorf("the old certificate is still there, %v", err)
	}
}
