package xray_test

import (
	"strings"
	"testing"

	"sallyport/xray"
)

func TestValidateAcceptsAGoodEndpoint(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*xray.Endpoint){
		"a good one":   func(*xray.Endpoint) {},
		"an IPv6 host": func(e *xray.Endpoint) { e.Host = "2001:db8::1" },
		"a DNS name":   func(e *xray.Endpoint) { e.Host = "de-1.xn--e1afmkfd.example" },
		"no short id":  func(e *xray.Endpoint) { e.ShortID = "" },
		"no spider x":  func(e *xray.Endpoint) { e.SpiderX = "" },
	} {
		e := endpoint()
		change(&e)
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*xray.Endpoint)
		want   string
	}{
		"no host":                     {func(e *xray.Endpoint) { e.Host = "" }, "host: is empty"},
		"a host in brackets":          {func(e *xray.Endpoint) { e.Host = "[2001:db8::1]" }, "host:"},
		"a host with a port":          {func(e *xray.Endpoint) { e.Host = "de.example:443" }, "host:"},
		"a host with a zone":          {func(e *xray.Endpoint) { e.Host = "fe80::1%eth0" }, "host: an address with a zone"},
		"a host that is not punycode": {func(e *xray.Endpoint) { e.Host = "пример.example" }, "punycode"},
		"a host of too many digits":   {func(e *xray.Endpoint) { e.Host = "1.2.3.400" }, "neither an IP address"},
		"a host with an empty label":  {func(e *xray.Endpoint) { e.Host = "de..example" }, "host:"},
		"a host with a stray hyphen":  {func(e *xray.Endpoint) { e.Host = "de-.example" }, "host:"},
		"a host that is too long":     {func(e *xray.Endpoint) { e.Host = strings.Repeat("a.", 127) }, "longer than 253"},
		"a label that is too long":    {func(e *xray.Endpoint) { e.Host = strings.Repeat("a", 64) + ".example" }, "host:"},
		"port zero":                   {func(e *xray.Endpoint) { e.Port = 0 }, "port: 0"},
		"a port too high":             {func(e *xray.Endpoint) { e.Port = 65536 }, "port: 65536"},
		"no server name":              {func(e *xray.Endpoint) { e.ServerName = "" }, "server name: is empty"},
		"a server name with a path":   {func(e *xray.Endpoint) { e.ServerName = "cover.test/" }, "server name:"},
		"a short public key":          {func(e *xray.Endpoint) { e.PublicKey = e.PublicKey[1:] }, "public key:"},
		"a padded public key":         {func(e *xray.Endpoint) { e.PublicKey += "=" }, "public key:"},
		"a public key of base64":      {func(e *xray.Endpoint) { e.PublicKey = "+" + e.PublicKey[1:] }, "public key:"},
		"a public key with a newline": {func(e *xray.Endpoint) { e.PublicKey = e.PublicKey[:42] + "\n" + e.PublicKey[42:] }, "public key:"},
		"an odd short id":             {func(e *xray.Endpoint) { e.ShortID = "abc" }, "short id:"},
		"a short id of no hex":        {func(e *xray.Endpoint) { e.ShortID = "zz" }, "short id:"},
		"a short id too long":         {func(e *xray.Endpoint) { e.ShortID = "0123456789abcdef01" }, "short id:"},
		"no fingerprint":              {func(e *xray.Endpoint) { e.Fingerprint = "" }, "fingerprint: is empty"},
		"an unknown fingerprint":      {func(e *xray.Endpoint) { e.Fingerprint = "Chrome" }, "fingerprint:"},
		"an unsafe fingerprint":       {func(e *xray.Endpoint) { e.Fingerprint = "unsafe" }, "fingerprint:"},
		"a spider x without a slash":  {func(e *xray.Endpoint) { e.SpiderX = "x" }, "spider x:"},
	} {
		e := endpoint()
		tc.change(&e)
		if err := e.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
