package bot

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
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
	Every   time.Duration  // between looks; default 30 s
	Fresh   time.Duration  // that a failed delivery of Telegram's is news; default 2 min
	Moved   time.Duration  // that a webhook which was moved is complained of; default 10 min
	Behind  time.Duration  // that updates may wait at Telegram without getting fewer; default 1 min
	Now     func() time.Time
	Logger  *zap.Logger
	Metrics prometheus.Registerer
}

// Keeper keeps the webhook as it should be. Whatever Telegram shows differently is
// set again; what it does not show, the secret and our own certificate, is set again
// when deliveries fail because of it.
type Keeper struct {
	cfg     KeeperConfig
	pending prometheus.Gauge
	repairs *prometheus.CounterVec

	mu        sync.Mutex
	contested time.Time // when the webhook was last found at another address
	waiting   int       // how many updates waited at the last look
	fellAt    time.Time // when that was last few or fewer than before
}

const (
	keepEvery  = 30 * time.Second
	keepFresh  = 2 * time.Minute
	keepMoved  = 10 * time.Minute
	keepBehind = time.Minute
	// fewPending is how many may wait without anybody minding.
	fewPending = 20
)

// Fault is what is wrong with a webhook.
type Fault string

// The faults of a webhook.
const (
	FaultNone       Fault = ""
	FaultMissing    Fault = "missing"
	FaultElsewhere  Fault = "elsewhere"  // set to another address, now or of late
	FaultParameters Fault = "parameters" // set to us, but otherwise than we want
	FaultRefused    Fault = "refused"    // we refuse what Telegram delivers: it has another secret
	FaultUntrusted  Fault = "untrusted"  // Telegram does not trust our own certificate
	FaultFailing    Fault = "failing"    // Telegram cannot deliver
	FaultBehind     Fault = "behind"     // updates wait and do not get fewer
)

// NewKeeper returns a Keeper.
func NewKeeper(cfg KeeperConfig) *Keeper {
	cfg.Every = cmp.Or(cfg.Every, keepEvery)
	cfg.Fresh = cmp.Or(cfg.Fresh, keepFresh)
	cfg.Moved = cmp.Or(cfg.Moved, keepMoved)
	cfg.Behind = cmp.Or(cfg.Behind, keepBehind)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	k := &Keeper{
		cfg: cfg,
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "sallyport", Subsystem: "webhook", Name: "pending", Help: "Updates that wait at Telegram.",
		}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sallyport", Subsystem: "webhook", Name: "repairs_total", Help: "How often the webhook was set again, by what was wrong.",
		}, []string{"reason"}),
	}
	for _, fault := range []Fault{FaultMissing, FaultElsewhere, FaultParameters, FaultRefused, FaultUntrusted} {
		k.repairs.WithLabelValues(string(fault)) // there from the start, so that the first is seen to be one more
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(k.pending, k.repairs)
	}
	return k
}

// Set tells Telegram the webhook. Safe to repeat.
func (k *Keeper) Set(ctx context.Context) error { return k.cfg.Client.SetWebhook(ctx, k.cfg.Want()) }

// Look asks Telegram how the webhook is, and says in a few words what is wrong.
func (k *Keeper) Look(ctx context.Context) (Fault, string, error) {
	info, err := k.cfg.Client.WebhookInfo(ctx)
	if err != nil {
		return FaultNone, "", err
	}
	k.pending.Set(float64(info.Pending))
	fault, reason := k.judge(info, k.cfg.Want())
	return fault, reason, nil
}

// judge says what is wrong, the worst first.
func (k *Keeper) judge(info WebhookInfo, want Webhook) (Fault, string) {
	now := k.cfg.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if info.Pending < max(k.waiting, fewPending) || k.fellAt.IsZero() {
		k.fellAt = now
	}
	k.waiting = info.Pending
	switch {
	case info.URL == "":
		return FaultMissing, "no webhook is set"
	case info.URL != want.URL:
		k.contested = now
		return FaultElsewhere, "it is set to " + hostOf(info.URL)
	case now.Sub(k.contested) < k.cfg.Moved && !k.contested.IsZero():
		return FaultElsewhere, "it was set to another address at " + k.contested.UTC().Format(time.TimeOnly) + " UTC and is set right again"
	case len(info.Differences(want)) > 0:
		return FaultParameters, "its parameters differ"
	case now.Sub(time.Unix(info.LastErrorDate, 0)) < k.cfg.Fresh && info.delivers(want) != FaultNone:
		return info.delivers(want), fmt.Sprintf("%d updates wait: %s", info.Pending, info.LastErrorMessage)
	case now.Sub(k.fellAt) > k.cfg.Behind:
		return FaultBehind, fmt.Sprintf("%d updates wait", info.Pending)
	default:
		return FaultNone, ""
	}
}

// delivers says what a failed delivery means.
func (i WebhookInfo) delivers(want Webhook) Fault {
	switch {
	case strings.Contains(i.LastErrorMessage, "401"):
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
	fault, reason := k.judge(info, k.cfg.Want())
	switch fault {
	case FaultElsewhere:
		if info.URL == k.cfg.Want().URL {
			return nil // it is right again
		}
	case FaultMissing, FaultParameters, FaultRefused, FaultUntrusted:
	case FaultNone, FaultFailing, FaultBehind:
		return nil
	}
	if err := k.Set(ctx); err != nil {
		return fmt.Errorf("set webhook again: %w", err)
	}
	k.repairs.WithLabelValues(string(fault)).Inc()
	k.cfg.Logger.Warn("webhook set again", zap.String("fault", string(fault)), zap.String("reason", reason))
	return nil
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
		if err := k.Keep(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("webhook not kept", zap.NamedError("err", err))
		}
	}
}
