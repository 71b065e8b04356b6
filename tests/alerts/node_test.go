package alerts_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"sallyport/outbound"
	"sallyport/sandbox"
	"sallyport/sandbox/fault"
	"sallyport/shop"
	"sallyport/xray"
)

// stranger is another program that changes the users of the node.
func (s *scene) stranger() *xray.Node {
	s.t.Helper()
	x := s.w.Ready().Xray
	n, err := xray.Dial(xray.Config{
		Name: "stranger", Label: "stranger", API: x.APIDirect, Inbound: x.Inbound, Flow: x.Flow,
		Endpoint: xray.Endpoint{Host: x.Host, Port: x.Port, ServerName: x.ServerName, PublicKey: x.PublicKey, ShortID: x.ShortID, Fingerprint: "chrome"},
		Host:     outbound.New(outbound.Config{Name: "xray"}),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = n.Close() })
	return n
}

func strange(n int) shop.Access {
	return shop.Access{ID: shop.AccessID(fmt.Sprintf("z%06d", n)), UUID: uuid.New()}
}

// strangers is more than the shop removes without a question.
const strangers = 25

func TestNodesAndTheCatalogue(t *testing.T) {
	t.Parallel()
	s := begin(t)
	s.buys(1)
	s.until("a key", func() bool { return s.received(1) })
	plays(t, s, []trouble{
		{
			code: "payments_undelivered", alerts: []string{"SallyportPaymentsUndelivered"},
			breaks: func(s *scene) {
				page := s.orders(2)
				s.w.Node.Kill()
				if _, err := s.person(2).Pay(page); err != nil {
					s.t.Fatal(err)
				}
				s.until("the payment", func() bool { return s.number(`SELECT count(*) FROM orders WHERE user_id = 2 AND status = 'paid'`) > 0 })
				s.sql(`UPDATE orders SET paid_at = paid_at - interval '5 minutes' WHERE user_id = 2`)
			},
			cures: func(s *scene) { s.restartXray() },
		},
		{
			code: "node_unreachable", alerts: []string{"SallyportNodeUnreachable"},
			breaks: func(s *scene) { s.spoil(sandbox.XrayTarget, fault.Hung, 0) },
			cures:  func(s *scene) { s.mend(sandbox.XrayTarget) },
		},
		{
			// Xray runs, its API answers, and every customer is refused.
			code: "node_unusable", alerts: []string{"SallyportNodeUnusable"},
			breaks: func(s *scene) { s.w.Node.HideCover(true) },
			cures:  func(s *scene) { s.w.Node.HideCover(false) },
		},
		{
			// Its users are none of ours: nobody is removed, and the comparison fails.
			code: "node_stale", alerts: []string{"SallyportNodeStale", "SallyportNodeDrift", "SallyportJobsFailing"},
			breaks: func(s *scene) {
				other := s.stranger()
				for n := range strangers {
					if err := other.Ensure(s.t.Context(), strange(n)); err != nil {
						s.t.Fatal(err)
					}
				}
				s.fails("check_node", 2)
				s.sql(`UPDATE nodes SET failing_since = failing_since - interval '5 minutes'`)
			},
			cures: func(s *scene) { s.restartXray() }, // as the manual says
		},
		{
			alerts: []string{"SallyportNodeResyncing"},
			breaks: func(s *scene) { // as if each check found that it must be filled
				for s.prometheus.firing("SallyportNodeResyncing") == 0 && !s.t.Failed() {
					s.sql(`UPDATE nodes SET synced_at = synced_at - interval '10 minutes'`,
						`INSERT INTO river_job (args, kind, max_attempts, queue) VALUES ('{"node": "local"}', 'check_node', 1, 'nodes')`,
						`SELECT pg_notify('public.river_insert', '{"queue": "nodes"}')`)
					s.until("the comparison", func() bool {
						return s.number(`SELECT count(*) FROM nodes WHERE synced_at > now() - interval '5 minutes'`) == 1
					})
				}
			},
			cures: func(*scene) {},
		},
		{
			code: "catalogue_invalid", alerts: []string{"SallyportCatalogueInvalid"},
			breaks: func(s *scene) { s.reload(func(text string) string { return text + "\nplants: []\n" }) },
			cures: func(s *scene) {
				s.reload(func(text string) string { return strings.TrimSuffix(text, "\nplants: []\n") })
			},
		},
	})
}

func (s *scene) restartXray() {
	s.t.Helper()
	if err := s.w.Node.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// reload changes the catalogue and has the product read it.
func (s *scene) reload(change func(string) string) {
	s.t.Helper()
	path := s.w.Ready().Catalogue
	text := string(readFile(s.t, path))
	if err := os.WriteFile(path, []byte(change(text)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
}

// TestANodeThatHasLeftLeavesTheAlerts: what a node was like when it was taken out of
// the catalogue is no alert for ever.
func TestANodeThatHasLeftLeavesTheAlerts(t *testing.T) {
	t.Parallel()
	s := begin(t)
	path := s.w.Ready().Catalogue
	before := string(readFile(t, path))
	start := strings.Index(before, "nodes:")
	entry := before[start+len("nodes:"):]
	second := strings.NewReplacer("name: local", "name: gone").Replace(entry)
	if second == entry {
		t.Fatalf("no node called local in %s", entry)
	}
	s.reload(func(text string) string {
		return strings.TrimRight(text, "\n") + strings.TrimRight(second, "\n") + "\n"
	})
	shown := func(family, label, want string) bool { return s.prometheus.shows(family, label, want) }
	s.until("the second node", func() bool {
		return shown("sallyport_outbound_breaker_open", "host", "node:gone") && shown("sallyport_node_drift", "node", "gone") &&
			shown("sallyport_node_checked_age_seconds", "node", "gone") && shown("sallyport_component_status", "component", "node:gone")
	})
	s.reload(func(string) string { return before })
	// A scrape that failed shows nothing at all: the other node must be there.
	s.until("its end, and not the other's", func() bool {
		return shown("sallyport_node_drift", "node", "local") &&
			!shown("sallyport_outbound_breaker_open", "host", "node:gone") && !shown("sallyport_node_drift", "node", "gone") &&
			!shown("sallyport_node_checked_age_seconds", "node", "gone") && !shown("sallyport_component_status", "component", "node:gone")
	})
}
