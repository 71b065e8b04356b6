package main

import (
	"context"
	"fmt"
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
	// vitalsBudget bounds how long a look at a node waits for the database.
	vitalsBudget = 300 * time.Millisecond
	// lateInbox, lateJobs and lateCheck are when waiting work means that something is wrong.
	lateInbox = 20 * time.Second
	lateJobs  = 30 * time.Second
	lateCheck = time.Minute
	// lateDelivery is how long a customer who has paid may wait for access.
	lateDelivery = time.Minute
)

// probes returns what /healthz looks at. The database is looked at through a
// connection of its own: the pools may be used up.
func (p *program) probes() []api.Probe {
	probes := []api.Probe{
		{
			Names: []string{"database"}, Silent: api.CodeDatabaseUnreachable, Critical: true, Fresh: time.Second / 4,
			Look: lookAlone(p.prober.Ping, api.CodeDatabaseUnreachable),
		},
		{Names: []string{"inbox", "jobs", "payments"}, Fresh: time.Second, Look: p.lookAtWork},
		{Names: []string{"telegram"}, Silent: api.CodeTelegramUnreachable, Fresh: freshOutside, Look: lookAlone(p.client.Check, api.CodeTelegramRefused)},
		{Names: []string{"webhook"}, Fresh: freshOutside, Look: p.lookAtWebhook},
		{Names: []string{"cryptopay"}, Silent: api.CodeCryptoPayDown, Fresh: freshOutside, Look: lookAlone(p.cryptobot.Check, api.CodeCryptoPayRefused)},
		{Names: []string{"catalogue"}, Look: p.lookAtCatalogue},
	}
	if p.certs != nil {
		probes = append(probes, api.Probe{Names: []string{"certificate"}, Look: func(context.Context) ([]api.Finding, error) {
			return []api.Finding{api.LookAtCertificate(p.certs, time.Now())}, nil
		}})
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
		return nil, err
	}
	p.vitals.Store(&seenVitals{at: time.Now(), vitals: v})
	return []api.Finding{inboxFinding(v), jobsFinding(v), paymentsFinding(v)}, nil
}

// lookAtCatalogue says whether the catalogue in force is the one in the file.
func (p *program) lookAtCatalogue(context.Context) ([]api.Finding, error) {
	if refused := p.refused.Load(); refused != nil {
		reason := strings.ReplaceAll((*refused).Error(), "\n", "; ")
		return []api.Finding{{State: api.StateDegraded, Code: api.CodeCatalogueInvalid, Reason: reason[:min(len(reason), maxReason)]}}, nil
	}
	return []api.Finding{{State: api.StateOK}}, nil
}

// maxReason bounds what /healthz quotes of an error.
const maxReason = 300

// lookAtNode asks the node whether it runs, and the database whether its users were
// compared of late.
func (p *program) lookAtNode(node *xray.Node) func(context.Context) ([]api.Finding, error) {
	return func(ctx context.Context) ([]api.Finding, error) {
		if _, err := node.Uptime(ctx); err != nil {
			return nil, fmt.Errorf("ask node: %w", err)
		}
		limit, cancel := context.WithTimeout(ctx, vitalsBudget)
		defer cancel()
		v, err := p.prober.Vitals(limit)
		if err != nil {
			return []api.Finding{{State: api.StateOK, Reason: "runs; whether its users are right is not known"}}, nil //nolint:nilerr // the database has its own line
		}
		if age, known := v.NodeAges[node.Name()]; known && age > lateCheck {
			return []api.Finding{{State: api.StateDegraded, Code: api.CodeNodeStale, Reason: "users not compared for " + age.Round(time.Second).String()}}, nil
		}
		return []api.Finding{{State: api.StateOK}}, nil
	}
}

// lookAtWebhook asks Telegram whether it can deliver to us.
func (p *program) lookAtWebhook(ctx context.Context) ([]api.Finding, error) {
	fault, reason, err := p.keeper.Look(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask telegram: %w", err)
	}
	code, isComplaint := map[bot.Fault]string{
		bot.FaultMissing: api.CodeWebhookMissing, bot.FaultElsewhere: api.CodeWebhookElsewhere,
		bot.FaultRefused: api.CodeWebhookFailing, bot.FaultUntrusted: api.CodeWebhookFailing, bot.FaultFailing: api.CodeWebhookFailing,
		bot.FaultBehind: api.CodeWebhookBehind,
	}[fault]
	if !isComplaint {
		return []api.Finding{{State: api.StateOK}}, nil
	}
	return []api.Finding{{State: api.StateDegraded, Code: code, Reason: reason}}, nil
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
		default:
			return nil, err
		}
	}
}

func degraded(code, reason string, args ...any) api.Finding {
	return api.Finding{State: api.StateDegraded, Code: code, Reason: fmt.Sprintf(reason, args...)}
}

func inboxFinding(v store.Vitals) api.Finding {
	switch {
	case v.OldestUpdate > lateInbox:
		return degraded(api.CodeInboxLate, "%d updates wait, the oldest for %s", v.WaitingUpdates, v.OldestUpdate.Round(time.Second))
	case v.DeadUpdates+v.DeadLetters > 0:
		return degraded(api.CodeInboxDead, "%d updates and %d deliveries were put aside", v.DeadUpdates, v.DeadLetters)
	default:
		return api.Finding{State: api.StateOK}
	}
}

func jobsFinding(v store.Vitals) api.Finding {
	var all store.JobVitals
	for _, job := range v.Jobs {
		all.Waiting += job.Waiting
		all.Oldest = max(all.Oldest, job.Oldest)
		all.Dead += job.Dead
	}
	switch {
	case all.Oldest > lateJobs:
		return degraded(api.CodeJobsLate, "%d jobs are owed, the oldest for %s", all.Waiting, all.Oldest.Round(time.Second))
	case len(v.IdleJobs) > 0:
		return degraded(api.CodeJobsIdle, "no success for long: %s", strings.Join(v.IdleJobs, ", "))
	case all.Dead > 0:
		return degraded(api.CodeJobsDead, "%d jobs were given up in the last day", all.Dead)
	default:
		return api.Finding{State: api.StateOK}
	}
}

func paymentsFinding(v store.Vitals) api.Finding {
	switch {
	case v.Undelivering > lateDelivery:
		return degraded(api.CodePaymentsUndelivered, "%d orders are paid and not delivered, the oldest for %s", v.Undelivered, v.Undelivering.Round(time.Second))
	case v.FlaggedPayments > 0:
		return degraded(api.CodePaymentsFlagged, "%d payments are flagged for an operator", v.FlaggedPayments)
	default:
		return api.Finding{State: api.StateOK}
	}
}
