package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/api"
	"sallyport/sandbox/fault"
)

func TestTheShopIsWellWhileItsOperatorCanBeTold(t *testing.T) {
	t.Parallel()
	report := func(state string, components ...string) api.Report {
		r := api.Report{State: state, Components: make(map[string]api.Component)}
		for _, c := range components {
			name, state, _ := strings.Cut(c, " ")
			r.Components[name] = api.Component{Finding: api.Finding{State: state}}
		}
		return r
	}
	for _, c := range []struct {
		name   string
		report api.Report
		want   bool
	}{
		{"all is well", report(api.StateOK, "database ok", "telegram ok", "operator ok"), true},
		{"what the operator is told", report(api.StateDegraded, "telegram ok", "operator ok", "node:a fail", "payments degraded"), true},
		{"no chat is set", report(api.StateDegraded, "telegram ok", "node:a fail"), true},
		{"not looked at, or not of late", api.Report{}, false},
		{"no database", report(api.StateFail, "database fail", "telegram ok"), false},
		{"no Telegram", report(api.StateDegraded, "telegram fail"), false},
		{"a chat that cannot be written to", report(api.StateDegraded, "telegram ok", "operator degraded"), false},
		{"a chat of which nobody knows", report(api.StateDegraded, "telegram ok", "operator fail"), false},
	} {
		if got := isWell(c.report); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Whoever waits for the heartbeat hears it while the shop is well, and nothing while its
// database is away; its address is in no log.
func TestTheHeartbeatIsHeardWhileTheShopIsWell(t *testing.T) {
	t.Parallel()
	const token = "a-token-that-is-nobody-elses"
	var beats, status atomic.Int64
	status.Store(http.StatusOK)
	monitor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+token {
			beats.Add(1)
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer monitor.Close()
	w := newWorld(t)
	w.config.Heartbeat = secret(monitor.URL + "/" + token)
	w.start()
	w.person(operatorChat).write("/start")
	w.waitFor("the heartbeat of a shop that is well", func() bool { return beats.Load() > 1 })
	if err := w.dbFault.Set(fault.Down, 0, 0); err != nil {
		t.Fatal(err)
	}
	w.waitFor("silence to be told of", func() bool { return strings.Contains(w.log.String(), "no heartbeat") })
	before := beats.Load()
	from := strings.Count(w.log.String(), "no heartbeat")
	w.waitFor("more silence", func() bool { return strings.Count(w.log.String(), "no heartbeat") > from+1 })
	if beats.Load() != before {
		t.Error("a heartbeat without a database")
	}
	w.dbFault.Clear()
	status.Store(http.StatusNotFound)
	w.waitFor("an answer that is none to be told of", func() bool { return strings.Contains(w.log.String(), "answered 404") })
	monitor.Close()
	w.waitFor("no answer to be told of", func() bool { return strings.Contains(w.log.String(), "connection refused") })
	if strings.Contains(w.log.String(), token) {
		t.Error("the address of the heartbeat is in the log")
	}
}
