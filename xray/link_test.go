package xray_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"sallyport/shop"
	"sallyport/xray"
)

const known = "vless://88888888-8888-4888-8888-888888888888@127.0.0.1:41443" +
	"?encryption=none&security=reality&type=tcp&headerType=none&flow=xtls-rprx-vision&sni=cover.test&fp=chrome" +
	"&pbk=cmuQJv2Ew_QrbSCBfhgpT-WgTBq8MAJkHCMKKtNuUR0&sid=0123456789abcdef&spx=%2F" +
	"#Germany%201%20%C2%B7%2030%20%D0%B4%D0%BD%D0%B5%D0%B9%20%26%20%2B%23%3F"

func holder() shop.Access {
	return shop.Access{ID: "a1", UUID: uuid.MustParse("88888888-8888-4888-8888-888888888888")}
}

func TestLink(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change   func(*xray.Endpoint)
		flow     string
		old, new string // how it differs from the known link
	}{
		"the link that a real client took": {},
		"an IPv6 host is in brackets": {
			change: func(e *xray.Endpoint) { e.Host = "2001:db8::1" }, old: "127.0.0.1", new: "[2001:db8::1]",
		},
		"a DNS name is as it is": {
			change: func(e *xray.Endpoint) { e.Host = "de.example" }, old: "127.0.0.1", new: "de.example",
		},
		"the usual port is written too": {
			change: func(e *xray.Endpoint) { e.Port = 443 }, old: ":41443", new: ":443",
		},
		"no flow, no parameter":     {flow: "-", old: "&flow=xtls-rprx-vision", new: ""},
		"no short id, no parameter": {change: func(e *xray.Endpoint) { e.ShortID = "" }, old: "&sid=0123456789abcdef", new: ""},
		"no spider x, no parameter": {change: func(e *xray.Endpoint) { e.SpiderX = "" }, old: "&spx=%2F", new: ""},
		"a spider x is escaped":     {change: func(e *xray.Endpoint) { e.SpiderX = "/a b?c=d&e" }, old: "%2F", new: "%2Fa%20b%3Fc%3Dd%26e"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, flow := endpoint(), xray.Vision
			if tc.change != nil {
				tc.change(&e)
			}
			if tc.flow == "-" {
				flow = ""
			}
			got := xray.Link(e, holder(), flow, "Germany 1 · 30 дней & +#?")
			if want := strings.Replace(known, tc.old, tc.new, 1); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestLinkIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := xray.Endpoint{
			Host:        rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1", "de.example", "xn--e1afmkfd.example"}).Draw(t, "host"),
			Port:        rapid.IntRange(1, 65535).Draw(t, "port"),
			ServerName:  rapid.SampledFrom([]string{"cover.test", "www.cover.example"}).Draw(t, "sni"),
			PublicKey:   endpoint().PublicKey,
			ShortID:     rapid.StringMatching(`([0-9a-f]{2}){0,8}`).Draw(t, "sid"),
			Fingerprint: rapid.SampledFrom([]string{"chrome", "firefox", "random"}).Draw(t, "fp"),
			SpiderX:     rapid.OneOf(rapid.Just(""), rapid.Map(rapid.String(), func(s string) string { return "/" + s })).Draw(t, "spx"),
		}
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		a := shop.Access{UUID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))}
		label := rapid.String().Draw(t, "label")
		flow := rapid.SampledFrom([]string{"", xray.Vision}).Draw(t, "flow")

		link := xray.Link(e, a, flow, label)
		if i := strings.IndexFunc(link, func(r rune) bool { return r <= ' ' || r == '+' || r == '"' || r > '~' }); i >= 0 {
			t.Fatalf("%q is in %s", link[i], link)
		}
		readBack(t, link, e, a, flow, label)
	})
}

func readBack(t *rapid.T, link string, e xray.Endpoint, a shop.Access, flow, label string) {
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"encryption": {"none"}, "security": {"reality"}, "type": {"tcp"}, "headerType": {"none"},
		"sni": {e.ServerName}, "fp": {e.Fingerprint}, "pbk": {e.PublicKey},
	}
	for key, value := range map[string]string{"flow": flow, "sid": e.ShortID, "spx": e.SpiderX} {
		if value != "" {
			want[key] = []string{value}
		}
	}
	got, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if u.Scheme != "vless" || u.User.String() != a.UUID.String() || u.Hostname() != e.Host || u.Fragment != label {
		t.Errorf("read back %q %q %q %q", u.Scheme, u.User, u.Host, u.Fragment)
	}
}

func BenchmarkLink(b *testing.B) {
	e, a := endpoint(), holder()
	b.ReportAllocs()
	for b.Loop() {
		_ = xray.Link(e, a, xray.Vision, "Germany 1 · 30 дней")
	}
}
