package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/store"
	"sallyport/xray"
)

const (
	// freshOutside is how long a finding about an outside host may be reused:
	// health must not become a load on it.
	freshOutside = 2 * time.Second
	// freshFailure is how long a failed delivery of Telegram's counts as news.
	freshFailure = 2 * time.Minute
	// vitalsBudget bounds how long a look at a node waits for the database.
	vitalsBudget = 300 * time.Millisecond
	// lateInbox, lateJobs and lateCheck are when waiting work means that something is wrong.
	lateInbox = 20 * time.Second
	lateJobs  = 30 * time.Second
	lateCheck = time.Minute
)

// probes returns what /healthz looks at. The database is looked at through a
// connection of its own: the pools may be used up.
func (p *program) probes() []api.Probe {
	prober := store.NewProber(string(p.config.DatabaseURL))
	p.onClose(prober.Close)
	probes := []api.Probe{
		{Names: []string{"database"}, Critical: true, Fresh: time.Second / 4, Look: lookAlone(prober.Ping)},
		{Names: []string{"inbox", "jobs", "payments"}, Fresh: time.Second, Look: func(ctx context.Context) ([]api.Finding, error) {
			v, err := prober.Vitals(ctx)
			if err != nil {
				return nil, err
			}
			return []api.Finding{inboxFinding(v), jobsFinding(v), paymentsFinding(v)}, nil
		}},
		{Names: []string{"telegram", "webhook"}, Fresh: freshOutside, Look: p.lookAtTelegram},
		{Names: []string{"cryptopay"}, Fresh: freshOutside, Look: lookAlone(p.gateway.Check)},
	}
	if p.certs != nil {
		probes = append(probes, api.Probe{Names: []string{"certificate"}, Look: func(context.Context) ([]api.Finding, error) {
			return []api.Finding{api.LookAtCertificate(p.certs, time.Now())}, nil
		}})
	}
	for _, node := range p.nodes {
		probes = append(probes, api.Probe{Names: []string{"node:" + node.Name()}, Fresh: time.Second, Look: p.lookAtNode(prober, node)})
	}
	return probes
}

// lookAtNode asks the node whether it runs, and the database whether its users were
// compared of late.
func (p *program) lookAtNode(prober *store.Prober, node *xray.Node) func(context.Context) ([]api.Finding, error) {
	return func(ctx context.Context) ([]api.Finding, error) {
		if _, err := node.Uptime(ctx); err != nil {
			return nil, fmt.Errorf("ask node: %w", err)
		}
		limit, cancel := context.WithTimeout(ctx, vitalsBudget)
		defer cancel()
		v, err := prober.Vitals(limit)
		if err != nil {
			return []api.Finding{{State: api.StateOK, Reason: "runs; whether its users are right is not known"}}, nil //nolint:nilerr // the database has its own line
		}
		if age, known := v.NodeAges[node.Name()]; known && age > lateCheck {
			return []api.Finding{{State: api.StateDegraded, Reason: "users not compared for " + age.Round(time.Second).String()}}, nil
		}
		return []api.Finding{{State: api.StateOK}}, nil
	}
}

// lookAtTelegram asks whether Telegram answers, and whether it can deliver to us.
func (p *program) lookAtTelegram(ctx context.Context) ([]api.Finding, error) {
	info, err := p.client.WebhookInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask telegram: %w", err)
	}
	return []api.Finding{{State: api.StateOK}, webhookFinding(info, p.config.under(api.TelegramPath), time.Now())}, nil
}

func webhookFinding(info bot.WebhookInfo, ours string, now time.Time) api.Finding {
	failed := now.Sub(time.Unix(info.LastErrorDate, 0))
	switch {
	case info.URL == "":
		return api.Finding{State: api.StateDegraded, Reason: "no webhook is set: nothing is delivered"}
	case info.URL != ours:
		return api.Finding{State: api.StateDegraded, Reason: "the webhook is set to another address: somebody else uses this bot's token"}
	case failed < freshFailure && info.Pending > 0:
		return api.Finding{State: api.StateDegraded, Reason: fmt.Sprintf("%d updates cannot be delivered: %s", info.Pending, info.LastErrorMessage)}
	default:
		return api.Finding{State: api.StateOK}
	}
}

// lookAlone makes a look at one component of a call that fails when it is not well.
func lookAlone(call func(context.Context) error) func(context.Context) ([]api.Finding, error) {
	return func(ctx context.Context) ([]api.Finding, error) {
		if err := call(ctx); err != nil {
			return nil, err
		}
		return []api.Finding{{State: api.StateOK}}, nil
	}
}

func inboxFinding(v store.Vitals) api.Finding {
	switch {
	case v.OldestUpdate > lateInbox:
		return api.Finding{State: api.StateDegraded, Reason: fmt.Sprintf("%d updates wait, the oldest for %s", v.WaitingUpdates, v.OldestUpdate.Round(time.Second))}
	case v.DeadUpdates+v.DeadLetters > 0:
		return api.Finding{State: api.StateDegraded, Reason: fmt.Sprintf("%d updates and %d deliveries put aside in the last day", v.DeadUpdates, v.DeadLetters)}
	default:
		return api.Finding{State: api.StateOK}
	}
}

func jobsFinding(v store.Vitals) api.Finding {
	switch {
	case v.OldestJob > lateJobs:
		return api.Finding{State: api.StateDegraded, Reason: fmt.Sprintf("%d jobs are owed, the oldest for %s", v.OwedJobs, v.OldestJob.Round(time.Second))}
	case len(v.IdleJobs) > 0:
		return api.Finding{State: api.StateDegraded, Reason: "no success for long: " + strings.Join(v.IdleJobs, ", ")}
	case v.DeadJobs > 0:
		return api.Finding{State: api.StateDegraded, Reason: fmt.Sprintf("%d jobs given up in the last day", v.DeadJobs)}
	default:
		return api.Finding{State: api.StateOK}
	}
}

func paymentsFinding(v store.Vitals) api.Finding {
	if v.FlaggedPayments > 0 {
		return api.Finding{State: api.StateDegraded, Reason: fmt.Sprintf("%d payments flagged for an operator in the last day", v.FlaggedPayments)}
	}
	return api.Finding{State: api.StateOK}
}
