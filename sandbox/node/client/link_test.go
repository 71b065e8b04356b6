package client_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/node/client"
)

const (
	id     = "88888888-8888-4888-8888-888888888888"
	key    = "cmuQJv2Ew_QrbSCBfhgpT-WgTBq8MAJkHCMKKtNuUR0"
	query  = "encryption=none&security=reality&type=tcp&headerType=none&flow=xtls-rprx-vision&sni=cover.test&fp=chrome&pbk=" + key + "&sid=0123456789abcdef&spx=%2F"
	sample = "vless://" + id + "@127.0.0.1:41443?" + query + "#Germany%201%20%C2%B7%20%26%20%2B%23%3F"
)

func TestParseReadsEverything(t *testing.T) {
	t.Parallel()
	want := client.Link{
		ID: id, Host: "127.0.0.1", Port: 41443, Flow: "xtls-rprx-vision", ServerName: "cover.test", Fingerprint: "chrome",
		PublicKey: key, ShortID: "0123456789abcdef", SpiderX: "/", Name: "Germany 1 · & +#?",
	}
	got, err := client.Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseAcceptsWhatIsOptional(t *testing.T) {
	t.Parallel()
	for _, link := range []string{
		strings.Replace(sample, "&headerType=none", "", 1),
		strings.Replace(sample, "&flow=xtls-rprx-vision", "", 1),
		strings.Replace(sample, "&sid=0123456789abcdef", "", 1),
		strings.Replace(sample, "&spx=%2F", "", 1),
		strings.Replace(sample, "127.0.0.1", "[2001:db8::1]", 1),
		strings.Replace(sample, "127.0.0.1", "de1.example.com", 1),
		"vless://" + id + "@127.0.0.1:41443?" + query,
	} {
		if _, err := client.Parse(link); err != nil {
			t.Errorf("%s: %v", link, err)
		}
	}
}

func TestParseRefusesABadAddress(t *testing.T) {
	t.Parallel()
	refuse(t, map[string]string{
		"another scheme":       change("vless", "vmess"),
		"no user":              change(id+"@", ""),
		"a name for a user":    change(id, "hello"),
		"a user in upper case": change(id, "A8888888-8888-4888-8888-888888888888"),
		"no port":              change(":41443", ""),
		"port zero":            change(":41443", ":0"),
		"port too high":        change(":41443", ":65536"),
		"no host":              change("127.0.0.1", ""),
		"a path":               change(":41443", ":41443/"),
		"bare IPv6":            change("127.0.0.1", "2001:db8::1"),
		"no parameters":        "vless://" + id + "@127.0.0.1:1#x",
		"another transport":    change("type=tcp", "type=ws"),
		"no transport":         change("&type=tcp", ""),
	})
}

func TestParseRefusesBadParameters(t *testing.T) {
	t.Parallel()
	refuse(t, map[string]string{
		"a parameter twice":         change("&fp=chrome", "&fp=chrome&fp=chrome"),
		"an empty parameter":        change("&fp=chrome", "&fp="),
		"a parameter without value": change("&fp=chrome", "&fp"),
		"an unknown parameter":      change("&fp=chrome", "&fp=chrome&allowInsecure=1"),
		"a name in the wrong case":  change("&fp=", "&FP="),
		"an unknown fingerprint":    change("fp=chrome", "fp=lynx"),
		"no fingerprint":            change("&fp=chrome", ""),
		"no server name":            change("&sni=cover.test", ""),
		"no public key":             change("&pbk="+key, ""),
		"a short public key":        change(key, key[:40]),
		"a padded public key":       change(key, key+"%3D"),
		"an odd short id":           change("sid=01", "sid=1"),
		"a long short id":           change("sid=01", "sid=0101"),
		"a short id with letters":   change("sid=01", "sid=zz"),
		"no encryption":             change("encryption=none&", ""),
		"no security":               change("&security=reality", ""),
		"tls":                       change("security=reality", "security=tls"),
		"another flow":              change("xtls-rprx-vision", "xtls-rprx-direct"),
		"a slash not encoded":       change("spx=%2F", "spx=/"),
		"a plus for a space":        change("Germany%201", "Germany+1"),
		"a space":                   change("Germany%201", "Germany 1"),
		"letters not encoded":       change("Germany", "Німеччина"),
		"a bad escape":              change("%20", "%2z"),
	})
}

// change is the sample with one thing changed.
func change(from, to string) string { return strings.Replace(sample, from, to, 1) }

func refuse(t *testing.T, links map[string]string) {
	t.Helper()
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if link == sample {
				t.Fatal("the case changes nothing")
			}
			_, err := client.Parse(link)
			if err == nil {
				t.Fatal("was accepted")
			}
			if strings.Contains(err.Error(), id) {
				t.Errorf("the error shows the credential: %v", err)
			}
		})
	}
}
