package bot

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// KeeperConfig is what a Keeper is made of.
type KeeperConfig struct {
	Client  *Client
	Want    func() Webhook // as it should be now
	Latest  func() bool    // whether no process that began later wants another; nil means always
	OnDuty  func() bool    // whether it is for this process to set it again; nil means always
	Every   time.Duration  // between looks; default 30 s
	Fresh   time.Duration  // that a failed delivery of Telegram's is news; default 2 min
	Resolve Resolve        // what a host's addresses are; default asks the system
	Moved   time.Duration  // that a webhook which was moved is complained of; default 10 min
	Behind  time.Duration  // that updates may wait at Telegram without getting fewer; default 1 min
	Now     func() time.Time
	Logger  *zap.Logger
	Metrics prometheus.Registerer
}

// Resolve returns the addresses of a host.
type Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

// resolve asks the system.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host) //nolint:wrapcheck // it names the host
}

// Keeper keeps the webhook as it should be. Whatever Telegram shows differently is
// set again; what it does not show, the secret and our own certificate, is set again
// when deliveries fail because of it.
type Keeper struct {
	cfg     KeeperConfig
	pending prometheus.Gauge
	repairs *prometheus.CounterVec

	mu        sync.Mutex
	setAt     time.Time               // when it was last set: failures before are no news
	setErr    error                   // why the last try to set it failed
	contested time.Time               // when somebody else was last found to have set it
	was       string                  // what they had set it to
	changed   []time.Time             // when its parameters were found to differ, of late
	homes     map[string][]netip.Addr // what a host's addresses were whenever it was asked for
	waiting   int                     // how many updates waited at the last look
	fellAt    time.Time               // when that was last few or fewer than before
}

const (
	keepEvery  = 30 * time.Second
	keepFresh  = 2 * time.Minute
	keepMoved  = 10 * time.Minute
	keepBehind = time.Minute
	// resolveBudget bounds the question where our own name leads.
	resolveBudget = time.Second
	// fewPending is how many may wait without anybody minding.
	fewPending = 20
)

// Fault is what is wrong with a webhook.
type Fault string

// The faults of a webhook.
const (
	FaultNone       Fault = ""
	FaultMissing    Fault = "missing"
	FaultElsewhere  Fault = "elsewhere"  // set to another address
	FaultMoved      Fault = "moved"      // it was, of late
	FaultDiverted   Fault = "diverted"   // set to our name, but to an address that is not its, or with a certificate that is not ours
	FaultParameters Fault = "parameters" // set to us, but otherwise than we want
	FaultRefused    Fault = "refused"    // we refuse what Telegram delivers: it has another secret
	FaultUntrusted  Fault = "untrusted"  // Telegram does not trust our own certificate
	FaultFailing    Fault = "failing"    // Telegram cannot deliver
	FaultBehind     Fault = "behind"     // updates wait and do not get fewer
)

// Complaint is a fault, and in a few words what was found.
type Complaint struct {
	Fault  Fault
	Reason string
}

// NewKeeper returns a Keeper.
func NewKeeper(cfg KeeperConfig) *Keeper {
	cfg.Every = cmp.Or(cfg.Every, keepEvery)
	cfg.Fresh = cmp.Or(cfg.Fresh, keepFresh)
	cfg.Moved = cmp.Or(cfg.Moved, keepMoved)
	cfg.Behind = cmp.Or(cfg.Behind, keepBehind)
	if cfg.Latest == nil {
		cfg.Latest = func() bool { return true }
	}
	if cfg.OnDuty == nil {
		cfg.OnDuty = func() bool { return true }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Resolve == nil {
		cfg.Resolve = resolve
	}
	k := &Keeper{
		cfg: cfg, homes: make(map[string][]netip.Addr),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "sallyport", Subsystem: "webhook", Name: "pending", Help: "Updates that wait at Telegram.",
		}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sallyport", Subsystem: "webhook", Name: "repairs_total", Help: "How often the webhook was set again, by what was wrong.",
		}, []string{"reason"}),
	}
	for _, fault := range []Fault{FaultMissing, FaultElsewhere, FaultDiverted, FaultParameters, FaultRefused, FaultUntrusted} {
		k.repairs.WithLabelValues(string(fault)) // there from the start, so that the first is seen to be one more
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(k.pending, k.repairs)
	}
	return k
}

// Set tells Telegram the webhook. Safe to repeat.
func (k *Keeper) Set(ctx context.Context) error {
	err := k.cfg.Client.SetWebhook(ctx, k.cfg.Want())
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.setErr = err; err == nil {
		k.setAt = k.cfg.Now()
	}
	return err
}

// Yield says that others set the webhook from now on: until it is set anew, how it is
// found is nobody's fault.
func (k *Keeper) Yield() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setAt, k.setErr, k.contested, k.changed = time.Time{}, nil, time.Time{}, nil
}

// Look asks Telegram how the webhook is, and says what is wrong, the worst first. Until
// it was first set how it was found is nobody's fault: it may be what we set it to before
// our address changed. While a process that began later wants another, that is how it
// should be, and only what waits is looked at.
func (k *Keeper) Look(ctx context.Context) ([]Complaint, error) {
	info, err := k.cfg.Client.WebhookInfo(ctx)
	if err != nil {
		return nil, err
	}
	k.pending.Set(float64(info.Pending))
	want := k.cfg.Want()
	strays := k.strays(ctx, info, want)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.setAt.IsZero() && k.setErr == nil && k.cfg.Latest() {
		return nil, nil
	}
	return k.judge(info, want, strays), nil
}

// judge says what is wrong.
func (k *Keeper) judge(info WebhookInfo, want Webhook, strays bool) (found []Complaint) {
	now := k.cfg.Now()
	complain := func(fault Fault, reason string) { found = append(found, Complaint{Fault: fault, Reason: reason}) }
	if info.Pending < max(k.waiting, fewPending) || k.fellAt.IsZero() {
		k.fellAt = now
	}
	k.waiting = info.Pending
	var fault Fault
	var reason string
	if k.cfg.Latest() {
		fault, reason = k.placed(info, want, strays, now)
	}
	if fault == FaultElsewhere || fault == FaultDiverted {
		k.contest(reason, now)
	}
	if fault != FaultNone {
		complain(fault, reason)
	}
	failedAt := time.Unix(info.LastErrorDate, 0)
	isNews := now.Sub(failedAt) < k.cfg.Fresh && failedAt.After(k.setAt)
	if fault := info.delivers(want); isNews && fault != FaultNone && info.URL == want.URL {
		complain(fault, fmt.Sprintf("%d updates wait: %s", info.Pending, info.LastErrorMessage))
	}
	if now.Sub(k.contested) < k.cfg.Moved && !k.contested.IsZero() && fault != FaultElsewhere && fault != FaultDiverted {
		complain(FaultMoved, k.was+" at "+k.contested.UTC().Format(time.TimeOnly)+" UTC; it is set right again")
	}
	if now.Sub(k.fellAt) > k.cfg.Behind {
		complain(FaultBehind, fmt.Sprintf("%d updates wait", info.Pending))
	}
	return found
}

// placed says whether the webhook is what we set.
func (k *Keeper) placed(info WebhookInfo, want Webhook, strays bool, now time.Time) (Fault, string) {
	switch {
	case info.URL == "":
		return FaultMissing, "no webhook is set"
	case info.URL != want.URL:
		return FaultElsewhere, "it is set to " + hostOf(info.URL)
	case strays:
		return FaultDiverted, "it leads to " + info.IPAddress + ", which is not an address of " + hostOf(want.URL)
	case info.OwnCertificate && want.Certificate == nil:
		return FaultDiverted, "it has a certificate that is not ours"
	case len(info.Differences(want)) > 0:
		if k.comesBack(now) {
			k.contest("its parameters were changed again and again, last", now)
		}
		return FaultParameters, "its parameters differ"
	default:
		return FaultNone, ""
	}
}

// contest notes that somebody else sets the webhook. While it has not been set by us,
// whoever did so may have been us.
func (k *Keeper) contest(reason string, now time.Time) {
	if !k.setAt.IsZero() {
		k.contested, k.was = now, strings.NewReplacer("it is ", "it was ", "it leads ", "it led ", "it has ", "it had ").Replace(reason)
	}
}

// timesOfLate is how often parameters may differ within the time for which a move is
// complained of: processes with other settings, in an update, differ once each.
const timesOfLate = 3

// comesBack notes that the parameters differ, and says whether they have too often,
// though they were set in between.
func (k *Keeper) comesBack(now time.Time) bool {
	if n := len(k.changed); n == 0 || !k.changed[n-1].After(k.setAt) {
		k.changed = append(k.changed, now)
	}
	k.changed = slices.DeleteFunc(k.changed, func(at time.Time) bool { return now.Sub(at) >= k.cfg.Moved })
	return len(k.changed) >= timesOfLate
}

// strays says whether Telegram delivers to an address that our host does not have, nor
// had since we watch. Where that is not known, it does not.
func (k *Keeper) strays(ctx context.Context, info WebhookInfo, want Webhook) bool {
	address, err := netip.ParseAddr(info.IPAddress)
	u, urlErr := url.Parse(want.URL)
	if err != nil || urlErr != nil || info.URL != want.URL {
		return false
	}
	host := u.Hostname()
	ctx, cancel := context.WithTimeout(ctx, resolveBudget)
	defer cancel()
	found, err := k.cfg.Resolve(ctx, host)
	if err != nil {
		k.cfg.Logger.Debug("own name not resolved", zap.NamedError("err", err))
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, home := range found {
		if home = home.Unmap(); !slices.Contains(k.homes[host], home) && len(k.homes[host]) < maxHomes {
			k.homes[host] = append(k.homes[host], home)
		}
	}
	return !slices.Contains(k.homes[host], address.Unmap()) && Strays(address, found)
}

// Strays says whether an address is none of a host's. It does not while those that are
// known are of this machine or its neighbours alone: the world may know others.
func Strays(address netip.Addr, homes []netip.Addr) bool {
	seenFromOutside, isHome := false, false
	for _, home := range homes {
		seenFromOutside = seenFromOutside || !home.IsPrivate() && !home.IsLoopback()
		isHome = isHome || home.Unmap() == address.Unmap()
	}
	return seenFromOutside && !isHome
}

// maxHomes bounds how many addresses of a host are remembered.
const maxHomes = 1000

// delivers says what a failed delivery means.
func (i WebhookInfo) delivers(want Webhook) Fault {
	switch {
	case strings.Contains(i.LastErrorMessage, "401 Unauthorized"):
		return FaultRefused
	case want.Certificate != nil && strings.Contains(strings.ToLower(i.LastErrorMessage), "certificate"):
		return FaultUntrusted
	case i.Pending > 0:
		return FaultFailing
	default:
		return FaultNone
	}
}

// hostOf is the part of a stranger's address that is safe to show: paths hold tokens.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "another address"
	}
	return u.Host
}

// Keep looks once, and sets the webhook again if that may help.
func (k *Keeper) Keep(ctx context.Context) error {
	info, err := k.cfg.Client.WebhookInfo(ctx)
	if err != nil {
		return fmt.Errorf("look at webhook: %w", err)
	}
	want := k.cfg.Want()
	strays := k.strays(ctx, info, want)
	k.mu.Lock()
	found := k.judge(info, want, strays)
	k.mu.Unlock()
	i := slices.IndexFunc(found, func(c Complaint) bool { return c.Fault.mends() })
	if i < 0 {
		return nil
	}
	if err := k.Set(ctx); err != nil {
		return fmt.Errorf("set webhook again: %w", err)
	}
	k.repairs.WithLabelValues(string(found[i].Fault)).Inc()
	k.cfg.Logger.Warn("webhook set again", zap.String("fault", string(found[i].Fault)), zap.String("reason", found[i].Reason))
	return nil
}

// mends says whether to set the webhook again may help.
func (f Fault) mends() bool {
	switch f {
	case FaultMissing, FaultElsewhere, FaultDiverted, FaultParameters, FaultRefused, FaultUntrusted:
		return true
	case FaultNone, FaultMoved, FaultFailing, FaultBehind:
		return false
	default:
		return false
	}
}

// Run keeps the webhook until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !k.cfg.OnDuty() {
			continue
		}
		if err := k.Keep(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("webhook not kept", zap.NamedError("err", err))
		}
	}
}
