package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sallyport/api"
	"sallyport/shop"
)

// gated is an edge behind the proxies 10.0.0.0/8 and ::1, its log and its metrics.
func gated(t *testing.T, gate api.Gate) (http.Handler, *bytes.Buffer, *prometheus.Registry, *edge) {
	t.Helper()
	log, metrics, inbox := new(bytes.Buffer), prometheus.NewRegistry(), &edge{t: t}
	made := api.New(api.Config{
		Secret: secret, Inbox: inbox, Wake: func(int64, bool) {}, Health: api.NewHealth("test"), Gate: gate,
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Metrics: metrics,
		Logger: zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(log), zap.InfoLevel)),
	})
	return made.Receivers(), log, metrics, inbox
}

// from posts an update and returns the status code.
func from(t *testing.T, h http.Handler, peer, token string, forwarded ...string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.TelegramPath, strings.NewReader(`{"update_id":1,"message":{"from":{"id":7}}}`))
	r.RemoteAddr = peer
	r.Header.Set("X-Telegram-Bot-Api-Secret-Token", token)
	for _, line := range forwarded {
		r.Header.Add("X-Forwarded-For", line)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// strangers returns how many the gate has counted.
func strangers(t *testing.T, metrics *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "sallyport_receiver_strangers_total" {
			n += family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return n
}

func TestTheClientIsTheLastWhomNoProxyOfOursIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"nobody between", "203.0.113.9:4711", nil, "203.0.113.9"},
		{"a stranger claims to be another", "203.0.113.9:4711", []string{"149.154.160.1"}, "203.0.113.9"},
		{"behind our proxy", "10.1.1.1:4711", []string{"203.0.113.9"}, "203.0.113.9"},
		{"what the client wrote itself is before it", "10.1.1.1:4711", []string{"149.154.160.1, 203.0.113.9"}, "203.0.113.9"},
		{"the same in two lines", "10.1.1.1:4711", []string{"149.154.160.1", "203.0.113.9"}, "203.0.113.9"},
		{"behind two of our proxies", "10.1.1.1:4711", []string{"6.6.6.6, 203.0.113.9,10.2.2.2"}, "203.0.113.9"},
		{"our proxy says nothing", "10.1.1.1:4711", nil, "10.1.1.1"},
		{"only our proxies", "10.1.1.1:4711", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"our proxy says nonsense", "10.1.1.1:4711", []string{"203.0.113.9, unknown"}, "invalid IP"},
		{"version 6", "[::1]:4711", []string{"2001:db8::1"}, "2001:db8::1"},
		{"version 4 in version 6", "[::ffff:10.1.1.1]:4711", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"no address at all", "pipe", nil, "invalid IP"},
	} {
		h, log, _, _ := gated(t, api.GateOff)
		if code := from(t, h, c.peer, "wrong", c.forwarded...); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", c.name, code)
		}
		if want := fmt.Sprintf(`"client":%q`, c.want); !strings.Contains(log.String(), want) {
			t.Errorf("%s: want %s in %s", c.name, want, log)
		}
	}
}

func TestTheGateKnowsTelegramsAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		client string
		knows  bool
	}{
		{"149.154.160.0", true},
		{"149.154.175.255", true},
		{"149.154.159.255", false},
		{"149.154.176.0", false},
		{"91.108.4.0", true},
		{"91.108.7.255", true},
		{"91.108.3.255", false},
		{"91.108.8.0", false},
		{"::ffff:91.108.4.1", true},
		{"2001:db8::1", false},
		{"unknown", false},
	} {
		for _, gate := range []api.Gate{"", api.GateOff, api.GateWarn, api.GateRefuse} {
			h, log, metrics, inbox := gated(t, gate)
			want, stored := http.StatusOK, 1
			if gate == api.GateRefuse && !c.knows {
				want, stored = http.StatusForbidden, 0
			}
			if code := from(t, h, "10.0.0.1:1", secret, c.client); code != want || len(inbox.updates) != stored {
				t.Errorf("%s from %s: %d, %d stored", gate, c.client, code, len(inbox.updates))
			}
			counted := strangers(t, metrics)
			if told := counted == 1 && strings.Contains(log.String(), "not Telegram's"); told != (!c.knows && (gate == api.GateWarn || gate == api.GateRefuse)) {
				t.Errorf("%s from %s: counted %g, log %s", gate, c.client, counted, log)
			}
		}
	}
}

func TestTheGateIsNoSubstituteForTheSecret(t *testing.T) {
	t.Parallel()
	h, _, _, _ := gated(t, api.GateRefuse)
	if code := from(t, h, "149.154.160.1:1", "wrong"); code != http.StatusUnauthorized {
		t.Error(code)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.PaymentsPath, strings.NewReader("x"))
	r.RemoteAddr = "203.0.113.9:1"
	w := httptest.NewRecorder()
	made := api.New(api.Config{Health: api.NewHealth("test"), Gate: api.GateRefuse, Payment: func(http.Header, []byte) (shop.PaymentEvent, error) {
		return shop.PaymentEvent{}, shop.ErrIrrelevant
	}})
	if made.Receivers().ServeHTTP(w, r); w.Code == http.StatusForbidden {
		t.Error("Crypto Pay was held up at Telegram's gate")
	}
}
