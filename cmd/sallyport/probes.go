package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/shop"
	"sallyport/store"
	"sallyport/xray"
)

const (
	// freshOutside is how long a finding about an outside host may be reused:
	// health must not become a load on it.
	freshOutside = 2 * time.Second
	// pingBudget bounds the question whether the database is there at all.
	pingBudget = 500 * time.Millisecond
	// lateInbox, lateJobs and lateCheck are when waiting work means that something is wrong.
	lateInbox = 20 * time.Second
	lateJobs  = 30 * time.Second
	lateCheck = time.Minute
	// lateDelivery is how long a customer who has paid may wait for access.
	lateDelivery = time.Minute
	// lateBackup is how old the newest backup may be, where one is made every day.
	lateBackup = 36 * time.Hour
	// busyHours is in how many hours of a week customers must write for silence to mean
	// anything, and unusual how many times as long as the longest pause of that week.
	busyHours = 84
	unusual   = 3
)

// probes returns what /healthz looks at. The database is looked at through a
// connection of its own: the pools may be used up.
func (p *program) probes() []api.Probe {
	probes := []api.Probe{
		{
			Names: []string{"database"}, Silent: api.CodeDatabaseUnreachable, Critical: true, Fresh: time.Second / 4,
			Look: lookAlone(p.pinger.Ping, api.CodeDatabaseUnreachable),
		},
		{Names: []string{"inbox", "jobs", "payments", "ends", "clock", "backup"}, Fresh: time.Second, Look: p.lookAtWork},
		{Names: []string{"telegram"}, Silent: api.CodeTelegramUnreachable, Fresh: freshOutside, Look: lookAlone(p.client.Check, api.CodeTelegramRefused)},
		{Names: []string{"webhook"}, Fresh: freshOutside, Look: p.lookAtWebhook},
		{Names: []string{"cryptopay"}, Silent: api.CodeCryptoPayDown, Fresh: freshOutside, Look: lookAlone(p.cryptobot.Check, api.CodeCryptoPayRefused)},
		{Names: []string{"catalogue"}, Look: p.lookAtCatalogue},
		{Names: []string{"disk"}, Fresh: freshOutside, Look: p.lookAtDisk},
	}
	if p.certs != nil {
		probes = append(probes, api.Probe{Names: []string{"certificate"}, Look: func(context.Context) ([]api.Finding, error) {
			return []api.Finding{api.LookAtCertificate(p.certs, time.Now())}, nil
		}})
	}
	if p.operator != nil {
		probes = append(probes, api.Probe{Names: []string{"operator"}, Fresh: p.operatorEvery(), Look: p.lookAtOperator})
	}
	for _, node := range *p.nodes.Load() {
		probes = append(probes, api.Probe{
			Names: []string{"node:" + node.Name()}, Silent: api.CodeNodeUnreachable, Fresh: time.Second, Look: p.lookAtNode(node),
		})
	}
	return probes
}

// lookAtWork asks the database what waits.
func (p *program) lookAtWork(ctx context.Context) ([]api.Finding, error) {
	v, err := p.prober.Vitals(ctx)
	if err != nil {
		return p.uncounted(ctx, err)
	}
	p.vitals.Store(&seenVitals{at: time.Now(), vitals: v})
	return []api.Finding{inboxFinding(v), jobsFinding(v), paymentsFinding(v), endsFinding(v), clockFinding(v), backupFinding(v.Backup)}, nil
}

// uncounted is what is known of the work when it could not be counted: nothing if the
// database is away, which is told by itself.
func (p *program) uncounted(ctx context.Context, err error) ([]api.Finding, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingBudget)
	defer cancel()
	if p.pinger.Ping(ctx) != nil {
		return nil, err
	}
	unknown := api.Finding{State: api.StateFail, Code: api.CodeUnknown, Reason: "not counted"}
	return []api.Finding{unknown, {State: api.StateFail, Code: api.CodeJobsUncounted, Reason: err.Error()}, unknown, unknown, unknown, unknown}, nil
}

// lookAtCatalogue says whether the catalogue in force is the one in the file.
func (p *program) lookAtCatalogue(context.Context) ([]api.Finding, error) {
	if refused := p.refused.Load(); refused != nil {
		reason := api.Shortened(strings.ReplaceAll((*refused).Error(), "\n", "; "), maxReason)
		return []api.Finding{{State: api.StateDegraded, Code: api.CodeCatalogueInvalid, Reason: reason}}, nil
	}
	return []api.Finding{{State: api.StateOK, Reason: "version " + p.catalogue.Load().Version}}, nil
}

// maxReason bounds what /healthz quotes of an error.
const maxReason = 300

// lookAtNode asks the node whether it runs, the last look at the database whether
// its users were compared of late, and the last tries whether customers can use it.
func (p *program) lookAtNode(node *xray.Node) func(context.Context) ([]api.Finding, error) {
	since := time.Now()
	return func(ctx context.Context) ([]api.Finding, error) {
		if _, err := node.Uptime(ctx); err != nil {
			return nil, fmt.Errorf("ask node: %w", err)
		}
		way := p.ways.finding(node.Name())
		seen := p.vitals.Load()
		if seen == nil || time.Since(seen.at) > vitalsStale {
			return []api.Finding{api.Together(api.Finding{State: api.StateOK, Reason: "runs; whether its users are right is not known"}, way)}, nil
		}
		age, known := seen.vitals.NodeAges[node.Name()]
		if !known {
			age = time.Since(since)
		}
		if age > lateCheck {
			return []api.Finding{api.Together(degraded(api.CodeNodeStale, "users not compared for %s", age.Round(time.Second)), way)}, nil
		}
		return []api.Finding{way}, nil
	}
}

// lookAtWebhook asks Telegram whether it can deliver to us.
func (p *program) lookAtWebhook(ctx context.Context) ([]api.Finding, error) {
	complaints, err := p.keeper.Look(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask telegram: %w", err)
	}
	found := []api.Finding{{State: api.StateOK}}
	if !p.latest.Load() {
		found[0].Reason = "a process that began later keeps another"
	}
	for _, c := range complaints {
		if code, told := codeOf(c.Fault); told {
			found = append(found, api.Finding{State: api.StateDegraded, Code: code, Reason: c.Reason})
		}
	}
	return []api.Finding{api.Together(found...)}, nil
}

// codeOf is the code of a fault of the webhook, if it is one to tell: parameters that
// differ once are set right, and told if they do not stay so.
func codeOf(f bot.Fault) (code string, told bool) {
	code, told = map[bot.Fault]string{
		bot.FaultMissing: api.CodeWebhookMissing, bot.FaultElsewhere: api.CodeWebhookElsewhere, bot.FaultMoved: api.CodeWebhookElsewhere,
		bot.FaultDiverted: api.CodeWebhookElsewhere,
		bot.FaultRefused:  api.CodeWebhookFailing, bot.FaultUntrusted: api.CodeWebhookFailing, bot.FaultFailing: api.CodeWebhookFailing,
		bot.FaultBehind: api.CodeWebhookBehind,
	}[f]
	return code, told
}

// lookAlone makes a look at one component of a call that fails when it is not well.
// refused is the code if the other side answers, but refuses us.
func lookAlone(call func(context.Context) error, refused string) func(context.Context) ([]api.Finding, error) {
	return func(ctx context.Context) ([]api.Finding, error) {
		err := call(ctx)
		switch {
		case err == nil:
			return []api.Finding{{State: api.StateOK}}, nil
		case shop.KindOf(err) == shop.KindInternal:
			return []api.Finding{{State: api.StateFail, Code: refused, Reason: err.Error()}}, nil
		case shop.KindOf(err) == shop.KindLimited: // it answers; work that must wait for it too long is told by itself
			return []api.Finding{{State: api.StateOK, Reason: "it asks us to call less"}}, nil
		default:
			return nil, err
		}
	}
}

func degraded(code, reason string, args ...any) api.Finding {
	return api.Finding{State: api.StateDegraded, Code: code, Reason: fmt.Sprintf(reason, args...)}
}

// degradedIf is degraded if something is so, and else that all is well.
func degradedIf(so bool, code, reason string, args ...any) api.Finding {
	if !so {
		return api.Finding{State: api.StateOK}
	}
	return degraded(code, reason, args...)
}

// waitingIf is degraded if any number of things wait for an operator.
func waitingIf(count int, code, reason string, args ...any) api.Finding {
	f := degradedIf(count > 0, code, reason, args...)
	f.Count = count
	return f
}

func inboxFinding(v store.Vitals) api.Finding {
	return api.Together(
		degradedIf(v.OldestUpdate > lateInbox,
			api.CodeInboxLate, "%d updates wait, the oldest for %s", v.WaitingUpdates, v.OldestUpdate.Round(time.Second)),
		degradedIf(v.Silence.Heard >= busyHours && v.Silence.Lasts >= unusual*v.Silence.Usual,
			api.CodeUpdatesSilent, "no update came for %d hours; the longest pause of the week before was one of about %d", v.Silence.Lasts, v.Silence.Usual),
		waitingIf(v.DeadUpdates+v.DeadLetters,
			api.CodeInboxDead, "%d updates and %d deliveries were put aside", v.DeadUpdates, v.DeadLetters),
	)
}

func jobsFinding(v store.Vitals) api.Finding {
	var all store.JobVitals
	for _, job := range v.Jobs {
		all.Waiting += job.Waiting
		all.Oldest = max(all.Oldest, job.Oldest)
		all.Dead += job.Dead
	}
	return api.Together(
		degradedIf(all.Oldest > lateJobs, api.CodeJobsLate, "%d jobs are owed, the oldest for %s", all.Waiting, all.Oldest.Round(time.Second)),
		degradedIf(len(v.IdleJobs) > 0, api.CodeJobsIdle, "no success for long: %s", strings.Join(v.IdleJobs, ", ")),
		waitingIf(all.Dead, api.CodeJobsDead, "%d jobs were given up in the last day", all.Dead),
	)
}

// counts names each provider with its number.
func counts(of map[shop.Provider]int) string {
	var parts []string
	for _, provider := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %d", provider, of[provider]))
	}
	return strings.Join(parts, ", ")
}

func paymentsFinding(v store.Vitals) api.Finding {
	return api.Together(
		waitingIf(v.Unsettled, api.CodePaymentsUnsettled, "%d payments came and cannot be booked, for a fault of ours", v.Unsettled),
		degradedIf(v.Undelivering > lateDelivery,
			api.CodePaymentsUndelivered, "%d orders are paid and not delivered, the oldest for %s", v.Undelivered, v.Undelivering.Round(time.Second)),
		waitingIf(v.FlaggedPayments, api.CodePaymentsFlagged, "%d payments are flagged for an operator", v.FlaggedPayments),
		degradedIf(len(v.RefusedInvoices) > 0, api.CodeInvoicesRefused, "invoices that are refused, by provider: %s", counts(v.RefusedInvoices)),
	)
}

func endsFinding(v store.Vitals) api.Finding {
	if v.HeldEnds > 0 {
		return degraded(api.CodeEndsHeld, "%d subscriptions seem to have run out at once and are not ended", v.HeldEnds)
	}
	return api.Finding{State: api.StateOK}
}

func clockFinding(v store.Vitals) api.Finding {
	switch off := v.ClockAhead.Round(time.Second); {
	case off > shop.ClockLimit:
		return degraded(api.CodeClockOff, "%s is %s ahead of the database", v.ClockOf, off)
	case -off > shop.ClockLimit:
		return degraded(api.CodeClockOff, "%s is %s behind the database", v.ClockOf, -off)
	default:
		return api.Finding{State: api.StateOK}
	}
}

func backupFinding(v store.BackupVitals) api.Finding {
	if !v.Expected {
		return api.Finding{State: api.StateOK, Reason: "none is made by the shop's own script"}
	}
	return api.Together(
		degradedIf(v.Age > lateBackup, api.CodeBackupLate, "none has succeeded for %s", v.Age.Round(time.Hour)),
		degradedIf(v.Failure != "", api.CodeBackupFailed, "the last one failed: %s", v.Failure),
	)
}

// lookAtDisk says whether there is room where the shop's files are. On a server that
// the installer or compose has set up, that is the disk of the database and of the
// backups too.
func (p *program) lookAtDisk(context.Context) ([]api.Finding, error) {
	for _, path := range []string{".", p.config.TLSDir} {
		path = existing(path)
		free, all, err := spaceAt(path)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", path, err)
		}
		if isTight(free, all) {
			return []api.Finding{degraded(api.CodeDiskFull, "%s: %.2f of %.2f GiB are free", path, float64(free)/gib, float64(all)/gib)}, nil
		}
	}
	return []api.Finding{{State: api.StateOK}}, nil
}
