package bot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"slices"
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

// begun is when a keeperTest begins.
const begun = 1_800_000_000

type keeperTest struct {
	*bot.Keeper
	*hook

	t       *testing.T
	now     time.Time
	metrics *prometheus.Registry
	homes   []netip.Addr // of our host
	outdone bool         // another process wants another webhook
}

// newKeeper returns a Keeper that has set the webhook, which became something else since.
func newKeeper(t *testing.T, info bot.WebhookInfo, certificate []byte) *keeperTest {
	t.Helper()
	k := unsetKeeper(t, info, certificate)
	if err := k.Set(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.becomes(info)
	k.sets = 0
	k.now = k.now.Add(time.Second)
	return k
}

// becomes has Telegram know another webhook.
func (k *keeperTest) becomes(info bot.WebhookInfo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.info = info
}

// keeps looks, and sets what can be set right.
func (k *keeperTest) keeps() {
	k.t.Helper()
	if err := k.Keep(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// unsetKeeper returns a Keeper that has not set the webhook yet.
func unsetKeeper(t *testing.T, info bot.WebhookInfo, certificate []byte) *keeperTest {
	t.Helper()
	k := &keeperTest{hook: &hook{info: info}, t: t, now: time.Unix(begun, 0), metrics: prometheus.NewRegistry()}
	k.homes = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	k.Keeper = bot.NewKeeper(bot.KeeperConfig{
		Client:  client(t, k.ServeHTTP),
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return k.homes, nil },
		Latest:  func() bool { return !k.outdone },
		Now:     func() time.Time { return k.now }, Metrics: k.metrics,
		Want: func() bot.Webhook {
			return bot.Webhook{URL: "https://shop.example/hook", MaxConnections: 40, Certificate: certificate}
		},
	})
	return k
}

// finds looks, and checks that one thing is found, or nothing.
func (k *keeperTest) finds(want bot.Fault, reason string) {
	k.t.Helper()
	if want == bot.FaultNone {
		k.findsAll()
		return
	}
	k.findsAll(bot.Complaint{Fault: want, Reason: reason})
}

// findsAll looks, and checks everything that is found.
func (k *keeperTest) findsAll(want ...bot.Complaint) {
	k.t.Helper()
	found, err := k.Look(k.t.Context())
	if err != nil || !slices.Equal(found, want) {
		k.t.Errorf("found %v, %v; want %v", found, err, want)
	}
}

func TestAWebhookThatDiffersIsSetAgain(t *testing.T) {
	t.Parallel()
	failed := func(text string) bot.WebhookInfo {
		info := ours()
		info.LastErrorDate, info.LastErrorMessage, info.Pending = begun+1, text, 3
		return info
	}
	elsewhere, old, fewer, narrow, certified, home, diverted := ours(), failed("Connection refused"), ours(), ours(), ours(), ours(), ours()
	certified.OwnCertificate, home.IPAddress, diverted.IPAddress = true, "198.51.100.7", "203.0.113.9"
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
		{"with a certificate", certified, nil, bot.FaultDiverted, "it has a certificate that is not ours", true},
		{"at home", home, nil, bot.FaultNone, "", false},
		{"to a stranger's address", diverted, nil, bot.FaultDiverted, "it leads to 203.0.113.9, which is not an address of shop.example", true},
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
	info.OwnCertificate, info.LastErrorDate = true, begun+1
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
	k.finds(bot.FaultMoved, "it was set to thief.example at "+moved+" UTC; it is set right again")
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

// The first look after a change of our own address finds the old one: we have set it.
func TestWhatWeSetBeforeIsNobodyElsesDoing(t *testing.T) {
	t.Parallel()
	before := ours()
	before.URL, before.MaxConnections = "https://old.example/hook", 10
	k := unsetKeeper(t, before, nil)
	k.finds(bot.FaultNone, "")
	if err := k.Set(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.finds(bot.FaultNone, "")
	k.now = k.now.Add(time.Minute)
	k.becomes(before) // now it is
	k.finds(bot.FaultElsewhere, "it is set to old.example")
}

// Whoever sets our own address, but has it lead elsewhere, changes nothing else that shows.
func TestADivertedWebhookIsComplainedOf(t *testing.T) {
	t.Parallel()
	diverted := ours()
	diverted.OwnCertificate, diverted.IPAddress = true, "203.0.113.9"
	k := newKeeper(t, diverted, []byte("pem"))
	k.keeps()
	if k.sets != 1 {
		t.Errorf("set %d times", k.sets)
	}
	certified := ours()
	certified.OwnCertificate = true
	k.becomes(certified)
	k.finds(bot.FaultMoved, "it led to 203.0.113.9, which is not an address of shop.example at "+k.now.UTC().Format(time.TimeOnly)+" UTC; it is set right again")
}

func TestWhereOurNameLeadsIsJudgedOnlyWhereItIsKnown(t *testing.T) {
	t.Parallel()
	at := func(address string) bot.WebhookInfo {
		info := ours()
		info.IPAddress = address
		return info
	}
	k := newKeeper(t, at("198.51.100.7"), nil)
	for _, step := range []struct {
		homes   []netip.Addr
		address string
		fault   bot.Fault
	}{
		{[]netip.Addr{netip.MustParseAddr("198.51.100.7")}, "198.51.100.7", bot.FaultNone},
		{[]netip.Addr{netip.MustParseAddr("198.51.100.8")}, "198.51.100.7", bot.FaultNone}, // it turns
		{[]netip.Addr{netip.MustParseAddr("198.51.100.8")}, "198.51.100.8", bot.FaultNone},
		{[]netip.Addr{netip.MustParseAddr("::ffff:198.51.100.8")}, "198.51.100.8", bot.FaultNone},
		{[]netip.Addr{netip.MustParseAddr("127.0.1.1"), netip.MustParseAddr("10.0.0.7")}, "203.0.113.9", bot.FaultNone}, // as this machine knows it
		{nil, "203.0.113.9", bot.FaultNone},
		{[]netip.Addr{netip.MustParseAddr("198.51.100.8")}, "", bot.FaultNone}, // Telegram has not looked yet
		{[]netip.Addr{netip.MustParseAddr("198.51.100.8")}, "203.0.113.9", bot.FaultDiverted},
	} {
		k.homes = step.homes
		k.becomes(at(step.address))
		found, err := k.Look(t.Context())
		if is := len(found) > 0 && found[0].Fault == bot.FaultDiverted; err != nil || is != (step.fault == bot.FaultDiverted) {
			t.Errorf("%v and %s: found %v, %v", step.homes, step.address, found, err)
		}
	}
}

// Parameters that differ once may be those of another version of ours; a program that
// changes them whenever we set them is a stranger's.
func TestParametersThatDoNotStaySetAreComplainedOf(t *testing.T) {
	t.Parallel()
	fewer := ours()
	fewer.MaxConnections = 1
	k := newKeeper(t, fewer, nil)
	for n := range 3 {
		k.becomes(fewer)
		for range 3 { // however often it is looked at
			want := []bot.Complaint{{Fault: bot.FaultParameters, Reason: "its parameters differ"}}
			if n == 2 {
				want = append(want, bot.Complaint{
					Fault: bot.FaultMoved, Reason: "its parameters were changed again and again, last at " + k.now.UTC().Format(time.TimeOnly) + " UTC; it is set right again",
				})
			}
			k.findsAll(want...)
		}
		k.keeps()
		k.now = k.now.Add(30 * time.Second)
	}
	k.now = k.now.Add(11 * time.Minute)
	k.becomes(fewer)
	k.finds(bot.FaultParameters, "its parameters differ")
}

// Nothing that is wrong hides what else is.
func TestEverythingWrongWithTheWebhookIsFound(t *testing.T) {
	t.Parallel()
	info := ours()
	info.Pending = 500
	k := newKeeper(t, info, nil)
	k.finds(bot.FaultNone, "")
	k.now = k.now.Add(2 * time.Minute)
	info.LastErrorDate, info.LastErrorMessage, info.Pending = k.now.Unix(), "Connection refused", 600
	k.becomes(info)
	k.findsAll(bot.Complaint{Fault: bot.FaultFailing, Reason: "600 updates wait: Connection refused"}, bot.Complaint{Fault: bot.FaultBehind, Reason: "600 updates wait"})
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
	if _, err := k.Look(t.Context()); err == nil {
		t.Error("found something")
	}
	if err := k.Keep(t.Context()); err == nil {
		t.Error("kept")
	}
}

// While a process that began later wants another webhook, and until ours is set again, how
// it is found is nobody's fault; that updates wait is.
func TestAWebhookThatAnotherOfOursWantsIsNoFault(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, ours(), nil)
	others := ours()
	others.URL, others.Pending = "https://new.example/hook", 500
	k.outdone = true
	k.Yield()
	k.becomes(others)
	k.finds(bot.FaultNone, "")
	k.now = k.now.Add(2 * time.Minute)
	k.finds(bot.FaultBehind, "500 updates wait")
	k.outdone, others.Pending = false, 0
	k.becomes(others)
	k.finds(bot.FaultNone, "")
	if err := k.Set(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.finds(bot.FaultNone, "")
	k.becomes(others)
	k.finds(bot.FaultElsewhere, "it is set to new.example")
}
