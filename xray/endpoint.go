package xray

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Vision is the flow of VLESS over REALITY. Without it TLS inside TLS shows.
const Vision = "xtls-rprx-vision"

// Endpoint is where and how customers reach a node: the client's half of its
// REALITY settings. None of it is secret.
type Endpoint struct {
	Host        string // an IP address (IPv6 without brackets) or a DNS name
	Port        int
	ServerName  string // one of the inbound's serverNames
	PublicKey   string // of the inbound's privateKey, 43 characters of base64url
	ShortID     string // one of the inbound's shortIds; may be empty if it allows that
	Fingerprint string // the browser whose TLS hello clients imitate, such as chrome
	SpiderX     string // where the client's crawler begins, such as /; may be empty
}

// Validate returns everything that is wrong with e, joined, or nil.
func (e Endpoint) Validate() error {
	return errors.Join(
		about("host", checkHost(e.Host)),
		about("port", checkPort(e.Port)),
		about("server name", checkName(e.ServerName)),
		about("public key", checkPublicKey(e.PublicKey)),
		about("short id", checkShortID(e.ShortID)),
		about("fingerprint", checkFingerprint(e.Fingerprint)),
		about("spider x", checkSpiderX(e.SpiderX)),
	)
}

func about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return errors.New("an address with a zone means nothing to a customer")
		}
		return nil
	}
	return checkName(host)
}

func checkName(name string) error {
	if name == "" {
		return errors.New("is empty")
	}
	if len(name) > 253 {
		return errors.New("is longer than 253 characters")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return fmt.Errorf("%q is not a DNS name (an international one is written as punycode)", name)
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return fmt.Errorf("%q is neither an IP address nor a DNS name", name)
	}
	return nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if digit := '0' <= c && c <= '9'; !letter && !digit && c != '-' {
			return false
		}
	}
	return true
}

func checkPort(port int) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("%d is not in 1..65535", port)
	}
	return nil
}

func checkPublicKey(key string) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(key)
	if err != nil || len(key) != 43 || len(raw) != 32 {
		return errors.New("is not 32 bytes as 43 characters of base64url")
	}
	return nil
}

func checkShortID(id string) error {
	if _, err := hex.DecodeString(id); err != nil || len(id) > 16 {
		return fmt.Errorf("%q is not an even number of hex digits, at most 16", id)
	}
	return nil
}

// checkFingerprint knows the names that Xray's REALITY client accepts and that
// other clients share; Xray's version-pinned hello* names are left out.
func checkFingerprint(name string) error {
	switch name {
	case "chrome", "firefox", "safari", "ios", "android", "edge", "360", "qq",
		"random", "randomized", "randomizednoalpn":
		return nil
	case "":
		return errors.New("is empty")
	}
	return fmt.Errorf("%q is unknown", name)
}

func checkSpiderX(path string) error {
	if path != "" && path[0] != '/' {
		return fmt.Errorf("%q does not begin with /", path)
	}
	return nil
}
