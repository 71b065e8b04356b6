package outbound_test

import (
	"strings"
	"testing"

	"sallyport/outbound"
)

func TestProxiesAreChosenByTheRulesThatAllKnow(t *testing.T) {
	t.Parallel()
	const proxy = "http://gate:hunter2@10.0.0.1:3128"
	for _, c := range []struct{ proxy, except, address, want string }{
		{proxy, "", "https://api.telegram.org", "the HTTP proxy 10.0.0.1:3128"},
		{"10.0.0.1:3128", "", "https://api.telegram.org", "the HTTP proxy 10.0.0.1:3128"},
		{"socks5h://10.0.0.1:1080", "", "https://api.telegram.org", "the SOCKS5 proxy 10.0.0.1:1080"},
		{"https://10.0.0.1", "", "https://api.telegram.org", "the HTTPS proxy 10.0.0.1"},
		{proxy, "pay.crypt.bot", "https://pay.crypt.bot/api", ""},
		{proxy, ".crypt.bot", "https://pay.crypt.bot/api", ""},
		{proxy, "10.0.0.0/8", "https://10.1.2.3", ""},
		{proxy, "pay.crypt.bot", "https://api.telegram.org", "the HTTP proxy 10.0.0.1:3128"},
		{proxy, "*", "https://api.telegram.org", ""},
		{proxy, "", "https://localhost:8081", ""},
		{proxy, "", "https://127.0.0.1:8081", ""},
		{proxy, "", "http://api.internal", ""},
		{"", "", "https://api.telegram.org", ""},
	} {
		if got := outbound.ByRules(c.proxy, c.except).Via(c.address); got != c.want {
			t.Errorf("%s by %q but for %q: %q, want %q", c.address, c.proxy, c.except, got, c.want)
		}
	}
	if outbound.Proxy(nil).Via("https://api.telegram.org") != "" {
		t.Error("without rules there is a proxy")
	}
}

func TestProxysAddress(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"http://10.0.0.1:3128": true, "https://gate:hunter2@proxy.example": true, "socks5://[::1]:1080": true, "socks5h://u@h:1": true, "h:3128": true,
		"": false, "socks4://hunter2@h": false, "http://": false, "http://u:hunter2@": false, "http://u:hunter2%zz@h": false, "hunter2\n": false,
	} {
		_, err := outbound.ParseProxy(address)
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
