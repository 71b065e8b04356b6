package live_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// command returns the commands that stand under a heading of the documents, as they are.
func command(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/backup.md")
	must(t, err)
	_, rest, found := strings.Cut(string(text), "\n"+heading+"\n")
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(rest)
	if !found || block == nil {
		t.Fatalf("there are no commands under %q", heading)
	}
	return block[1]
}

// books are all rows that say what customers have and paid.
func (m *machine) books() string {
	m.t.Helper()
	var all []string
	for _, table := range []string{"users", "subscriptions", "orders", "invoices", "payment_events", "ledger_postings", "ledger_entries"} {
		all = append(all, table+":\n"+m.query(fmt.Sprintf("SELECT row_to_json(r) FROM %s r ORDER BY row_to_json(r)::text", table)))
	}
	return strings.Join(all, "\n")
}

// unchanged checks that the books are what they were, and that money is in them.
func (m *machine) unchanged(before string) {
	m.t.Helper()
	if after := m.books(); after != before {
		m.t.Errorf("the books were\n%s\nand are\n%s", before, after)
	}
	if !strings.Contains(before, `"status":"paid"`) && !strings.Contains(before, `"state":"paid"`) {
		m.t.Errorf("nobody has paid anything:\n%s", before)
	}
}

// loss is what a server that burned leaves: the files of its last backup, and the program
// that somebody has kept.
type loss struct{ files, program, books, secrets string }

// recovered: a backup of the running shop, a database that is dropped, Xray started anew;
// then the documented commands.
func recovered(t *testing.T, m *machine, o *outside, link string) loss {
	t.Helper()
	before := m.books()
	m.do("rm /var/backups/sallyport/*") // the installer's first one
	made := m.do(command(t, "### Make one now"))
	if mode := m.do("stat -c '%a %U' /var/backups/sallyport /var/backups/sallyport/*"); mode != "700 root\n600 root\n600 root\n" {
		t.Errorf("modes of the backup: %s", mode)
	}
	left := loss{files: t.TempDir(), books: before, secrets: strings.Join(m.secrets(), " ")}
	left.program = filepath.Join(t.TempDir(), "sallyport")
	m.host("cp", filepath.Join(m.root, "usr/local/bin/sallyport"), left.program)
	for _, file := range strings.Fields(made) {
		m.host("cp", filepath.Join(m.root, file), left.files)
	}
	restored(t, m, o, before)
	m.do("cd / && runuser -u postgres -- dropdb --force sallyport && systemctl restart sallyport-xray")
	began := time.Now()
	m.do(command(t, "### The database is gone"))
	m.well()
	progress("restored after the loss of the database, %s", time.Since(began).Round(100*time.Millisecond))
	m.unchanged(before)
	o.connects(link)

	m.do("cd /var/backups/sallyport && touch $(date -u -d '13 days ago' +%Y%m%dT000000Z).dump 20250101T000000Z.dump 20250101T000000Z.etc.tar.gz")
	m.do("systemctl start sallyport-backup.service")
	if kept := m.do("cd /var/backups/sallyport && ls"); strings.Contains(kept, "20250101") || strings.Count(kept, "T000000Z.dump") != 1 {
		t.Errorf("those of 14 days are to be kept, and no older ones:\n%s", kept)
	}
	told(t, m)
	if timer := m.do("systemctl is-enabled sallyport-backup.timer; systemctl is-active sallyport-backup.timer"); timer != "enabled\nactive\n" {
		t.Errorf("the timer is %s", timer)
	}
	return left
}

// restored: the running shop's database goes back to a backup, or stays as it is.
func restored(t *testing.T, m *machine, o *outside, before string) {
	t.Helper()
	if out, err := m.try(nil, "sallyport-restore /var/backups/sallyport/*.dump"); err == nil || !strings.Contains(out, "the shop runs") {
		t.Errorf("a running shop's database was replaced without asking: %v, %s", err, out)
	}
	o.comes(8) // and is forgotten
	m.do("cp /var/backups/sallyport/*.dump /root/first.dump")
	m.do("sallyport-restore /root/first.dump --yes")
	m.well()
	m.unchanged(before)

	running := m.do("systemctl show --property=MainPID sallyport")
	m.do(`head -c $(($(wc -c </root/first.dump) - 1000)) /root/first.dump >/root/half.dump`)
	if out, err := m.try(nil, "sallyport-restore /root/half.dump --yes"); err == nil || !strings.Contains(out, "it cannot be read to its end") {
		t.Errorf("half a backup was restored: %v, %s", err, out)
	}
	if now := m.do("systemctl show --property=MainPID sallyport"); now != running {
		t.Error("the shop was stopped for a backup that cannot be restored")
	}
	m.do("systemd-run --quiet --unit holder --uid sallyport psql --dbname sallyport --command 'SELECT pg_sleep(600)'")
	if out, err := m.try(nil, "sallyport-restore /root/first.dump --yes"); err == nil || !strings.Contains(out, "others are connected") {
		t.Errorf("restored beside others: %v, %s", err, out)
	}
	m.do("systemctl is-active sallyport")
	m.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
	m.well()
	m.unchanged(before)

	m.do(command(t, "### Go back to one"))
	m.well()
	m.unchanged(before)
}

// upgraded: a new program replaces the old one, which is kept.
func upgraded(t *testing.T, m *machine, o *outside, link string) {
	t.Helper()
	before := m.books()
	m.do(`sed -i 's/^var version = .*/var version = "the-next-one"/' cmd/sallyport/main.go`)
	if !strings.Contains(command(t, "## Upgrade"), "git pull\ndeploy/install.sh\n") {
		t.Fatal("the upgrade is documented otherwise")
	}
	if out, err := m.try(goEnvironment(), command(t, "### Try an update on a copy")); err != nil || !strings.Contains(out, "Building sallyport") {
		t.Errorf("an update on a copy: %v\n%s", err, out)
	}
	said := m.install(o, "")
	if version := m.do("sallyport version"); version != "sallyport the-next-one\n" || !strings.Contains(said, "a backup before the update") {
		t.Errorf("%s after\n%s", version, said)
	}
	m.well()
	m.unchanged(before)
	m.do(command(t, "A step of the schema runs under the program before it too, so going back needs no restore:"))
	if version := m.do("sallyport version"); version == "sallyport the-next-one\n" {
		t.Error("the program is still the new one")
	}
	m.well()
	o.connects(link)
}

// moved: the server is gone. On a new one, with the files of the backup, the same key
// works; then it becomes a server without a name.
func moved(t *testing.T, o *outside, link string, left loss) {
	t.Helper()
	m := newestMachine(t)
	must(t, os.WriteFile(filepath.Join(m.root, "etc/ssl/ca.pem"), []byte(o.directoryRoot), 0o644))
	m.host("bash", "-c", `cp "$0"/* "$1"`, left.files, filepath.Join(m.root, "root"))
	m.host("cp", left.program, filepath.Join(m.root, clone, ".bin", "sallyport"))
	m.do("useradd --system filler && useradd --system another") // here the same users have other numbers
	began := time.Now()
	if out := m.do(command(t, "### A new server")); !strings.Contains(out, "The programs in .bin are current") {
		t.Errorf("what was built already was not used:\n%s", out)
	}
	progress("moved to a new server, %s", time.Since(began).Round(100*time.Millisecond))
	m.well()
	m.unchanged(left.books)
	if now := strings.Join(m.secrets(), " "); now != left.secrets {
		t.Error("the new server has other secrets")
	}
	o.connects(link)
	nameless(t, m, o)
}

// nameless: another seller, with nothing but an address.
func nameless(t *testing.T, m *machine, o *outside) {
	t.Helper()
	m.do("systemctl stop sallyport sallyport-xray && rm -rf /etc/sallyport /var/lib/sallyport && cd / && runuser -u postgres -- dropdb sallyport")
	o.openAccounts()
	if out, err := m.installs(o, ""); err == nil || !strings.Contains(out, "give it with --address") {
		t.Errorf("no address, and no word of it: %v\n%s", err, out)
	}
	said := m.install(o, "--address "+serverAddress+" --shop-port 443 --vpn-port 8443")
	if !strings.Contains(said, "Nothing at Crypto Pay") {
		t.Errorf("Crypto Pay is said to call an address:\n%s", said)
	}
	m.well()
	o.connects(o.buys(9)) // Crypto Pay calls nobody: the payment is found by asking
	o.delivered("https://"+serverAddress, true)
	m.do("rm /root/*.dump /root/*.etc.tar.gz && sallyport-backup && cp $(ls /var/backups/sallyport/*.dump | tail -n 1) $(ls /var/backups/sallyport/*.etc.tar.gz | tail -n 1) /root")
	before := m.books()
	m.do("systemctl stop sallyport sallyport-xray && rm -rf /etc/sallyport /var/lib/sallyport && cd / && runuser -u postgres -- dropdb sallyport")
	m.do(command(t, "### A new server without a name"))
	m.well()
	m.unchanged(before)
	o.delivered("https://"+laterAddress, true)
	link := o.buys(10)
	if !strings.Contains(link, "@"+laterAddress+":8443") {
		t.Errorf("after the move customers are given %s", link)
	}
	o.connects(link)
}

// told: a backup that fails is told, by the next look, and so is that it is mended.
func told(t *testing.T, m *machine) {
	t.Helper()
	m.do("mv /var/backups/sallyport /root/kept && touch /var/backups/sallyport")
	if out, err := m.try(nil, "systemctl start sallyport-backup.service"); err == nil {
		t.Errorf("a backup is made where there is no folder: %s", out)
	}
	until(t, "the shop to tell that the backup failed", answerLimit, func() error {
		report, _ := m.try(nil, "cd /etc/sallyport && runuser -u sallyport -- sallyport health")
		if !strings.Contains(report, "backup_failed") || !strings.Contains(report, "could not make a folder") {
			return errors.New(report)
		}
		return nil
	})
	m.do("rm /var/backups/sallyport && mv /root/kept /var/backups/sallyport && systemctl start sallyport-backup.service")
	m.well()
}
