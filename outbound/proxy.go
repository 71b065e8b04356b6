package outbound

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// Proxy returns the proxy by which a request goes, nil if by none.
type Proxy func(*http.Request) (*url.URL, error)

// ParseProxy returns the address of a proxy, such as http://10.0.0.1:3128 or
// socks5://user:password@10.0.0.1:1080. Without a scheme it is one of http. The error
// does not quote the address, which may hold a password.
func ParseProxy(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, errors.New("want a proxy such as http://user:password@host:port or socks5://host:port")
	}
	return u, nil
}

// Through sends every request by one proxy.
func Through(proxy *url.URL) Proxy { return http.ProxyURL(proxy) }

// ByRules sends requests to https addresses by the proxy at httpsProxy, but for the
// hosts that noProxy names, as the variables HTTPS_PROXY and NO_PROXY are commonly
// understood: never to this machine's own addresses.
func ByRules(httpsProxy, noProxy string) Proxy {
	by := (&httpproxy.Config{HTTPSProxy: httpsProxy, NoProxy: noProxy}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return by(r.URL) }
}

// Via returns how an address is reached: by which proxy, without its password, or
// nothing if by none.
func (p Proxy) Via(address string) string {
	if p == nil {
		return ""
	}
	target, err := url.Parse(address)
	if err != nil {
		return ""
	}
	proxy, err := p(&http.Request{URL: target})
	if err != nil || proxy == nil {
		return ""
	}
	return "the " + kindOf(proxy) + " proxy " + proxy.Host
}

func kindOf(proxy *url.URL) string {
	if strings.HasPrefix(proxy.Scheme, "socks5") {
		return "SOCKS5"
	}
	return strings.ToUpper(proxy.Scheme)
}
