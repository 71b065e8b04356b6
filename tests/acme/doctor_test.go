package acme_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// finding is a line of the doctor's.
type finding struct{ Name, Status, Found, Todo string }

// doctor calls the doctor with the shop's settings, and returns its lines by name.
func (s *shop) doctor() map[string]finding {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, "doctor", "--json")
	command.Dir, command.Env = s.t.TempDir(), []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range s.env {
		command.Env = append(command.Env, name+"="+value)
	}
	out, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || len(exit.Stderr) > 0 { // Crypto Pay and the node are nowhere
		s.t.Fatalf("%v; it said:\n%s", err, out)
	}
	var report struct{ Checks []finding }
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&report); err != nil {
		s.t.Fatal(err)
	}
	found := make(map[string]finding)
	for _, f := range report.Checks {
		found[f.Name] = f
	}
	return found
}

func (s *shop) wantFindings(want map[string]finding) {
	s.t.Helper()
	got := s.doctor()
	for name, w := range want {
		if g := got[name]; g.Status != w.Status || !strings.Contains(g.Found, w.Found) || !strings.Contains(g.Todo, w.Todo) {
			s.t.Errorf("%s: want %+v, got %+v", name, w, g)
		}
	}
}

func TestTheDoctorSeesACertificateOfACA(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	s.env["HTTP_LISTEN"] = fmt.Sprintf("127.0.0.1:%d", s.http)
	a := notYet(t, s.http, s.https, quarter)
	emulator := s.trusting(a).telegramWith(a.Issued)
	free := finding{Status: "ok", Found: ": free"}
	s.wantFindings(map[string]finding{
		"certificate": {Status: "warn", Found: "refused", Todo: "start the shop"}, "webhook": {Status: "warn", Found: "no webhook"},
		"port:listen": free, "port:http": free, "port:operations": free,
	})
	s.start()
	s.wantFindings(map[string]finding{"certificate": {Status: "fail", Found: "no certificate to show", Todo: "/healthz"}})
	a.open(t)
	s.served(a.Issued, issueLimit)
	s.answers(emulator, 7)
	s.wantFindings(map[string]finding{"certificate": {Status: "fail", Found: "nobody trusts it", Todo: "ACME_CA"}})
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, a.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	s.env["ACME_CA_ROOTS"] = roots
	running := finding{Status: "ok", Found: ": the running shop answers"}
	s.wantFindings(map[string]finding{
		"certificate": {Status: "ok", Found: "89 days left"}, "webhook": {Status: "ok", Found: s.env["PUBLIC_URL"]},
		"port:listen": running, "port:http": running, "port:operations": running, "files": {Status: "ok"},
	})
}

func TestTheDoctorSeesACertificateOfOurOwn(t *testing.T) {
	t.Parallel()
	s := newShop(t, map[string]string{"TLS": "selfsigned"})
	s.env["PUBLIC_URL"] = fmt.Sprintf("https://127.0.0.1:%d", s.https)
	emulator := s.telegramWith(x509.NewCertPool())
	s.wantFindings(map[string]finding{"certificate": {Status: "warn", Found: "no such file", Todo: "sallyport serve"}})
	s.start()
	s.answers(emulator, 7)
	s.wantFindings(map[string]finding{
		"certificate": {Status: "ok", Found: "729 days left"}, "webhook": {Status: "ok"},
		"port:listen": {Status: "ok", Found: "the running shop answers"}, "files": {Status: "ok"},
	})
}
