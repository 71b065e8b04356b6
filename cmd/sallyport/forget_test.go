package main

import (
	"strings"
	"testing"
)

func TestACustomerIsForgottenOnTheirWish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	const id = 100200300
	anna := w.person(id)
	forget := func() (string, error) {
		said, problems, status := command(t, t.TempDir(), environ(w.config), "forget", "100200300")
		if status != 0 {
			return problems, errReported
		}
		return said, nil
	}
	invoice := anna.order("30 дней")
	if said, err := forget(); err == nil || !strings.Contains(said, "can still be paid") {
		t.Errorf("with an open order: %v, %s", err, said)
	}
	anna.paid(invoice)
	link := key(anna.see("Нажмите на ключ"))
	w.waitFor("the key to work", func() bool { return w.connects(link) == nil })
	w.waitFor("all that is to be done for them to be done", func() bool {
		open, err := w.store.OpenMatters(t.Context(), id)
		return err == nil && open.None()
	})
	said, err := forget()
	if err != nil || !strings.Contains(said, "Customer 100200300 is forgotten.") || !strings.Contains(said, "stay in the books") {
		t.Fatalf("%v, %s", err, said)
	}
	if w.connects(link) == nil {
		t.Error("their key still works")
	}
	var known, off int
	if err := w.store.Pool().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM users WHERE id > 0) + (SELECT count(*) FROM inbox WHERE lane > 0), (SELECT sum(minor) FROM ledger_entries)`).Scan(&known, &off); err != nil || known != 0 || off != 0 {
		t.Errorf("%d rows know them, the books are off by %d, %v", known, off, err)
	}
	if said, err := forget(); err != nil || said != "Nothing is kept of customer 100200300.\n" {
		t.Errorf("once more: %v, %s", err, said)
	}
	anna.write("/start")
	anna.see("Choose your language") // as somebody new
}

func TestNobodyIsForgottenWhoCannotBe(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"-100", "0", "anna"} {
		if _, problems, status := command(t, t.TempDir(), environ(config{}), "forget", "--", user); status == 0 || problems == "" {
			t.Errorf("%s: %d, %s", user, status, problems)
		}
	}
}
