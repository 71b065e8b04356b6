package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"sallyport/api"
	"sallyport/sandbox/fault"
)

// clinic is a world and the folder in which the doctor is called.
type clinic struct {
	*world
	dir string
	env []string // over what the world's settings say
}

// newClinic returns a world that is well: the shop has run and set its webhook, and
// runs on if it is told to.
func newClinic(t *testing.T) *clinic {
	t.Helper()
	w := newWorld(t)
	w.config.TLS, w.config.TLSStorage, w.config.ACMECA, w.config.Gate = tlsOff, inFiles, "https://ca.invalid", "off"
	dir := t.TempDir()
	w.config.TLSDir = filepath.Join(dir, "tls")
	w.start()
	operator := w.person(operatorChat)
	operator.write("/start")
	w.waitFor("an answer to the operator", func() bool { return len(operator.live()) > 0 && w.telegram.Pending() == 0 })
	return &clinic{world: w, dir: dir}
}

// examine runs the command and returns what it found, by name.
func (k *clinic) examine() (report diagnosis, byName map[string]check) {
	k.t.Helper()
	out, problems, status := command(k.t, k.dir, append(environ(k.config), k.env...), "doctor", "--json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || problems != "" {
		k.t.Fatalf("%v; it said:\n%s%s", err, out, problems)
	}
	byName = make(map[string]check)
	for _, c := range report.Checks {
		byName[c.Name] = c
		if (c.Status == well) != (c.Todo == "") || c.Found == "" {
			k.t.Errorf("what to do about it? %+v", c)
		}
	}
	if want := map[string]int{well: 0, warns: 0, fails: 1}[report.Status]; status != want {
		k.t.Errorf("status %d of a report that says %s", status, report.Status)
	}
	k.keepsSecrets(out)
	return report, byName
}

func (k *clinic) keepsSecrets(out string) {
	k.t.Helper()
	password := strings.SplitN(strings.SplitN(string(k.config.DatabaseURL), "@", 2)[0], ":", 3)[2]
	for _, s := range []string{string(k.config.BotToken), string(k.config.CryptoPayToken), string(k.config.WebhookSecret), string(k.config.DatabaseURL), password} {
		if s != "" && strings.Contains(out, s) {
			k.t.Errorf("a secret is shown:\n%s", out)
		}
	}
}

// want checks which lines are not ok, and what one of them says.
func (k *clinic) want(unwell map[string]string, name, found, todo string) {
	k.t.Helper()
	report, byName := k.examine()
	got := make(map[string]string)
	for _, c := range report.Checks {
		if c.Status != well && c.Name != "disk" { // of the machine that tests
			got[c.Name] = c.Status
		}
	}
	if diff := cmp.Diff(unwell, got); diff != "" {
		k.t.Errorf("not ok (-want +got):\n%s\n%+v", diff, report)
	}
	if c := byName[name]; !strings.Contains(c.Found, found) || !strings.Contains(c.Todo, todo) {
		k.t.Errorf("%s: want %q and %q: %+v", name, found, todo, c)
	}
}

func TestDoctorFindsAWorldThatIsWellToBeWell(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	k.want(map[string]string{}, "node:de1", "proves REALITY for cover.test", "")
	report, byName := k.examine()
	var names []string
	for _, c := range report.Checks {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{
		"settings", "telegram", "webhook", "certificate", "port:public", "port:listen", "operator", "database", "cryptopay", "node:de1", "disk", "files",
	}, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for name, found := range map[string]string{
		"settings": "1 plans and 1 nodes", "telegram": "@sallyport_bot", "webhook": k.app + "/telegram/webhook", "port:listen": "the running shop answers",
		"database": "schema up to date", "cryptopay": "webhook " + k.app + "/payments/cryptobot",
	} {
		if !strings.Contains(byName[name].Found, found) {
			t.Errorf("%s: want %q: %+v", name, found, byName[name])
		}
	}
	text, _, status := command(t, k.dir, environ(k.config), "doctor")
	if status != 0 || !strings.Contains(text, "\n  ok    telegram     @sallyport_bot\n") {
		t.Errorf("for people, status %d:\n%s", status, text)
	}
	k.keepsSecrets(text)
	k.stopProgram()
	k.want(map[string]string{}, "port:listen", ": free", "")
}

// writeCatalogueWith replaces something in the catalogue.
func (k *clinic) writeCatalogueWith(old, fresh string) {
	k.t.Helper()
	text, err := os.ReadFile(k.config.Catalogue)
	if err != nil {
		k.t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, fresh, 1)
	if changed == string(text) {
		k.t.Fatalf("there is no %q in the catalogue", old)
	}
	if err := os.WriteFile(k.config.Catalogue, []byte(changed), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func TestDoctorFindsEachFaultAndNothingElse(t *testing.T) {
	t.Parallel()
	type fault struct {
		name              string
		make              func(k *clinic)
		unwell            map[string]string
		line, found, todo string
	}
	fail := func(name string) map[string]string { return map[string]string{name: fails} }
	warn := func(name string) map[string]string { return map[string]string{name: warns} }
	for _, f := range []fault{
		{"a wrong token", func(k *clinic) { k.config.BotToken = "123456:AAwrong" }, map[string]string{"telegram": fails, "webhook": warns, "operator": warns}, "telegram", "does not know the token", "@BotFather"},
		{"a token that is none", func(k *clinic) { k.config.BotToken = "nonsense" }, map[string]string{"settings": fails, "telegram": warns, "webhook": warns, "operator": warns}, "settings", "BOT_TOKEN: ", ".env"},
		{"a chat of nobody", func(k *clinic) { k.config.OperatorChat = 99 }, fail("operator"), "operator", "nobody is told what is wrong: sendChatAction: 400 Bad Request: chat not found", "OPERATOR_CHAT"},
		{"no shop has run", func(k *clinic) { k.deleteWebhook() }, warn("webhook"), "webhook", "no webhook is set", "sallyport webhook set"},
		{"another webhook", func(k *clinic) { k.config.PublicURL = strings.Replace(k.app, "127.0.0.1", "localhost", 1) }, map[string]string{"webhook": fails, "cryptopay": warns}, "webhook", "another address: 127.0.0.1", "somebody else"},
		{"other parameters", func(k *clinic) { k.config.MaxWebhooks = 7 }, warn("webhook"), "webhook", "max_connections is 40, not 7", "sallyport webhook set"},
		{"a wrong token of Crypto Pay", func(k *clinic) { k.config.CryptoPayToken = "777:AAwrong" }, fail("cryptopay"), "cryptopay", "does not know the token", "My Apps"},
		{"Crypto Pay reports elsewhere", func(k *clinic) { k.pay.SetWebhook("https://other.example/secret-path") }, warn("cryptopay"), "cryptopay", "another address, other.example:", k0 + "/payments/cryptobot"},
		{"nobody listens where the database should be", func(k *clinic) { k.config.DatabaseURL = "postgres://u:hunter2@127.0.0.1:1/x" }, fail("database"), "database", "connection refused", "PostgreSQL runs"},
		{"a wrong password", func(k *clinic) {
			k.config.DatabaseURL = secret(strings.Replace(string(k.config.DatabaseURL), "@", "x@", 1))
		}, fail("database"), "database", "refuses us", "password"},
		{"no such database", func(k *clinic) { k.config.DatabaseURL = secret(server.Cluster().URL("nowhere")) }, fail("database"), "database", "does not exist", "CREATE DATABASE"},
		{"a pending step", func(k *clinic) {
			k.sql(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
		}, warn("database"), "database", "1 of", "sallyport migrate up"},
		{"a newer schema", func(k *clinic) { k.sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, true)`) }, fail("database"), "database", "newer than this program", "newer sallyport"},
		{"pools that are too large", func(k *clinic) { k.config.WebConns = 300 }, fail("database"), "database", "the shop wants 310 of", "max_connections"},
		{"a port that is taken", func(k *clinic) { k.take(&k.config.Listen) }, fail("port:listen"), "port:listen", "another program has it", "ss -ltnp"},
		{"a taken port for operators", func(k *clinic) { k.take(&k.config.Operations) }, fail("port:operations"), "port:operations", "another program has it", "OPERATIONS_LISTEN"},
		{"an address of another machine", func(k *clinic) { k.config.Listen = "192.0.2.1:8080" }, fail("port:listen"), "port:listen", "does not have that address", ":8080"},
		{"a wrong short id", func(k *clinic) { k.writeCatalogueWith(fmt.Sprintf("%q", k.node.ShortID), `"00ff"`) }, fail("node:de1"), "node:de1", "short_id: \"00ff\" is not one", "both say the same"},
		{"a wrong inbound", func(k *clinic) { k.writeCatalogueWith("inbound: "+k.node.Inbound, "inbound: nope") }, fail("node:de1"), "node:de1", `the node has no "nope", but api-in, vless-reality`, "tag of a VLESS inbound"},
		{"a wrong server name", func(k *clinic) { k.writeCatalogueWith("server_name: cover.test", "server_name: other.test") }, fail("node:de1"), "node:de1", "shows a certificate that is not for other.test", "server_name"},
		{"a closed port", func(k *clinic) { k.writeCatalogueWith(fmt.Sprintf("port: %d", k.node.Port), "port: 1") }, fail("node:de1"), "node:de1", "cannot be reached: ", "firewall"},
		{"a node that is down", func(k *clinic) { k.node.Kill() }, fail("node:de1"), "node:de1", "the API does not answer", "Xray runs"},
		{"a catalogue that is broken", func(k *clinic) { k.writeCatalogueWith("id: basic", "id: BASIC") }, fail("settings"), "settings", "want 1 to 16 of a-z 0-9", "catalogue.example.yaml"},
		{"no catalogue", func(k *clinic) { k.config.Catalogue = "nowhere.yaml" }, fail("settings"), "settings", "nowhere.yaml", "catalogue.example.yaml"},
		{"a file of settings for all to read", func(k *clinic) { k.write(".env", 0o644) }, warn("files"), "files", ".env may be read by everybody: 0644", "chmod o-rwx .env"},
		{"a file of settings that is none", func(k *clinic) { k.write(".env", 0o600, "BOT_TOKEN='"+testBotToken) }, map[string]string{
			"settings": fails, "telegram": warns, "webhook": warns, "certificate": warns, "port:public": warns, "port:listen": warns, "port:operations": warns, "database": warns, "cryptopay": warns,
		}, "settings", ".env: not readable", ".env"},
		{"a secret's file for all to read", func(k *clinic) {
			k.write("token", 0o644, testBotToken)
			k.config.BotToken = ""
			k.env = append(k.env, "BOT_TOKEN_FILE="+filepath.Join(k.dir, "token"))
		}, warn("files"), "files", "token may be read by everybody: 0644", "chmod o-rwx"},
		{"a folder of keys for all to read", func(k *clinic) {
			if err := os.Mkdir(k.config.TLSDir, 0o755); err != nil {
				k.t.Fatal(err)
			}
		}, warn("files"), "files", "0755", "chmod o-rwx"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			k := newClinic(t)
			k.stopProgram()
			f.make(k)
			k.want(f.unwell, f.line, f.found, strings.ReplaceAll(f.todo, k0, k.app))
		})
	}
}

// k0 stands for the world's own address.
const k0 = "{app}"

func (k *clinic) deleteWebhook() {
	k.t.Helper()
	answer, err := http.Get(k.config.TelegramAPI + "/bot" + testBotToken + "/deleteWebhook")
	if err != nil {
		k.t.Fatal(err)
	}
	_ = answer.Body.Close()
}

func (k *clinic) sql(statement string) {
	k.t.Helper()
	conn, err := pgx.Connect(k.t.Context(), string(k.config.DatabaseURL))
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(k.t.Context()))
	if _, err := conn.Exec(k.t.Context(), statement); err != nil {
		k.t.Fatal(err)
	}
}

// take has somebody else listen, and makes the setting that address.
func (k *clinic) take(address *string) {
	k.t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(k.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		k.t.Fatal(err)
	}
	somebody := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = somebody.Serve(listener) }()
	k.t.Cleanup(func() { _ = somebody.Close() })
	*address = listener.Addr().String()
}

func (k *clinic) write(name string, mode os.FileMode, lines ...string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), []byte(strings.Join(lines, "\n")), mode); err != nil {
		k.t.Fatal(err)
	}
}

func TestDoctorComesToAnEndWhateverHangs(t *testing.T) {
	t.Parallel()
	k := newClinic(t)
	k.stopProgram()
	for _, sw := range []*fault.Switch{&k.telegramFault, &k.payFault, &k.nodeFault, &k.dbFault} {
		if err := sw.Set(fault.Hung, 0, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sw.Clear)
	}
	var config net.ListenConfig
	silent, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	k.config.PublicURL, k.config.Listen = "https://"+silent.Addr().String(), silent.Addr().String()
	k.writeCatalogueWith(fmt.Sprintf("port: %d", k.node.Port), fmt.Sprintf("port: %d", silent.Addr().(*net.TCPAddr).Port))
	start := time.Now()
	k.want(map[string]string{
		"telegram": fails, "webhook": warns, "operator": warns, "certificate": warns, "port:listen": fails, "database": fails, "cryptopay": fails, "node:de1": fails,
	}, "database", "no answer in 5s", "")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %s", took)
	}
}

func TestAHungCheckIsGivenUpAndTheOthersAreTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ready := make(chan check, 1)
	ready <- check{Name: "quick", Status: well}
	if c := await(ctx, "quick", ready); c.Status != well {
		t.Errorf("a result that is there: %+v", c)
	}
	if c := await(ctx, "slow", make(chan check)); c.Name != "slow" || c.Status != fails || c.Todo == "" {
		t.Errorf("a check that hangs: %+v", c)
	}
}

// certificateFor makes a certificate as a CA does, and returns it with the CA's own.
func certificateFor(t *testing.T, names []string, until time.Time) (tls.Certificate, []byte) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	begin := until.Add(-90 * 24 * time.Hour)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root"}, NotBefore: begin.Add(-time.Hour), NotAfter: until.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, key := newKey(), newKey()
	rootDER := sign(root, root, rootKey, rootKey)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: begin, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	return tls.Certificate{Certificate: [][]byte{sign(leaf, root, key, rootKey)}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
}

// front puts a proxy with the certificate before the shop.
func (k *clinic) front(certificate tls.Certificate, roots []byte, paths ...string) {
	k.t.Helper()
	to, err := url.Parse(k.app)
	if err != nil {
		k.t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(paths) > 0 && !slices.Contains(paths, r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	proxy.EnableHTTP2 = true
	proxy.StartTLS()
	k.t.Cleanup(proxy.Close)
	k.config.PublicURL, k.config.ACMERoots = proxy.URL, filepath.Join(k.dir, "roots.pem")
	k.write("roots.pem", 0o600, string(roots))
}

func TestDoctorLooksAtTheCertificateThatTheWorldSees(t *testing.T) {
	t.Parallel()
	soon, late, past := time.Now().Add(80*24*time.Hour), time.Now().Add(5*24*time.Hour), time.Now().Add(-time.Hour)
	own := []string{"127.0.0.1"}
	for _, c := range []struct {
		name        string
		names       []string
		until       time.Time
		change      func(k *clinic)
		status      string
		found, todo string
	}{
		{"all is well", own, soon, func(*clinic) {}, well, "79 days left, by Test Root", ""},
		{"a proxy that passes on no more than it must", own, soon, func(k *clinic) {}, well, "79 days left", ""},
		{"few days", own, late, func(*clinic) {}, warns, "4 days left", "renew it there"},
		{"expired", own, past, func(*clinic) {}, fails, "it ended at ", "renew it there"},
		{"another name", []string{"other.example"}, soon, func(*clinic) {}, fails, "other names than 127.0.0.1", "leads to this server"},
		{"our own", own, soon, func(k *clinic) { k.signItself() }, well, "729 days left, by 127.0.0.1", ""},
		{"our own that the shop does not serve", own, soon, func(k *clinic) {
			url := k.config.PublicURL
			k.signItself()
			k.config.PublicURL = url
		}, fails, "nobody trusts it", "not the one in TLS_DIR"},
		{"our own that was not made yet", own, soon, func(k *clinic) { k.config.TLS = tlsSelfSigned }, warns, "no such file", "when it starts"},
		{"nobody's CA", own, soon, func(k *clinic) { k.config.ACMERoots = "" }, fails, "nobody trusts it", "whole chain"},
		{"the shop is down", own, soon, func(k *clinic) { k.stopProgram() }, warns, "the proxy answers 502", "start the shop"},
		{"nobody answers", own, soon, func(k *clinic) { k.config.PublicURL = "https://" + freeAddress(k.t) }, warns, "connection refused", "hairpin NAT"},
		{"no such name", own, soon, func(k *clinic) { k.config.PublicURL = "https://nowhere.invalid" }, fails, "has no address", "DNS"},
		{"no TLS at all", own, soon, func(k *clinic) { k.config.PublicURL = strings.Replace(k.app, "http:", "https:", 1) }, fails, "in the clear", "put a proxy"},
		{"somebody else", own, soon, func(k *clinic) {
			k.take(&k.app)
			k.app = "http://" + k.app
			k.front(certificateFor(k.t, own, soon))
		}, fails, "it is not the shop: 404", "leads to this server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newClinic(t)
			certificate, roots := certificateFor(t, c.names, c.until)
			var paths []string
			if strings.HasPrefix(c.name, "a proxy") {
				paths = []string{"/telegram/webhook", "/payments/cryptobot"}
			}
			k.front(certificate, roots, paths...)
			c.change(k)
			_, byName := k.examine()
			if got := byName["certificate"]; got.Status != c.status || !strings.Contains(got.Found, c.found) || !strings.Contains(got.Todo, c.todo) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// signItself puts a proxy before the shop whose certificate is one of the shop's own.
func (k *clinic) signItself() {
	k.t.Helper()
	k.config.TLS = tlsSelfSigned
	made, err := api.NewSelfSigned(api.SelfSignedConfig{Host: "127.0.0.1", Dir: k.config.TLSDir})
	if err != nil {
		k.t.Fatal(err)
	}
	certificate, err := made.TLS().GetCertificate(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	k.front(*certificate, nil)
}
