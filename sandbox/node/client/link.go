package client

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

const (
	realityKeyBytes = 32
	maxShortID      = 16
)

// Link is what a vless:// share link says.
type Link struct {
	// ID is the customer's UUID.
	ID string
	// Host and Port are where the server is.
	Host string
	Port int
	// Flow is "xtls-rprx-vision" or empty.
	Flow string
	// ServerName, Fingerprint, PublicKey, ShortID and SpiderX are REALITY's parameters.
	ServerName, Fingerprint, PublicKey, ShortID, SpiderX string
	// Name is what the client shows.
	Name string
}

// Parse reads a share link as the strictest client would: what a lenient one
// forgives is an error here. It accepts VLESS over REALITY on TCP only.
func Parse(link string) (Link, error) {
	l, err := parse(link)
	if err != nil {
		// A link is a credential: it is not quoted.
		return Link{}, fmt.Errorf("share link: %w", err)
	}
	return l, nil
}

func parse(link string) (Link, error) {
	rest, ok := strings.CutPrefix(link, "vless://")
	if !ok {
		return Link{}, errors.New("does not begin with vless://")
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	authority, query, ok := strings.Cut(rest, "?")
	if !ok {
		return Link{}, errors.New("has no parameters")
	}
	var l Link
	if err := l.parseAuthority(authority); err != nil {
		return Link{}, err
	}
	var err error
	if l.Name, err = decode(fragment); err != nil {
		return Link{}, fmt.Errorf("name: %w", err)
	}
	values, err := parseQuery(query)
	if err != nil {
		return Link{}, err
	}
	return l, l.take(values)
}

func (l *Link) parseAuthority(authority string) error {
	id, address, ok := strings.Cut(authority, "@")
	if !ok {
		return errors.New("has no user")
	}
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.String() != id {
		return errors.New("the user is not a UUID in lower case")
	}
	l.ID = id
	u, err := url.Parse("//" + address)
	if err != nil || u.Host != address {
		return errors.New("the address is not host:port")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return errors.New("the address has no valid port")
	}
	if u.Hostname() == "" || strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(address, "[") {
		return errors.New("the address has no valid host")
	}
	l.Host, l.Port = u.Hostname(), int(port)
	return nil
}

// parseQuery splits parameters without forgiving anything.
func parseQuery(query string) (map[string]string, error) {
	values := make(map[string]string)
	for pair := range strings.SplitSeq(query, "&") {
		key, text, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("parameter %q has no value", key)
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("parameter %q comes twice", key)
		}
		value, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", key, err)
		}
		if value == "" {
			return nil, fmt.Errorf("parameter %q is empty: it must be left out", key)
		}
		values[key] = value
	}
	return values, nil
}

// decode undoes encodeURIComponent. A plus is not a space to most clients.
func decode(text string) (string, error) {
	for _, b := range []byte(text) {
		if b <= ' ' || b >= 0x7f || strings.IndexByte(`+#?&=/:@"<>`, b) >= 0 {
			return "", fmt.Errorf("%q is not percent-encoded", b)
		}
	}
	value, err := url.PathUnescape(text)
	if err != nil {
		return "", fmt.Errorf("bad percent-encoding: %w", err)
	}
	return value, nil
}

// take moves parameters into the link; none may be missing, wrong or left over.
func (l *Link) take(values map[string]string) error {
	var errs []error
	take := func(key string, valid func(string) bool) string {
		value, given := values[key]
		delete(values, key)
		switch {
		case valid(value):
		case given:
			errs = append(errs, fmt.Errorf("parameter %q has the wrong value %q", key, value))
		default:
			errs = append(errs, fmt.Errorf("parameter %q is missing", key))
		}
		return value
	}
	take("encryption", oneOf("none"))
	take("security", oneOf("reality"))
	take("type", oneOf("tcp", "raw"))
	take("headerType", oneOf("none", ""))
	l.Flow = take("flow", oneOf("xtls-rprx-vision", ""))
	l.ServerName = take("sni", func(v string) bool { return v != "" })
	l.Fingerprint = take("fp", oneOf("chrome", "firefox", "safari", "ios", "android", "edge", "360", "qq", "random", "randomized"))
	l.PublicKey = take("pbk", isPublicKey)
	l.ShortID = take("sid", isShortID)
	l.SpiderX = take("spx", func(v string) bool { return v == "" || strings.HasPrefix(v, "/") })
	for key := range values {
		errs = append(errs, fmt.Errorf("parameter %q is unknown", key))
	}
	return errors.Join(errs...)
}

func oneOf(allowed ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(allowed, v) }
}

func isPublicKey(v string) bool {
	key, err := base64.RawURLEncoding.Strict().DecodeString(v)
	return err == nil && len(key) == realityKeyBytes
}

func isShortID(v string) bool {
	_, err := hex.DecodeString(v)
	return err == nil && len(v) <= maxShortID && strings.ToLower(v) == v
}
