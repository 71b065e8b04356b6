package node_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"sallyport/sandbox/node"
	"sallyport/sandbox/node/client"
	"sallyport/sandbox/process"
)

const page = "You are through."

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func binary(t *testing.T) string {
	t.Helper()
	path, err := node.Binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, cfg node.Config) *node.Node {
	t.Helper()
	cfg.Binary = binary(t)
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// site is a page on this machine; the result is its address.
func site(t *testing.T) (address string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, page)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func newUser(name string) node.User { return node.User{ID: uuid.NewString(), Email: name} }

func shareLink(n *node.Node, id string) string {
	q := url.Values{
		"encryption": {"none"}, "security": {"reality"}, "type": {"tcp"}, "flow": {"xtls-rprx-vision"},
		"sni": {n.ServerName}, "fp": {"chrome"}, "pbk": {n.PublicKey}, "sid": {n.ShortID},
	}
	return "vless://" + id + "@" + net.JoinHostPort(n.Host, strconv.Itoa(n.Port)) + "?" + q.Encode() + "#test"
}

func connect(t *testing.T, link string) *client.Client {
	t.Helper()
	c, err := client.Start(t.Context(), binary(t), link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func fetch(ctx context.Context, c *http.Client, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func mustFetch(t *testing.T, c *client.Client, address string) {
	t.Helper()
	if got, err := fetch(t.Context(), c.HTTPClient(), address); err != nil || got != page {
		t.Fatalf("fetched %q, %v", got, err)
	}
}

func mustNotFetch(t *testing.T, c *client.Client, address string) {
	t.Helper()
	if got, err := fetch(t.Context(), c.HTTPClient(), address); err == nil {
		t.Errorf("%s answered %q through the tunnel", address, got)
	}
}

func TestCustomerFetchesAPage(t *testing.T) {
	t.Parallel()
	address, user := site(t), newUser("a000001")
	n := start(t, node.Config{Allow: []string{address}, Clients: []node.User{user}})
	if n.Port >= 32768 || n.ServerName != "cover.test" || n.Inbound != "vless-reality" || !n.Running() {
		t.Errorf("node %s:%d %s %s", n.Host, n.Port, n.ServerName, n.Inbound)
	}
	c := connect(t, shareLink(n, user.ID))
	mustFetch(t, c, address)
	if c.Link().ID != user.ID || c.SOCKSAddr() == "" {
		t.Errorf("client of %s at %q", c.Link().ID, c.SOCKSAddr())
	}
}

func TestStrangerIsRefused(t *testing.T) {
	t.Parallel()
	address := site(t)
	n := start(t, node.Config{Allow: []string{address}, Clients: []node.User{newUser("a000001")}})
	mustNotFetch(t, connect(t, shareLink(n, uuid.NewString())), address)
}

func TestProbeSeesTheCoverSite(t *testing.T) {
	t.Parallel()
	n := start(t, node.Config{ServerName: "shop.test"})
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "shop.test", InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(n.Host, strconv.Itoa(n.Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	seen := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if err := seen.VerifyHostname("shop.test"); err != nil {
		t.Error(err)
	}
}

// Every spelling of this machine must be closed, but for the one allowed page.
func TestMachineIsClosedToCustomers(t *testing.T) {
	t.Parallel()
	allowed, closed, user := site(t), site(t), newUser("a000001")
	n := start(t, node.Config{Allow: []string{allowed}, Clients: []node.User{user}})
	c := connect(t, shareLink(n, user.ID))
	mustFetch(t, c, allowed)
	_, closedPort, _ := net.SplitHostPort(closed)
	_, apiPort, _ := net.SplitHostPort(n.APIAddr)
	hosts := []string{"127.0.0.1", "127.0.0.9", "0.0.0.0", "localhost", "LOCALHOST", "::1", "::", "::ffff:127.0.0.1"}
	for _, h := range hosts {
		t.Run(h, func(t *testing.T) {
			t.Parallel()
			for name, port := range map[string]string{"site": closedPort, "API": apiPort} {
				if reply := throughSOCKS(t, c.SOCKSAddr(), h, port); len(reply) > 0 {
					t.Errorf("the %s at %s answered %q", name, h, reply)
				}
			}
		})
	}
	mustFetch(t, c, allowed)
}

// throughSOCKS asks the tunnel for a host exactly as spelt, speaks HTTP/2's and
// HTTP/1's openings there, and returns what comes back.
func throughSOCKS(t *testing.T, socks, host, port string) []byte {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", socks)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	request := []byte{5, 1, 0, 3, byte(len(host))}
	request = append(request, host...)
	if ip := net.ParseIP(host); ip != nil && strings.Contains(host, ":") {
		request = append([]byte{5, 1, 0, 4}, ip.To16()...)
	} else if ip != nil {
		request = append([]byte{5, 1, 0, 1}, ip.To4()...)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	request = append(request, byte(number>>8), byte(number))
	conn.Write([]byte{5, 1, 0})
	if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	conn.Write(request)
	if _, err := io.ReadFull(conn, make([]byte, 10)); err != nil {
		return nil // refused at once
	}
	conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	reply, _ := io.ReadAll(io.LimitReader(conn, 16))
	return reply
}

func TestUsersComeAndGoThroughTheAPI(t *testing.T) {
	t.Parallel()
	address, user := site(t), newUser("a000002")
	n := start(t, node.Config{Allow: []string{address}})
	c := connect(t, shareLink(n, user.ID))
	mustNotFetch(t, c, address)
	add := fmt.Sprintf(`{"inbounds": [{"tag": %q, "listen": "127.0.0.1", "port": 1, "protocol": "vless", "settings":
		{"decryption": "none", "clients": [{"id": %q, "email": %q, "flow": "xtls-rprx-vision"}]}}]}`, n.Inbound, user.ID, user.Email)
	file := filepath.Join(t.TempDir(), "add.json")
	if err := os.WriteFile(file, []byte(add), 0o600); err != nil {
		t.Fatal(err)
	}
	api(t, n, "adu", file)
	mustFetch(t, c, address)
	var stats struct {
		Stat []struct {
			Name  string
			Value int64
		}
	}
	if err := json.Unmarshal(api(t, n, "statsquery", "-pattern", "user>>>"+user.Email+">>>"), &stats); err != nil {
		t.Fatal(err)
	}
	if len(stats.Stat) != 2 || stats.Stat[0].Value == 0 {
		t.Errorf("counters %+v", stats)
	}
	api(t, n, "rmu", "-tag="+n.Inbound, user.Email)
	mustNotFetch(t, c, address)
}

// api runs the API command of the Xray program.
func api(t *testing.T, n *node.Node, command string, args ...string) []byte {
	t.Helper()
	args = append([]string{"api", command, "--server=" + n.APIAddr}, args...)
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xray %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return out
}

func TestKilledNodeComesBackTheSame(t *testing.T) {
	t.Parallel()
	address, user := site(t), newUser("a000001")
	n := start(t, node.Config{Allow: []string{address}, Clients: []node.User{user}})
	c := connect(t, shareLink(n, user.ID))
	mustFetch(t, c, address)
	pid := n.Pid()
	n.Kill()
	if n.Running() || process.Alive(pid) {
		t.Error("the killed node still runs")
	}
	var dialer net.Dialer
	if conn, err := dialer.DialContext(t.Context(), "tcp", n.APIAddr); err == nil {
		conn.Close()
		t.Error("the API of the killed node still answers")
	}
	for range 2 { // after a kill, and in good health
		if err := n.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustFetch(t, c, address)
	}
	if n.Pid() == pid {
		t.Error("the process is the same")
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := n.Restart(t.Context()); err == nil {
		t.Error("a stopped node restarted")
	}
}

func TestDirectoryKeepsKeysAndPorts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, node.Config{Dir: dir})
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, node.Config{Dir: dir})
	if shareLink(first, "x") != shareLink(second, "x") || first.APIAddr != second.APIAddr {
		t.Errorf("links %s and %s", shareLink(first, "x"), shareLink(second, "x"))
	}
	info, err := os.Stat(filepath.Join(dir, "node.json"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the keys have mode %o", info.Mode().Perm())
	}
}

func TestBadDestinationsAreRefused(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"127.0.0.1", "localhost:80", "127.0.0.1:0", "127.0.0.1:x", ":80", "127.0.0.0/8:18999"} {
		_, err := node.Start(t.Context(), node.Config{Binary: binary(t), APIPort: 18999, Allow: []string{entry}})
		if err == nil || !strings.Contains(err.Error(), "allowed destination") {
			t.Errorf("%q: %v", entry, err)
		}
	}
}
