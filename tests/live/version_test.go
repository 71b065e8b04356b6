package live_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The shop's database is elsewhere, and of an older version than the programs of the shop's
// server, then of a newer one.
func TestTheDatabaseMayBeOfAnotherVersion(t *testing.T) {
	if !apart(t) {
		return
	}
	o := newOutside(t)
	newer, older := newMachineOf(t, os.Getenv(otherVariable)), newMachine(t)
	const version = `sed -n 's/^VERSION_ID="\(.*\)"/\1/p' /etc/os-release`
	if newer.do(version) < older.do(version) {
		newer, older = older, newer
	}
	dump := newerPrograms(t, newer, older, o)
	olderPrograms(t, newer, older, o, dump)
}

// served sets up PostgreSQL on a machine for another one: a role that may do what it is
// granted, in a database of somebody else, with a table of another program.
func (m *machine) served() {
	m.t.Helper()
	m.do(`apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends postgresql >/dev/null 2>&1
		cd / && runuser -u postgres -- psql -q <<'SQL'
		CREATE ROLE seller LOGIN PASSWORD 'p%w'; CREATE DATABASE shop;
		\c shop
		GRANT USAGE, CREATE ON SCHEMA public TO seller;
		SET ROLE seller; CREATE TABLE of_another AS SELECT 'kept' AS word;
SQL`)
	m.psql = "runuser -u postgres -- psql shop"
}

const elsewhere = "DATABASE_URL=postgres://seller:p%25w@127.0.0.1:5432/shop"

// newerPrograms: the shop's server is newer than the database. It returns a backup.
func newerPrograms(t *testing.T, m, older *machine, o *outside) string {
	t.Helper()
	older.served()
	said := m.install(o, "--domain "+domain, elsewhere)
	if strings.Contains(said, "no backups can be made") {
		t.Errorf("the installer said\n%s", said)
	}
	m.well()
	link := o.buys(7)
	before := older.books()
	made := strings.Fields(m.do("sallyport-backup"))
	o.comes(8) // and is forgotten
	m.do("sallyport-restore " + made[0] + " --yes")
	m.well()
	if before == "" || older.books() != before {
		t.Errorf("the books were\n%s\nand are\n%s", before, older.books())
	}
	if word := older.query("SELECT word FROM of_another"); word != "kept\n" {
		t.Errorf("the table of another program says %q", word)
	}
	o.connects(link)
	m.do("systemctl disable --quiet --now sallyport sallyport-xray")
	older.do("systemctl stop 'postgresql@*'")
	return filepath.Join(m.root, made[0])
}

// olderPrograms: the shop's server is older than the database, and than a backup. What
// cannot be done is said before it is begun, and the shop goes on.
func olderPrograms(t *testing.T, newer, m *machine, o *outside, dump string) {
	t.Helper()
	newer.served()
	o.openAccounts()
	said := m.install(o, "--domain "+domain, elsewhere)
	if !strings.Contains(said, "no backups can be made: ") || !strings.Contains(said, "install postgresql-client-") {
		t.Errorf("the installer said\n%s", said)
	}
	running := m.do("systemctl show --property=MainPID sallyport")
	if out, err := m.try(nil, "sallyport-backup"); err == nil || !strings.Contains(out, "which does not dump it: install postgresql-client-") {
		t.Errorf("a backup by an older client: %v, %s", err, out)
	}
	until(t, "the shop to tell that no backup is made", answerLimit, func() error {
		report, err := m.try(nil, "cd /etc/sallyport && runuser -u sallyport -- sallyport health")
		if strings.Contains(report, "backup_failed") {
			return nil
		}
		return err
	})
	m.host("cp", dump, filepath.Join(m.root, "root", "newer.dump"))
	if out, err := m.try(nil, "sallyport-restore /root/newer.dump --yes"); err == nil || !strings.Contains(out, "made by a newer PostgreSQL") {
		t.Errorf("a newer backup was restored: %v, %s", err, out)
	}
	m.do(`sed -i 's/^var version = .*/var version = "the-next-one"/' cmd/sallyport/main.go`)
	if out, err := m.installs(o, "", elsewhere); err == nil || !strings.Contains(out, "nothing was updated") {
		t.Errorf("updated without a backup: %v\n%s", err, out)
	}
	if now := m.do("systemctl show --property=MainPID sallyport"); now != running {
		t.Error("the shop was stopped for what cannot be done")
	}
	began := time.Now()
	m.install(o, "--no-backup", elsewhere)
	progress("updated without a backup, %s", time.Since(began).Round(time.Second))
	if version := m.do("sallyport version"); version != "sallyport the-next-one\n" {
		t.Errorf("the program is %s", version)
	}
}
