package acme_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"sallyport/sandbox/process"
)

// quarter is how long Pebble's certificates are valid unless a test says otherwise.
const quarter = 90 * 24 * 60 * 60

// authority is a CA. It resolves every name to this machine, and reaches it by the
// two ports that it is given.
type authority struct {
	Directory string         // the address of its directory
	RootsFile string         // what the directory itself is trusted by
	Issued    *x509.CertPool // what its certificates are trusted by
	Root      []byte         // the same as PEM

	handler http.Handler
	server  *httptest.Server
	orders  atomic.Int32
	down    atomic.Bool
	noARI   bool // it has no say in when to renew
}

// newAuthority starts a CA whose certificates are valid for so many seconds.
func newAuthority(t *testing.T, httpPort, tlsPort int, seconds uint64) *authority {
	t.Helper()
	a := notYet(t, httpPort, tlsPort, seconds)
	a.open(t)
	return a
}

// notYet makes a CA that does not listen yet.
func notYet(t *testing.T, httpPort, tlsPort int, seconds uint64) *authority {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	resolver := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	names, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{resolver}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	names.SetDefaultDNSIPv4("127.0.0.1")
	names.SetDefaultDNSIPv6("")
	go names.Run()
	t.Cleanup(names.Shutdown)
	memory := db.NewMemoryStore()
	issuer := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: seconds}})
	front := wfe.New(quiet, memory, va.New(quiet, httpPort, tlsPort, false, resolver, memory), issuer,
		[]string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	a := &authority{handler: front.Handler(), Issued: x509.NewCertPool()}
	a.Root = issuer.GetRootCert(0).PEM()
	if !a.Issued.AppendCertsFromPEM(a.Root) {
		t.Fatal("Pebble's root is not readable")
	}
	a.server = httptest.NewUnstartedServer(a)
	_ = a.server.Listener.Close()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	a.Directory = "https://" + address + wfe.DirectoryPath
	a.RootsFile = filepath.Join(t.TempDir(), "roots.pem")
	other := httptest.NewTLSServer(http.NotFoundHandler()) // all of them have one certificate
	defer other.Close()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})
	if err := os.WriteFile(a.RootsFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// open lets the CA listen.
func (a *authority) open(t *testing.T) {
	t.Helper()
	address := a.Directory[len("https://") : len(a.Directory)-len(wfe.DirectoryPath)]
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	a.server.Listener = listener
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.down.Load() {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if r.URL.Path == "/order-plz" {
		w = orderCounter{ResponseWriter: w, orders: &a.orders}
	}
	if r.URL.Path == wfe.DirectoryPath && a.noARI {
		a.serveDirectory(w, r)
		return
	}
	a.handler.ServeHTTP(w, r)
}

// orderCounter counts the orders that are accepted: Pebble sends some away for the
// sake of exercise, to come again.
type orderCounter struct {
	http.ResponseWriter

	orders *atomic.Int32
}

func (c orderCounter) WriteHeader(code int) {
	if code == http.StatusCreated {
		c.orders.Add(1)
	}
	c.ResponseWriter.WriteHeader(code)
}

// serveDirectory serves the directory without the page that says when to renew: Pebble
// suggests any moment of two days, whatever the life of a certificate.
func (a *authority) serveDirectory(w http.ResponseWriter, r *http.Request) {
	recorded := httptest.NewRecorder()
	a.handler.ServeHTTP(recorded, r)
	var directory map[string]any
	if err := json.Unmarshal(recorded.Body.Bytes(), &directory); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	delete(directory, "renewalInfo")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(directory)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
