package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Gate says what becomes of an update that does not come from Telegram's addresses.
type Gate string

// The gates.
const (
	GateOff    Gate = "off"    // nothing
	GateWarn   Gate = "warn"   // it is counted and logged
	GateRefuse Gate = "refuse" // it is counted, logged and refused
)

// fromTelegramsRanges says whether an address is one that Telegram delivers from. It
// says itself that these may change, so the secret is the gate, and this is another.
func fromTelegramsRanges(a netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{149, 154, 160, 0}), 20).Contains(a) ||
		netip.PrefixFrom(netip.AddrFrom4([4]byte{91, 108, 4, 0}), 22).Contains(a)
}

// clientOf returns who sent a request. Behind a proxy of ours that is the last
// address in X-Forwarded-For that is none of our proxies: whatever stands before it
// was written by the client. It is the zero Addr if that is not an address.
func clientOf(r *http.Request, proxies []netip.Prefix) netip.Addr {
	ours := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if hop = strings.TrimSpace(hop); !ours(client) || hop == "" {
			break
		}
		if client, err = netip.ParseAddr(hop); err != nil {
			return netip.Addr{}
		}
		client = client.Unmap().WithZone("")
	}
	return client
}

// gate stands before Telegram's receiver and looks at the address alone.
func (e *Edge) gate(next http.Handler) http.Handler {
	if e.cfg.Gate == GateOff || e.cfg.Gate == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := clientOf(r, e.cfg.Proxies)
		if fromTelegramsRanges(client) {
			next.ServeHTTP(w, r)
			return
		}
		e.strangers.WithLabelValues(string(e.cfg.Gate)).Inc()
		e.log.Warn("update from an address that is not Telegram's", zap.Stringer("client", client), zap.String("gate", string(e.cfg.Gate)))
		if e.cfg.Gate == GateRefuse {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
