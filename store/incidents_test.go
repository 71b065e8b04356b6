package store_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/store"
)

func TestIncidentsAreRememberedUntilTheyAreClosed(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	now := time.Now().UTC().Truncate(time.Microsecond)
	one := store.Incident{Component: "node:a", Code: "node_unreachable", Reason: "refused", Since: now, Told: now}
	two := store.Incident{Component: "jobs", Code: "jobs_late", Since: now.Add(time.Second), Count: 3, Told: now}
	again := one
	again.Reason, again.Count, again.Told = "other", 2, now.Add(time.Hour)
	for _, i := range []store.Incident{two, one, again} {
		if err := s.OpenIncident(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	read := func() []store.Incident {
		open, err := s.Incidents(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range open {
			open[i].Since, open[i].Told = open[i].Since.UTC(), open[i].Told.UTC()
		}
		return open
	}
	one.Count, one.Told = again.Count, again.Told // the rest is as it was at the beginning
	if diff := cmp.Diff([]store.Incident{one, two}, read()); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := s.CloseIncident(ctx, "node:a", "node_unreachable"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]store.Incident{two}, read()); diff != "" {
		t.Error(diff)
	}
}

func TestASecretIsGoodUntilItsGraceIsOver(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	old, fresh := sha256.Sum256([]byte("old")), sha256.Sum256([]byte("new"))
	announce := func(digest [32]byte, want bool) {
		t.Helper()
		if known, err := s.AnnounceSecret(ctx, digest); err != nil || (known == 0) != want {
			t.Errorf("known for %s, %v", known, err)
		}
	}
	good := func(want ...[32]byte) {
		t.Helper()
		life, err := s.Beat(ctx, store.Sign{Holder: "one", Clock: time.Now()}, 5*time.Second)
		digests := life.Secrets
		if err != nil || len(digests) != len(want) {
			t.Fatalf("%d are good, %v", len(digests), err)
		}
		for _, digest := range want {
			if !slices.Contains(digests, digest) {
				t.Error("one is not good")
			}
		}
	}
	good()
	announce(old, true)
	announce(old, false)
	announce(fresh, true)
	good(old, fresh)
	if err := s.SupersedeSecrets(ctx, fresh); err != nil {
		t.Fatal(err)
	}
	good(old, fresh)
	if _, err := s.Pool().Exec(ctx, `UPDATE webhook_secrets SET superseded_at = superseded_at - interval '61 minutes'`); err != nil {
		t.Fatal(err)
	}
	good(fresh)
	announce(old, true) // somebody went back
	good(old, fresh)
}

func TestTheEldestProcessIsOnDuty(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	alive := 1
	beat := func(holder string, want bool) {
		t.Helper()
		if life, err := s.Beat(ctx, store.Sign{Holder: holder, Clock: time.Now()}, 5*time.Second); err != nil || life.Eldest != want || life.Alive != alive {
			t.Errorf("%s: %+v, %v, want %d alive", holder, life, err, alive)
		}
	}
	beat("one", true)
	alive = 2
	beat("two", false)
	beat("one", true)
	if err := s.Leave(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	alive = 1
	beat("two", true)
	alive = 2
	beat("three", false)
}

// Of several that want different webhooks the one that began last counts, and of those that
// agree with it the eldest keeps it. Whoever was thought dead is no younger for it.
func TestTheWebhookThatWasWantedLastIsKept(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	before, after := [32]byte{1}, [32]byte{2}
	beat := func(holder string, age time.Duration, webhook [32]byte, latest, keeps bool) {
		t.Helper()
		life, err := s.Beat(ctx, store.Sign{Holder: holder, Age: age, Clock: time.Now(), Webhook: webhook}, 5*time.Second)
		if err != nil || life.Latest != latest || life.Keeps != keeps {
			t.Errorf("%s: %+v, %v", holder, life, err)
		}
	}
	must(t, s, `INSERT INTO processes (holder, started_at) VALUES ('of the program before', now() - interval '2 hours')`)
	beat("old", time.Hour, before, true, true)
	beat("older", 90*time.Minute, before, true, true)
	beat("old", time.Hour, before, true, false)
	beat("new", time.Minute, after, true, true)
	beat("newer", time.Second, after, true, false)
	beat("older", 90*time.Minute, before, false, false)
	beat("new", time.Minute, after, true, true)
	must(t, s, `DELETE FROM processes WHERE holder = 'old'`) // it was paused, and thought dead
	beat("old", time.Hour, before, false, false)
	for _, holder := range []string{"new", "newer"} {
		if err := s.Leave(ctx, holder); err != nil {
			t.Fatal(err)
		}
	}
	beat("old", time.Hour, before, true, false)
	beat("older", 90*time.Minute, before, true, true)
	beat("rolled back", 0, before, true, false)
	beat("newest", 0, after, true, true)
	must(t, s, `UPDATE processes SET seen_at = now() - interval '6 seconds' WHERE holder = 'newest'`) // it was killed
	beat("older", 90*time.Minute, before, true, true)
}
