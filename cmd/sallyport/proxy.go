package main

import (
	"strings"

	"sallyport/outbound"
)

// validateProxies checks by what the outside is reached.
func (c config) validateProxies(check func(ok bool, name, want string)) {
	for name, address := range map[string]secret{"HTTPS_PROXY": c.HTTPSProxy, "TELEGRAM_PROXY": c.TelegramProxy} {
		_, err := outbound.ParseProxy(string(address))
		check(address == "" || err == nil, name, "a proxy such as http://user:password@host:3128 or socks5://host:1080, or nothing")
	}
}

// proxy is by what everything outside is reached but nodes.
func (c config) proxy() outbound.Proxy {
	return outbound.ByRules(string(c.HTTPSProxy), c.NoProxy)
}

// telegramProxy is by what Telegram is reached.
func (c config) telegramProxy() outbound.Proxy {
	if u, err := outbound.ParseProxy(string(c.TelegramProxy)); c.TelegramProxy != "" && err == nil {
		return outbound.Through(u)
	}
	return c.proxy()
}

// by says by which proxy an address is reached, if by any.
func by(proxy outbound.Proxy, address string) string {
	if via := proxy.Via(address); via != "" {
		return ", by " + via
	}
	return ""
}

// commonNames takes over what others set in small letters, as most programs do.
func commonNames(values map[string]string) {
	for _, name := range []string{"HTTPS_PROXY", "NO_PROXY"} {
		if values[name] == "" {
			values[name] = values[strings.ToLower(name)]
		}
	}
}
