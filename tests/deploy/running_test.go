package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// container is an image that runs.
type container struct {
	t           *testing.T
	image       *image
	environment []string
	log         log
	command     *exec.Cmd
	ended       chan error
}

// log is what a container prints.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps what is printed.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts an image's entry point; the test's end kills what still runs.
func start(t *testing.T, i *image, environment ...string) *container {
	t.Helper()
	c := &container{t: t, image: i, environment: environment}
	c.start()
	t.Cleanup(func() {
		_ = c.command.Process.Kill()
		<-c.ended
		if t.Failed() {
			t.Logf("it printed:\n%s", &c.log)
		}
	})
	return c
}

func (c *container) start() {
	c.t.Helper()
	i := c.image
	c.command = i.process(c.t, append(append([]string{}, i.entry...), i.command...), c.environment...)
	c.command.Stdout, c.command.Stderr = &c.log, &c.log
	if err := c.command.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended, command := make(chan error, 1), c.command
	go func() {
		ended <- command.Wait()
		close(ended)
	}()
	c.ended = ended
}

// end sends a signal and returns how the process ended.
func (c *container) end(signal os.Signal, limit time.Duration) error {
	c.t.Helper()
	if err := c.command.Process.Signal(signal); err != nil {
		c.t.Fatal(err)
	}
	select {
	case err := <-c.ended:
		return err
	case <-time.After(limit):
		c.t.Fatalf("it runs on after %v", limit)
		return nil
	}
}

// healthy waits until the image's own health check passes.
func (c *container) healthy() {
	c.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	limit := time.After(time.Minute)
	for {
		out, err := c.image.process(c.t, c.image.health, c.environment...).CombinedOutput()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case err := <-c.ended:
			c.t.Fatalf("it ended: %v", err)
		case <-limit:
			c.t.Fatalf("it is not healthy: %v, %s", err, out)
		}
	}
}

// freePort returns a port of this machine that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// place puts a file into the image's root, with the mode that its user finds it with.
func (i *image) place(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	path = filepath.Join(i.root, path)
	if err := os.RemoveAll(path); err != nil { // one that may only be read
		t.Fatal(err)
	}
	write(t, path, text)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// onLoopback returns a node's configuration with a port of this machine alone, and with
// a web site that nobody is asked for.
func onLoopback(t *testing.T, text string) string {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	inbound := config["inbounds"].([]any)[1].(map[string]any)
	inbound["listen"], inbound["port"] = "127.0.0.1", freePort(t)
	inbound["streamSettings"].(map[string]any)["realitySettings"].(map[string]any)["target"] = "127.0.0.1:9"
	changed, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(changed)
}

func TestTheNodesImageRunsAndStartsAgainAfterAKill(t *testing.T) {
	t.Parallel()
	i := buildImage(t, "xray")
	for _, program := range []string{"start", "xray"} {
		checkStatic(t, filepath.Join(i.root, program))
	}
	i.mount(t, "/run/xray")
	text := read(t, filepath.Join(initialised(t), "secrets", "xray.json"))
	i.place(t, "/run/secrets/xray_config", text, 0o444)
	if out := run(t, i.process(t, append(append(i.entry[2:3:3], i.command...), "-test"))); strings.Contains(out, "[Warning]") {
		t.Errorf("Xray warns: %s", out)
	}
	i.place(t, "/run/secrets/xray_config", onLoopback(t, text), 0o444)

	node := start(t, i)
	node.healthy()
	socket := filepath.Join(i.root, "/run/xray/api.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode() != fs.ModeSocket|0o600 || !isOwnedBy(info, i) {
		t.Errorf("the API's socket: %v, %v", info.Mode(), err)
	}
	if err := node.end(syscall.SIGKILL, 10*time.Second); err == nil {
		t.Error("it survived being killed")
	}
	if _, err := os.Stat(socket); err != nil {
		t.Fatalf("a killed Xray removed its socket, and the start has nothing to do: %v", err)
	}
	node.start()
	node.healthy()
	if err := node.end(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
	if out, err := i.process(t, i.health).CombinedOutput(); err == nil {
		t.Errorf("a node that does not run is healthy: %s", out)
	}
}

func isOwnedBy(info fs.FileInfo, i *image) bool {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	return owner == i.user || os.Getuid() != 0 && owner == os.Getuid()
}

func TestTheNodesStartRemovesNothingButASocket(t *testing.T) {
	t.Parallel()
	i := buildImage(t, "xray")
	i.mount(t, "/run/xray")
	i.place(t, "/run/xray/api.sock", "not a socket", 0o644)
	out, err := i.process(t, append(i.entry, "version")).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || string(out) != "start: /run/xray/api.sock is no socket\n" {
		t.Errorf("%v\n%s", err, out)
	}
	if text := read(t, filepath.Join(i.root, "/run/xray/api.sock")); text != "not a socket" {
		t.Errorf("the file is %q", text)
	}
	if err := i.process(t, i.entry[:2]).Run(); err == nil {
		t.Error("it starts no program without complaint")
	}
}

// TestTheShopServesInItsImage starts it with the environment, the secrets and the
// catalogue that compose gives it.
func TestTheShopServesInItsImage(t *testing.T) {
	t.Parallel()
	i := buildImage(t, "sallyport")
	dir := initialised(t)
	p, err := load(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	app := p.Services["app"]
	for _, secret := range app.Secrets {
		i.place(t, "/run/secrets/"+secret.Source, read(t, p.Secrets[secret.Source].File), 0o444)
	}
	i.place(t, "/run/secrets/database_url", server.Database(t)+"\n", 0o444)
	for _, volume := range app.Volumes {
		switch volume.Source {
		case filepath.Join(dir, "config"):
			i.place(t, volume.Target+"/catalogue.yaml", read(t, filepath.Join(volume.Source, "catalogue.yaml")), 0o644)
		case "node":
			i.mount(t, volume.Target)
		}
	}
	i.place(t, "/etc/hosts", "127.0.0.1 localhost\n", 0o644) // as an engine does
	changed := map[string]string{
		"LISTEN":            "127.0.0.1:" + strconv.Itoa(freePort(t)),
		"HTTP_LISTEN":       "127.0.0.1:" + strconv.Itoa(freePort(t)),
		"OPERATIONS_LISTEN": ":" + strconv.Itoa(freePort(t)),
		"TELEGRAM_API":      "http://127.0.0.1:9", "CRYPTOPAY_API": "http://127.0.0.1:9", "TLS": "selfsigned",
	}
	var environment []string
	for name, value := range app.Environment {
		if _, ok := changed[name]; !ok && value != nil {
			environment = append(environment, name+"="+*value)
		}
	}
	for name, value := range changed {
		environment = append(environment, name+"="+value)
	}
	shop := start(t, i, environment...)
	shop.healthy()
	written, err := filepath.Glob(filepath.Join(i.root, *app.Environment["TLS_DIR"], "*"))
	if err != nil || len(written) == 0 {
		t.Errorf("its certificate is not on the volume: %v", err)
	}
	if err := shop.end(syscall.SIGTERM, 15*time.Second); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
	if out, err := i.process(t, i.health, environment...).CombinedOutput(); err == nil {
		t.Errorf("a shop that does not run is healthy: %s", out)
	}
	for _, secret := range []string{answers()["BOT_TOKEN"], answers()["CRYPTOPAY_TOKEN"]} {
		if strings.Contains(shop.log.String(), secret) {
			t.Error("it logs a token")
		}
	}
}
