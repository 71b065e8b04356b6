package live_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/sandbox/node"
	"sallyport/sandbox/node/client"
)

// rebound: a customer's name leads to the internet when the rules look at it, and to the
// server itself when the connection is made; and one that does not resolve at first.
func rebound(t *testing.T, m *machine, link string) {
	t.Helper()
	asked := serveNames(t, internetAddress+":53")
	m.do("echo nameserver " + internetAddress + " >/etc/resolv.conf && systemctl restart sallyport-xray")
	m.well()
	binary, err := node.Binary()
	must(t, err)
	app, err := client.Start(t.Context(), binary, link)
	must(t, err)
	defer func() { must(t, app.Stop()) }()
	browser := app.HTTPClient()
	browser.Timeout = 5 * time.Second
	until(t, "the tunnel", answerLimit, func() error { return fetch(browser) })
	for range 6 {
		for _, name := range []string{"odd", "even", "fails", "127.0.0.1", serverAddress} {
			if !strings.Contains(name, ".") {
				name += ".rebind.test"
			}
			refused(t, browser, "http://"+name+":8081/livez")
		}
	}
	if asked.Load() < 12 {
		t.Errorf("names were asked for only %d times", asked.Load())
	}
	m.do("rm /etc/resolv.conf && systemctl restart sallyport-xray")
	m.well()
}

// refused checks that nothing of the shop's is reached by an address.
func refused(t *testing.T, browser *http.Client, address string) {
	t.Helper()
	browser.CloseIdleConnections()
	response, err := browser.Get(address)
	if err != nil {
		return
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body) // whatever there is
	t.Errorf("through the tunnel %s says %s: %.100s", address, response.Status, text)
}

// serveNames answers for names that change their addresses at every question, and returns
// how often they were asked for.
func serveNames(t *testing.T, address string) *atomic.Int64 {
	t.Helper()
	asked := new(atomic.Int64)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg)
		answer.SetReply(question)
		if question.Question[0].Qtype == dns.TypeA {
			turn, name := asked.Add(1), question.Question[0].Name
			header := dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			outside, inside := net.ParseIP(internetAddress), net.ParseIP("127.0.0.1")
			switch first, _, _ := strings.Cut(name, "."); {
			case first == "fails" && turn%2 == 1:
				answer.Rcode = dns.RcodeServerFailure
			case first == "fails" || (first == "odd") == (turn%2 == 1):
				answer.Answer = []dns.RR{&dns.A{Hdr: header, A: inside}}
			default:
				answer.Answer = []dns.RR{&dns.A{Hdr: header, A: outside}}
			}
		}
		_ = w.WriteMsg(answer) // whoever asked has gone
	})
	packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", address)
	must(t, err)
	server := &dns.Server{PacketConn: packets, Handler: handler}
	go func() { _ = server.ActivateAndServe() }() // ends with the test
	t.Cleanup(func() { _ = server.Shutdown() })
	return asked
}
