package live_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"sallyport/sandbox"
	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/node"
	"sallyport/sandbox/node/client"
	"sallyport/sandbox/telegram"
)

const (
	serverAddress   = "203.0.113.1"
	laterAddress    = "203.0.113.2" // where a server without a name moves
	internetAddress = "203.0.113.10"
	coverAddress    = "203.0.113.20"
	internetPage    = internetAddress + ":8000"
	domain          = "shop.example.test"
	coverName       = "cover.example.test"
	hosts           = "127.0.0.1 localhost\n" + serverAddress + " " + domain + "\n" + coverAddress + " " + coverName + "\n"

	botToken       = "123456:AAHnotarealtokenbutlongenough000000"
	cryptoPayToken = "777:AAnotarealtokeneither"
	greeting       = "hello through the tunnel"
	answerLimit    = 2 * time.Minute
	quarter        = 90 * 24 * 60 * 60 // seconds that a certificate is valid
)

// outside is everything that a shop has to do with and does not run on its server.
type outside struct {
	*sandbox.World // with Telegram and Crypto Pay alone
	t              *testing.T
	telegramAPI    string
	cryptoPayAPI   string
	issued         *x509.CertPool // what the CA's certificates are trusted by
	directory      string         // the address of the CA
	directoryRoot  string         // what the CA's own address is trusted by
	cover          string         // the cover site's name and port
}

// newOutside starts the outside.
func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t}
	o.issued = o.startCA()
	o.openAccounts()
	cover := o.serverAt(coverAddress+":0", http.NotFoundHandler())
	cover.TLS = &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	cover.Config.ErrorLog = log.New(io.Discard, "", 0) // strangers break off handshakes
	cover.StartTLS()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(serve(t, cover), "https://"))
	o.cover = net.JoinHostPort(coverName, port)
	o.startInternet()
	return o
}

// openAccounts gives a seller a bot and a Crypto Pay app that nobody has used. Both trust
// what the CA issues.
func (o *outside) openAccounts() {
	o.t.Helper()
	o.World = &sandbox.World{
		Telegram: telegram.New(telegram.Config{Token: botToken, Speed: 20, Roots: o.issued}),
		CryptoPay: cryptopay.New(cryptopay.Config{
			Token: cryptoPayToken, Speed: 20, Roots: o.issued, PublicURL: "https://pay.example.test",
		}),
	}
	o.t.Cleanup(o.Telegram.Close)
	o.t.Cleanup(o.CryptoPay.Close)
	o.telegramAPI = serve(o.t, httptest.NewServer(o.Telegram))
	o.cryptoPayAPI = serve(o.t, httptest.NewServer(o.CryptoPay)) + "/api"
}

// serve stops a server with the test and returns its address.
func serve(t *testing.T, s *httptest.Server) string {
	t.Cleanup(s.Close)
	return s.URL
}

// startInternet serves a page at an address that only the tunnel is asked for.
func (o *outside) startInternet() {
	o.t.Helper()
	page := o.serverAt(internetPage, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, greeting)
	}))
	page.Start()
	o.t.Cleanup(page.Close)
}

// serverAt is a server that is not started yet, at an address.
func (o *outside) serverAt(address string, handler http.Handler) *httptest.Server {
	o.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(o.t.Context(), "tcp", address)
	must(o.t, err)
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	return server
}

// startCA starts Pebble, which finds every name at the server's address, and returns what
// its certificates are trusted by.
func (o *outside) startCA() *x509.CertPool {
	o.t.Helper()
	for name, value := range map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"} {
		if err := os.Setenv(name, value); err != nil {
			o.t.Fatal(err)
		}
	}
	quiet := log.New(io.Discard, "", 0)
	const resolver = "127.0.0.1:8053" // nobody else is in this network
	names, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{resolver}, Log: quiet})
	if err != nil {
		o.t.Fatal(err)
	}
	names.SetDefaultDNSIPv4(serverAddress)
	names.SetDefaultDNSIPv6("")
	go names.Run()
	o.t.Cleanup(names.Shutdown)
	memory := db.NewMemoryStore()
	issuer := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: quarter}})
	front := wfe.New(quiet, memory, va.New(quiet, 80, 443, false, resolver, memory), issuer,
		[]string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	o.directory = serve(o.t, server) + wfe.DirectoryPath
	o.directoryRoot = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM()) {
		o.t.Fatal("Pebble's root is not readable")
	}
	return roots
}

// comes has a new customer write /start and be answered.
func (o *outside) comes(id int64) *sandbox.Person {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), answerLimit)
	defer cancel()
	p := o.Person(telegram.User{ID: id, FirstName: "Anna", LanguageCode: "en"})
	must(o.t, p.Write("/start"))
	o.sees(ctx, p, "Choose your language")
	return p
}

// buys has a new customer come, choose, pay and receive a key. It returns their link.
func (o *outside) buys(id int64) string {
	o.t.Helper()
	p := o.comes(id)
	ctx, cancel := context.WithTimeout(o.t.Context(), answerLimit)
	defer cancel()
	for _, step := range []struct{ press, see string }{
		{"English", "Fast and private"},
		{"Buy", "Choose a plan"},
		{"Basic", "For how long?"},
		{"30 days", "How would you like to pay?"},
		{"CryptoBot", "Press the button and pay"},
	} {
		_, err := p.Press(step.press)
		must(o.t, err)
		o.sees(ctx, p, step.see)
	}
	pay, err := p.Press("Pay")
	must(o.t, err)
	_, err = p.Pay(pay.URL)
	must(o.t, err)
	shown := o.sees(ctx, p, "vless://")
	link := regexp.MustCompile(`vless://\S+`).FindString(shown.Text)
	if link == "" {
		o.t.Fatal("no link is shown")
	}
	return link
}

func (o *outside) sees(ctx context.Context, p *sandbox.Person, text string) telegram.Message {
	o.t.Helper()
	m, err := p.See(ctx, text)
	must(o.t, err)
	return m
}

// connects starts a customer's app with the link, and waits for bytes through the tunnel.
func (o *outside) connects(link string) {
	o.t.Helper()
	binary, err := node.Binary()
	must(o.t, err)
	app, err := client.Start(o.t.Context(), binary, link)
	must(o.t, err)
	defer func() { must(o.t, app.Stop()) }()
	browser := app.HTTPClient()
	browser.Timeout = 10 * time.Second // a new Xray studies its cover site for five
	until(o.t, "bytes through the tunnel", answerLimit, func() error { return fetch(browser) })
}

// delivered checks that Telegram delivers to the shop at its address, which it trusts by a
// certificate of the shop's own or by the CA's, and that Crypto Pay's callbacks, if it
// knows an address for them, were taken.
func (o *outside) delivered(address string, custom bool) {
	o.t.Helper()
	until(o.t, "Crypto Pay's callbacks", answerLimit, func() error {
		if n := o.CryptoPay.Pending(); n > 0 || !custom && !o.CryptoPay.WebhookEnabled() {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	info := string(o.Telegram.WebhookInfo())
	for _, want := range []string{
		fmt.Sprintf(`"url":%q`, address+"/telegram/webhook"),
		fmt.Sprintf(`"has_custom_certificate":%t`, custom),
	} {
		if !strings.Contains(info, want) {
			o.t.Errorf("the webhook: %s; want %s", info, want)
		}
	}
	if violations := o.Telegram.Violations(); len(violations) > 0 {
		o.t.Errorf("Telegram would not have taken: %v", violations)
	}
}

func fetch(browser *http.Client) error {
	response, err := browser.Get("http://" + internetPage + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || string(text) != greeting {
		return errors.Join(err, fmt.Errorf("the page says %q", text))
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
