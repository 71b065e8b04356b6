package xray_test

import (
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"sallyport/sandbox/node/client"
	"sallyport/shop"
	"sallyport/xray"
)

// Every endpoint that is valid makes a link that the strictest client reads back as it
// was meant.
func FuzzLink(f *testing.F) {
	e := endpoint()
	f.Add(e.Host, e.Port, e.ServerName, e.PublicKey, e.ShortID, e.Fingerprint, e.SpiderX, "Germany 1 · 30 дней & +#?", true)
	f.Add("2001:db8::1", 443, "cover.test", e.PublicKey, "", "random", "", "", false)
	f.Add("a?b#c", 0, "x&y", "key", "zz", "", "no slash", "</code><b>", true)
	f.Fuzz(func(t *testing.T, host string, port int, sni, key, sid, fp, spx, label string, vision bool) {
		e := xray.Endpoint{Host: host, Port: port, ServerName: sni, PublicKey: key, ShortID: sid, Fingerprint: fp, SpiderX: spx}
		if e.Validate() != nil || !utf8.ValidString(label) {
			return
		}
		want := client.Link{
			ID: holder().UUID.String(), Host: host, Port: port, ServerName: sni, Fingerprint: fp, PublicKey: key, ShortID: sid, SpiderX: spx, Name: label,
		}
		if vision {
			want.Flow = xray.Vision
		}
		got, err := client.Parse(xray.Link(e, holder(), want.Flow, label))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

// Every link that the strictest client takes, whoever made it, is one that we could
// have made: written anew it says the same.
func FuzzParseLink(f *testing.F) {
	f.Add(known)
	f.Add("vless://88888888-8888-4888-8888-888888888888@[::1]:1?encryption=none&security=reality&type=tcp&sni=a&fp=qq&pbk=cmuQJv2Ew_QrbSCBfhgpT-WgTBq8MAJkHCMKKtNuUR0")
	f.Add("vless://@?#")
	f.Fuzz(func(t *testing.T, link string) {
		said, err := client.Parse(link)
		if err != nil {
			return
		}
		e := xray.Endpoint{
			Host: said.Host, Port: said.Port, ServerName: said.ServerName, PublicKey: said.PublicKey,
			ShortID: said.ShortID, Fingerprint: said.Fingerprint, SpiderX: said.SpiderX,
		}
		if e.Validate() != nil {
			return // a client need not know what a DNS name is
		}
		again, err := client.Parse(xray.Link(e, shop.Access{UUID: uuid.MustParse(said.ID)}, said.Flow, said.Name))
		if diff := cmp.Diff(said, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
