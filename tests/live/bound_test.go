package live_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"sallyport/sandbox/node"
	"sallyport/sandbox/node/client"
)

// bounded: one customer opens more connections than an address may have. The others do not
// notice, the customer has places again once they are closed, and rules of the operator's own
// are never touched.
func bounded(t *testing.T, m *machine, o *outside, link string) {
	t.Helper()
	const (
		most  = 40
		ours  = "nft list table inet sallyport"
		other = "nft list table inet operator"
		drop  = "/run/systemd/system/sallyport-bound.service.d"
		pid   = "systemctl show --property=MainPID --value sallyport-xray"
	)
	m.do(`nft 'table inet operator { chain input { type filter hook input priority 0; tcp dport 9 drop; }; }'`)
	operators := m.do(other)
	before := m.do(pid)
	binary, err := node.Binary()
	must(t, err)
	// What connects to an address of its own machine comes from that address.
	from := strings.NewReplacer("@"+domain+":", "@"+laterAddress+":", "@"+serverAddress+":", "@"+laterAddress+":").Replace(link)
	app, err := client.Start(t.Context(), binary, from)
	must(t, err)
	defer func() { must(t, app.Stop()) }()
	browser := app.HTTPClient()
	browser.Timeout = 10 * time.Second
	until(t, "bytes from another address", answerLimit, func() error { return fetch(browser) })

	held := hold(t, app.SOCKSAddr(), 2*most)
	if len(held) != 2*most {
		t.Errorf("of %d connections that an address may have %d are open", 2*most, len(held))
	}
	closeAll(held)
	m.do(fmt.Sprintf("mkdir -p %s && printf '[Service]\\nEnvironment=CONNECTIONS=%d\\n' >%s/few.conf && systemctl daemon-reload && systemctl restart sallyport-bound", drop, most, drop))
	held = hold(t, app.SOCKSAddr(), 2*most)
	if len(held) > most || len(held) < most/2 {
		t.Errorf("%d connections of one address are open, want %d", len(held), most)
	}
	if err := fetch(browser); err == nil {
		t.Error("an address that has all its connections gets another")
	}
	o.connects(o.buys(11))
	if after := m.do(pid); after != before {
		t.Errorf("Xray was process %s and is %s", before, after)
	}
	closeAll(held)
	until(t, "places for the customer's connections", answerLimit, func() error { return fetch(browser) })

	m.do("systemctl kill --signal KILL sallyport-xray")
	m.well()
	m.do(ours + " | grep 'ct count over'")
	m.do("rm -r " + drop + " && systemctl daemon-reload")
	m.do("nft delete table inet sallyport && systemctl reload sallyport-bound && " + ours) // as with nftables.service
	m.do("systemctl stop sallyport-xray")
	until(t, "the bound to go with Xray", answerLimit, func() error {
		if out, err := m.try(nil, ours); err == nil {
			return fmt.Errorf("it stays: %s", out)
		}
		return nil
	})
	m.do("systemctl start sallyport-xray && " + ours)
	m.well()
	if now := m.do(other); now != operators {
		t.Errorf("the operator's rules were\n%s\nand are\n%s", operators, now)
	}
	m.do("nft delete table inet operator")
}

// hold opens connections through a customer's app at the same time, and returns those by
// which the page has answered.
func hold(t *testing.T, socks string, many int) []net.Conn {
	t.Helper()
	var (
		held  []net.Conn
		mutex sync.Mutex
		all   sync.WaitGroup
	)
	for range many {
		all.Go(func() {
			dialer, err := proxy.SOCKS5("tcp", socks, nil, proxy.Direct)
			if err != nil {
				return
			}
			conn, err := dialer.Dial("tcp", internetPage)
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+internetPage+"\r\n\r\n"); err == nil {
				_, err = io.ReadFull(conn, make([]byte, 1))
			}
			if err == nil {
				mutex.Lock()
				defer mutex.Unlock()
				held = append(held, conn)
			}
		})
	}
	all.Wait()
	return held
}

func closeAll(held []net.Conn) {
	for _, conn := range held {
		_ = conn.Close()
	}
}
