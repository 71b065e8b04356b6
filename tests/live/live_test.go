package live_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// installs runs the installer, with secrets in the environment and the outside of the
// test in place of the real one.
func (m *machine) installs(o *outside, options string, env ...string) (string, error) {
	m.t.Helper()
	env = append(append(env, goEnvironment()...), "BOT_TOKEN="+botToken, "CRYPTOPAY_TOKEN="+cryptoPayToken)
	return m.try(env, "deploy/install.sh "+options+
		" --cover "+o.cover+" --support @sallyport_support"+
		" --set TELEGRAM_API="+o.telegramAPI+" --set CRYPTOPAY_API="+o.cryptoPayAPI+
		" --set ACME_CA="+o.directory+" --set ACME_CA_ROOTS=/etc/ssl/ca.pem --set TIMEZONE=Europe/Moscow")
}

// goEnvironment has Go build on a machine from what is on ours.
func goEnvironment() []string {
	return []string{"GOPROXY=file://" + fetchedModules, "GOCACHE=" + builtPackages, "GOFLAGS=-modcacherw"}
}

// install installs and returns what the installer said.
func (m *machine) install(o *outside, options string, env ...string) string {
	m.t.Helper()
	must(m.t, os.WriteFile(filepath.Join(m.root, "etc/ssl/ca.pem"), []byte(o.directoryRoot), 0o644))
	began := time.Now()
	said, err := m.installs(o, options, env...)
	if err != nil {
		m.t.Fatalf("the installer failed: %v\n%s", err, said)
	}
	progress("installed (%s), %s", options, time.Since(began).Round(100*time.Millisecond))
	for _, hidden := range append(m.secrets(), botToken, cryptoPayToken) {
		if strings.Contains(said, hidden) {
			m.t.Errorf("the installer shows a secret:\n%s", said)
		}
	}
	if regexp.MustCompile(`(?m)^  fail`).MatchString(said) || !strings.Contains(said, "proves REALITY") {
		m.t.Errorf("the shop's own look at itself:\n%s", said)
	}
	return said
}

// secrets are all that the machine keeps.
func (m *machine) secrets() []string {
	m.t.Helper()
	return strings.Fields(m.do(`cat /etc/sallyport/secrets/*; sed -n 's/.*"privateKey": "\([^"]*\)".*/\1/p' /etc/sallyport/xray.json`))
}

// well waits until the shop finds every component well.
func (m *machine) well() {
	m.t.Helper()
	until(m.t, "every component to be well", time.Minute, func() error {
		report, err := m.try(nil, "cd /etc/sallyport && runuser -u sallyport -- sallyport health")
		for line := range strings.Lines(report) {
			if err == nil && !strings.HasPrefix(line, "ok ") {
				err = fmt.Errorf("%s", report)
			}
		}
		return err
	})
}

// A seller with a domain: from a bare server to bytes through a tunnel that was paid for,
// and then everything that may happen to the server.
func TestABareServerBecomesALiveShop(t *testing.T) {
	if !apart(t) {
		return
	}
	m, o := newMachine(t), newOutside(t)
	uncovered(t, m)
	said := m.install(o, "--domain "+domain)
	m.well()
	builtThere(t, m, said)
	o.CryptoPay.SetWebhook(regexp.MustCompile(`https://\S+/payments/cryptobot`).FindString(said)) // by hand, as it says
	link := o.buys(7)
	o.connects(link)
	o.delivered("https://"+domain+":8443", false)
	again(t, m, o, link)
	hardened(t, m)
	bounded(t, m, o, link)
	killed(t, m, o, link)
	rebound(t, m, link)
	lost := recovered(t, m, o, link)
	upgraded(t, m, o, link)
	m.boot.Kill()
	moved(t, o, link, lost)
}

// uncovered: there is no web site that all installations look like.
func uncovered(t *testing.T, m *machine) {
	t.Helper()
	out, err := m.try([]string{"BOT_TOKEN=" + botToken, "CRYPTOPAY_TOKEN=" + cryptoPayToken}, "deploy/install.sh --domain "+domain)
	if err == nil || !strings.Contains(out, "--cover: want the web site that the node looks like") {
		t.Errorf("without a cover: %v, %s", err, out)
	}
}

// builtThere: the shop was built on the machine, by the Go that is pinned.
func builtThere(t *testing.T, m *machine, said string) {
	t.Helper()
	version, err := pinnedGo()
	must(t, err)
	if !strings.Contains(said, "Fetching Go "+version) {
		t.Errorf("the installer said\n%s", said)
	}
	m.do("grep --quiet --text --fixed-strings go" + version + " /usr/local/bin/sallyport")
}

// again: a second run of the installer changes nothing.
func again(t *testing.T, m *machine, o *outside, link string) {
	t.Helper()
	pids := "systemctl show --property=MainPID sallyport sallyport-xray"
	before, running := m.state(), m.do(pids)
	m.install(o, "--domain "+domain+" --support @somebody_else")
	if after := m.state(); after != before {
		t.Errorf("a second run changed\n%s\nto\n%s", before, after)
	}
	if now := m.do(pids); now != running {
		t.Errorf("a second run restarted services: %s, then %s", running, now)
	}
	o.connects(link)
}

// hardened: the services run as they should, and nobody else reads the secrets.
func hardened(t *testing.T, m *machine) {
	t.Helper()
	if out := m.do("systemd-analyze verify sallyport.service sallyport-xray.service sallyport-bound.service sallyport-backup.service sallyport-backup.timer 2>&1"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	m.do("systemd-analyze security --offline=yes --threshold=25 /etc/systemd/system/sallyport-backup.service")
	m.do("systemd-analyze security --offline=yes --threshold=25 /etc/systemd/system/sallyport-bound.service")
	for _, unit := range []string{"sallyport", "sallyport-xray"} {
		m.do("systemd-analyze security --offline=yes --threshold=17 /etc/systemd/system/" + unit + ".service")
		pid := strings.TrimSpace(m.do("systemctl show --property=MainPID --value " + unit))
		if limits := m.do("systemctl show --property=MemoryMax --property=TasksMax --property=LimitCORE " + unit); strings.Contains(limits, "infinity") {
			t.Errorf("%s may use up the server: %s", unit, limits)
		}
		if first := m.do("cat /proc/" + pid + "/oom_score_adj"); first == "0\n" {
			t.Errorf("%s may be kept before PostgreSQL", unit)
		}
		status := m.do("cat /proc/" + pid + "/status")
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000400"} {
			if !strings.Contains(status, want) {
				t.Errorf("%s runs without %s", unit, want)
			}
		}
		if line := m.do("tr '\\0' '\\n' </proc/" + pid + "/environ; tr '\\0' '\\n' </proc/" + pid + "/cmdline"); strings.Contains(line, botToken) {
			t.Errorf("%s shows the token in its environment", unit)
		}
	}
	readable := "find /etc/sallyport /var/lib/sallyport /var/backups /run/sallyport-xray -type f -readable -o -type s -writable"
	if out, _ := m.try(nil, "runuser -u nobody -- "+readable+" 2>/dev/null"); out != "" {
		t.Errorf("anybody may read %s", out)
	}
	if out, _ := m.try(nil, "runuser -u xray -- find /etc/sallyport /var/lib/sallyport -type f -readable 2>/dev/null"); out != "/etc/sallyport/xray.json\n" {
		t.Errorf("Xray may read %s", out)
	}
	if out, _ := m.try(nil, "runuser -u sallyport -- cat /etc/sallyport/xray.json"); !strings.Contains(out, "Permission denied") {
		t.Error("the shop may read Xray's private key")
	}
	log := m.do("journalctl --no-pager --output cat; cat /var/log/sallyport-install.log")
	for _, hidden := range m.secrets() {
		if strings.Contains(log, hidden) {
			t.Error("the log shows a secret")
		}
	}
}

// killed: both programs come back by themselves, whatever they leave behind, and so does
// the customer's access.
func killed(t *testing.T, m *machine, o *outside, link string) {
	t.Helper()
	m.do("systemctl kill --signal KILL sallyport-xray sallyport")
	m.well()
	o.connects(link)
	m.do("systemctl reload sallyport")
	m.well()
	stopped(t, m)
}

// stopped: a process that hangs altogether is started anew.
func stopped(t *testing.T, m *machine) {
	t.Helper()
	const quick = "/run/systemd/system/sallyport.service.d"
	m.do("mkdir -p " + quick + " && printf '[Service]\\nWatchdogSec=5\\nTimeoutAbortSec=2\\n' >" + quick + "/quick.conf && systemctl daemon-reload && systemctl restart sallyport")
	m.well()
	const pid = "systemctl show --property=MainPID --value sallyport"
	before := m.do(pid)
	m.do("systemctl kill --signal STOP sallyport")
	until(t, "another process", time.Minute, func() error {
		if now := m.do(pid); now == before || now == "0\n" {
			return fmt.Errorf("it is still %s", now)
		}
		return nil
	})
	m.do("rm -r " + quick + " && systemctl daemon-reload && systemctl restart sallyport")
	m.well()
}
