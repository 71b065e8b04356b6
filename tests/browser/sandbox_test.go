package browser_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	programs   = "../../.bin"
	startLimit = 2 * time.Minute
	stopLimit  = 30 * time.Second
	look       = 50 * time.Millisecond // how often a condition outside the browser is looked at
)

// ready is what the tests use of the sandbox's ready document.
type ready struct {
	ChatURL     string `json:"chat_url"`
	TelegramAPI string `json:"telegram_api"`
	BotToken    string `json:"bot_token"`
}

// output collects what a program says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startSandbox runs the sandbox until the test ends and returns where its parts are.
func startSandbox(t *testing.T) ready {
	t.Helper()
	program := builtProgram(t, "SALLYPORT_SANDBOX", "sandbox", "make build")
	xray := builtProgram(t, "SALLYPORT_XRAY", "xray", "make .bin/xray")
	file := filepath.Join(t.TempDir(), "ready.json")
	said := &output{}
	cmd := exec.CommandContext(t.Context(), program, "run", "-ready", file)
	cmd.Env = append(os.Environ(), "SALLYPORT_XRAY="+xray)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopLimit
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is seen in what it said
	}()
	t.Cleanup(func() {
		<-ended
		if t.Failed() {
			t.Logf("the sandbox said:\n%s", said)
		}
	})
	return awaitReady(t, file, ended)
}

// builtProgram finds one of our programs: where the variable says, or else in .bin.
func builtProgram(t *testing.T, variable, name, command string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join(programs, name)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no program %s: type `%s` in the project's directory", name, command)
	}
	return path
}

func awaitReady(t *testing.T, file string, ended <-chan struct{}) ready {
	t.Helper()
	tick := time.NewTicker(look)
	defer tick.Stop()
	limit := time.After(startLimit)
	for {
		text, err := os.ReadFile(file)
		if err == nil {
			var r ready
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatalf("ready document: %v", err)
			}
			return r
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("the sandbox ended before it was ready")
		case <-limit:
			t.Fatalf("the sandbox was not ready within %v", startLimit)
		}
	}
}
