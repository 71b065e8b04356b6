package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// limit bounds every wait of a test.
const limit = 2 * time.Minute

var program string // the product, built by TestMain

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sallyport-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "sallyport")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "sallyport/cmd/sallyport")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does, whose work is then used again
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the product: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// start starts a world that ends with the test.
func start(t *testing.T, cfg sandbox.Config) *sandbox.World {
	t.Helper()
	if cfg.Program == "" {
		cfg.Program = program
	}
	w, err := sandbox.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the product said:\n%s", w.ProductTail())
		}
		if err := w.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return w
}

// ask sends a request and decodes the JSON answer, whatever its status.
func ask[T any](t *testing.T, method, address, body string) (status int, answer T) {
	t.Helper()
	status, _, text := send(t, method, address, body, nil)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s %s: %v in %s", method, address, err, text)
	}
	return status, answer
}

// send sends a request.
func send(t *testing.T, method, address, body string, header http.Header) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Host = either(header.Get("Host"), request.Host)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, text
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	if err := retry(t.Context(), check); err != nil {
		t.Fatal(err)
	}
}

func retry(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// anna is a customer who reads English.
func anna(w *sandbox.World) *sandbox.Person {
	return w.Person(telegram.User{ID: 7, FirstName: "Anna", LanguageCode: "en"})
}
