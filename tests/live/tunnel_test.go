package live_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/proxy"

	"sallyport/sandbox/node"
	"sallyport/sandbox/node/client"
)

// rebound: a customer's name leads to the internet when the rules look at it, and to the
// server itself when the connection is made; and one that does not resolve at first.
func rebound(t *testing.T, m *machine, link string) {
	t.Helper()
	const alone = "systemd-run --quiet --property=Type=oneshot --property=IPAddressDeny=%s curl --silent --max-time 3 http://127.0.0.1:8081/livez"
	if out, err := m.try(nil, fmt.Sprintf(alone, "192.0.2.1")); err != nil {
		t.Errorf("what is to be kept from customers is not there: %v, %s", err, out)
	}
	if out, err := m.try(nil, fmt.Sprintf(alone, "localhost")); err == nil {
		t.Errorf("this kernel keeps nobody from an address: %s", out)
	}
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
	costs(t, app.SOCKSAddr())
	if asked.Load() < 12 {
		t.Errorf("names were asked for only %d times", asked.Load())
	}
	m.do("rm /etc/resolv.conf && systemctl restart sallyport-xray")
	m.well()
}

// costs checks that customers do not send mail or share files from this server, which has
// providers close it, and may talk of anything else.
func costs(t *testing.T, socks string) {
	t.Helper()
	for _, port := range []string{":25", ":6881"} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", internetAddress+port)
		must(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
				go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }() // until whoever is there has gone
			}
		}()
	}
	const torrent = "\x13BitTorrent protocol" + "00000000" + "aaaaaaaaaaaaaaaaaaaa" + "bbbbbbbbbbbbbbbbbbbb"
	for _, c := range []struct {
		port, says string
		passes     bool
	}{{":6881", strings.Repeat("anything else, ", 10), true}, {":6881", torrent, false}, {":25", "EHLO example.com\r\n", false}} {
		dialer, err := proxy.SOCKS5("tcp", socks, nil, proxy.Direct)
		must(t, err)
		conn, err := dialer.Dial("tcp", internetAddress+c.port)
		must(t, err) // the app says yes before it knows
		must(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = io.WriteString(conn, c.says)
		answer := make([]byte, len(c.says))
		if err == nil {
			_, err = io.ReadFull(conn, answer)
		}
		if passed := err == nil && string(answer) == c.says; passed != c.passes {
			t.Errorf("%.20q to port %s passes: %t, %v", c.says, c.port, passed, err)
		}
		_ = conn.Close()
	}
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
