package bot_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/bot"
)

// hook is a Bot API that knows of nothing but a webhook.
type hook struct {
	mu   sync.Mutex
	info bot.WebhookInfo
	sets int
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	result := any(true)
	switch path.Base(r.URL.Path) {
	case "getWebhookInfo":
		result = h.info
	case "setWebhook":
		h.sets++
		h.info = ours()
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": result})
}

// ours is the webhook as it should be.
func ours() bot.WebhookInfo {
	return bot.WebhookInfo{URL: "https://shop.example/hook", MaxConnections: 40, AllowedUpdates: bot.AllowedUpdates()}
}

type keeperTest struct {
	*bot.Keeper
	*hook

	t       *testing.T
	now     time.Time
	metrics *prometheus.Registry
}

func newKeeper(t *testing.T, info bot.WebhookInfo, certificate []byte) *keeperTest {
	t.Helper()
	k := &keeperTest{hook: &hook{info: info}, t: t, now: time.Now(), metrics: prometheus.NewRegistry()}
	k.Keeper = bot.NewKeeper(bot.KeeperConfig{
		Client: client(t, k.ServeHTTP), Now: func() time.Time { return k.now }, Metrics: k.metrics,
		Want: func() bot.Webhook {
			return bot.Webhook{URL: "https://shop.example/hook", MaxConnections: 40, Certificate: certificate}
		},
	})
	return k
}

// finds looks, and checks what is found.
func (k *keeperTest) finds(want bot.Fault, reason string) {
	k.t.Helper()
	fault, said, err := k.Look(k.t.Context())
	if err != nil || fault != want || said != reason {
		k.t.Errorf("found %q (%s), %v; want %q (%s)", fault, said, err, want, reason)
	}
}

func TestAWebhookThatDiffersIsSetAgain(t *testing.T) {
	t.Parallel()
	failed := func(text string) bot.WebhookInfo {
		info := ours()
		info.LastErrorDate, info.LastErrorMessage, info.Pending = time.Now().Unix(), text, 3
		return info
	}
	elsewhere, old, fewer, narrow := ours(), failed("Connection refused"), ours(), ours()
	elsewhere.URL = "https://thief.example/secret-path"
	old.LastErrorDate -= 300
	fewer.MaxConnections = 1
	narrow.AllowedUpdates = narrow.AllowedUpdates[1:]
	for _, c := range []struct {
		name        string
		info        bot.WebhookInfo
		certificate []byte
		fault       bot.Fault
		reason      string
		repaired    bool
	}{
		{"as it should be", ours(), nil, bot.FaultNone, "", false},
		{"an old failure", old, nil, bot.FaultNone, "", false},
		{"none", bot.WebhookInfo{}, nil, bot.FaultMissing, "no webhook is set", true},
		{"somebody else's", elsewhere, nil, bot.FaultElsewhere, "it is set to thief.example", true},
		{"fewer connections", fewer, nil, bot.FaultParameters, "its parameters differ", true},
		{"fewer kinds", narrow, nil, bot.FaultParameters, "its parameters differ", true},
		{"without our certificate", ours(), []byte("pem"), bot.FaultParameters, "its parameters differ", true},
		{"another secret", failed("Wrong response from the webhook: 401 Unauthorized"), nil, bot.FaultRefused, "3 updates wait: Wrong response from the webhook: 401 Unauthorized", true},
		{"failing", failed("Connection refused"), nil, bot.FaultFailing, "3 updates wait: Connection refused", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKeeper(t, c.info, c.certificate)
			k.finds(c.fault, c.reason)
			if err := k.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if (k.sets == 1) != c.repaired {
				t.Errorf("set %d times", k.sets)
			}
			if n := k.metric("sallyport_webhook_repairs_total"); (n == 1) != c.repaired {
				t.Errorf("%v repairs counted", n)
			}
		})
	}
}

func TestOurOwnCertificateIsUploadedAgainWhereItIsNotTrusted(t *testing.T) {
	t.Parallel()
	info := ours()
	info.OwnCertificate, info.LastErrorDate = true, time.Now().Unix()
	info.LastErrorMessage = "SSL error {error:0A000086:SSL routines::certificate verify failed}"
	k := newKeeper(t, info, []byte("pem"))
	k.finds(bot.FaultUntrusted, "0 updates wait: "+info.LastErrorMessage)
	if err := k.Keep(t.Context()); err != nil || k.sets != 1 {
		t.Errorf("%v, set %d times", err, k.sets)
	}
}

// It is set right within half a minute; the operator hears of it for longer.
func TestAMovedWebhookIsComplainedOfForAWhile(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, bot.WebhookInfo{URL: "https://thief.example"}, nil)
	for range 3 {
		if err := k.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if k.sets != 1 {
		t.Errorf("set %d times", k.sets)
	}
	moved := k.now.UTC().Format(time.TimeOnly)
	k.now = k.now.Add(9 * time.Minute)
	k.finds(bot.FaultMoved, "it was set to another address at "+moved+" UTC and is set right again")
	k.now = k.now.Add(2 * time.Minute)
	k.finds(bot.FaultNone, "")
}

// What is wrong now comes before the complaint about what was.
func TestAfterAMoveTheKeeperStillKeeps(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, bot.WebhookInfo{URL: "https://thief.example"}, nil)
	keep := func() {
		t.Helper()
		if err := k.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keep()
	k.now = k.now.Add(time.Minute)
	refused := ours()
	refused.LastErrorDate, refused.LastErrorMessage = k.now.Unix(), "Wrong response from the webhook: 401 Unauthorized"
	k.mu.Lock()
	k.info = refused // somebody has set our address by hand, without the secret
	k.mu.Unlock()
	keep()
	if k.sets != 2 {
		t.Errorf("set %d times", k.sets)
	}
	k.mu.Lock()
	k.info = refused // Telegram keeps the old failure
	k.mu.Unlock()
	k.now = k.now.Add(30 * time.Second)
	keep()
	if k.sets != 2 {
		t.Errorf("one failure had it set %d times", k.sets)
	}
}

func TestUpdatesThatWaitAndDoNotGetFewerAreAComplaint(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, ours(), nil)
	for _, step := range []struct {
		pending int
		fault   bot.Fault
	}{
		{5, bot.FaultNone},
		{300, bot.FaultNone},
		{400, bot.FaultNone},
		{500, bot.FaultBehind},
		{600, bot.FaultBehind},
		{500, bot.FaultNone},
		{700, bot.FaultNone},
		{400, bot.FaultNone},
		{19, bot.FaultNone},
		{19, bot.FaultNone},
		{19, bot.FaultNone},
		{19, bot.FaultNone},
	} {
		k.mu.Lock()
		k.info.Pending = step.pending
		k.mu.Unlock()
		reason := ""
		if step.fault != bot.FaultNone {
			reason = fmt.Sprintf("%d updates wait", step.pending)
		}
		k.finds(step.fault, reason)
		k.now = k.now.Add(25 * time.Second)
	}
	if n := k.metric("sallyport_webhook_pending"); n != 19 {
		t.Errorf("the metric says %v", n)
	}
}

// metric returns the value of a metric, summed over its labels.
func (k *keeperTest) metric(name string) (value float64) {
	k.t.Helper()
	families, err := k.metrics.Gather()
	if err != nil {
		k.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				value += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return value
}

func TestAHungTelegramHoldsUpNoKeeper(t *testing.T) {
	t.Parallel()
	k := bot.NewKeeper(bot.KeeperConfig{Client: clientWithin(t, 200*time.Millisecond, hang), Want: func() bot.Webhook { return bot.Webhook{} }})
	if _, _, err := k.Look(t.Context()); err == nil {
		t.Error("found something")
	}
	if err := k.Keep(t.Context()); err == nil {
		t.Error("kept")
	}
}
