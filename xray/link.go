package xray

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"sallyport/shop"
)

// Link returns the vless:// link by which the holder of a connects to e; label is
// the name that a client shows. The link is a secret. Its form is the VLESS share
// link proposal (XTLS/Xray-core discussion 716) with type=tcp, which old clients
// know too. It is defined for an e that Validate accepts.
func Link(e Endpoint, a shop.Access, flow, label string) string {
	var b strings.Builder
	b.Grow(320 + 3*len(label))
	b.WriteString("vless://")
	b.WriteString(a.UUID.String())
	b.WriteByte('@')
	b.WriteString(net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
	b.WriteString("?encryption=none&security=reality&type=tcp&headerType=none")
	param(&b, "flow", flow)
	param(&b, "sni", e.ServerName)
	param(&b, "fp", e.Fingerprint)
	param(&b, "pbk", e.PublicKey)
	param(&b, "sid", e.ShortID)
	param(&b, "spx", e.SpiderX)
	b.WriteByte('#')
	b.WriteString(escape(label))
	return b.String()
}

// param writes nothing for an empty value: clients refuse an empty parameter.
func param(b *strings.Builder, key, value string) {
	if value == "" {
		return
	}
	b.WriteByte('&')
	b.WriteString(key)
	b.WriteByte('=')
	b.WriteString(escape(value))
}

// escape is encodeURIComponent, a bit stricter: a space must be %20, since
// clients show the + of a form encoding as it is.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
