package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/store"
)

// hoursAgo writes what was heard so many hours ago.
const hoursAgo = `INSERT INTO listened SELECT floor(extract(epoch FROM now()) / 3600) - ago, heard FROM `

// withinAnHour does what must not see the hour change, again if it did.
func withinAnHour(do func()) {
	for began := time.Now().Unix() / 3600; ; began = time.Now().Unix() / 3600 {
		if do(); time.Now().Unix()/3600 == began {
			return
		}
	}
}

func TestSilenceIsCountedInHoursInWhichTelegramCouldDeliver(t *testing.T) {
	t.Parallel()
	url := server.Database(t)
	s, prober := server.OpenURL(t, url), store.NewProber(url)
	t.Cleanup(prober.Close)
	for _, c := range []struct {
		name string
		rows string
		want store.SilenceVitals
	}{
		{"nothing is known", `(VALUES (0, false)) AS seen (ago, heard) WHERE false`, store.SilenceVitals{}},
		{"nobody has written yet", `(SELECT ago, false AS heard FROM generate_series(0, 300) AS ago) AS seen`, store.SilenceVitals{}},
		{"somebody writes", `(SELECT ago, true AS heard FROM generate_series(0, 335) AS ago) AS seen`, store.SilenceVitals{Heard: 168, Usual: 1}},
		{
			"this hour is not over", `(SELECT ago, ago > 0 AS heard FROM generate_series(0, 335) AS ago) AS seen`,
			store.SilenceVitals{Heard: 168, Usual: 1},
		},
		{
			"silence for five hours", `(SELECT ago, ago > 5 AS heard FROM generate_series(0, 335) AS ago) AS seen`,
			store.SilenceVitals{Lasts: 5, Heard: 168, Usual: 1},
		},
		{
			"silence for a week", `(SELECT ago, ago > 167 AS heard FROM generate_series(0, 335) AS ago) AS seen`,
			store.SilenceVitals{Lasts: 167, Heard: 168, Usual: 1},
		},
		{
			"nights", `(SELECT ago, ago > 9 AND ago % 24 >= 8 AS heard FROM generate_series(0, 335) AS ago) AS seen`,
			store.SilenceVitals{Lasts: 9, Heard: 112, Usual: 9},
		},
		{
			"a shop of two days", `(SELECT ago, ago > 5 AS heard FROM generate_series(0, 47) AS ago) AS seen`,
			store.SilenceVitals{Lasts: 5, Heard: 42, Usual: 127},
		},
		{
			"back after it was away", `(SELECT ago, ago > 30 AS heard FROM generate_series(0, 335) AS ago WHERE ago < 3 OR ago > 30) AS seen`,
			store.SilenceVitals{Lasts: 2, Heard: 168, Usual: 1},
		},
		{
			"it was away of late", `(SELECT ago, ago > 1 AS heard FROM generate_series(0, 335) AS ago WHERE ago NOT BETWEEN 10 AND 29) AS seen`,
			store.SilenceVitals{Lasts: 1, Heard: 148, Usual: 21},
		},
		{
			"hours that a clock was ahead", `(SELECT ago, true AS heard FROM generate_series(-50, 335) AS ago WHERE ago NOT BETWEEN 0 AND 4) AS seen`,
			store.SilenceVitals{Heard: 168, Usual: 1},
		},
	} {
		var v store.Vitals
		withinAnHour(func() {
			must(t, s, `DELETE FROM listened`)
			must(t, s, hoursAgo+c.rows)
			var err error
			if v, err = prober.Vitals(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if diff := cmp.Diff(c.want, v.Silence); diff != "" {
			t.Errorf("%s (+):\n%s", c.name, diff)
		}
	}
}

// Whatever became of an update, it was heard; that nothing was is noted too, and what is
// long ago is not kept.
func TestWhatIsHeardIsNoted(t *testing.T) {
	t.Parallel()
	var got []string
	withinAnHour(func() {
		s := server.Open(t)
		got = nil
		listen := func() {
			t.Helper()
			for range 2 {
				if err := s.Listen(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var hours string
			err := s.Pool().QueryRow(t.Context(), `
				SELECT string_agg(concat(floor(extract(epoch FROM now()) / 3600) - hour, CASE WHEN heard THEN ' heard' END), ', ' ORDER BY hour DESC)
				FROM listened`).Scan(&hours)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, hours)
		}
		listen()
		must(t, s, hoursAgo+`(VALUES (400, true), (300, false)) AS seen (ago, heard)`)
		listen()
		add(t, s, 1, 1)
		must(t, s, `UPDATE inbox SET received_at = received_at - interval '2 hours'`)
		listen()
		must(t, s, `UPDATE inbox SET state = 'done', closed_at = now(), received_at = received_at - interval '1 hours'`)
		listen()
		must(t, s, `UPDATE inbox SET state = 'dead', received_at = received_at - interval '1 hours'`)
		listen()
		add(t, s, 2, 1)
		listen()
	})
	want := []string{
		"0", "0, 300", "0, 2 heard, 300", "0, 2 heard, 3 heard, 300",
		"0, 2 heard, 3 heard, 4 heard, 300", "0 heard, 2 heard, 3 heard, 4 heard, 300",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
