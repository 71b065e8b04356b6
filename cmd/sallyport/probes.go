package main

import (
	"context"
	"fmt"
	"time"

	"sallyport/api"
	"sallyport/store"
)

const (
	// freshOutside is how long a finding about an outside host may be reused:
	// health must not become a load on it.
	freshOutside = 2 * time.Second
	// lateInbox and lateJobs are when waiting work means that something is wrong.
	lateInbox = 20 * time.Second
	lateJobs  = 30 * time.Second
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
		{Names: []string{"telegram"}, Fresh: freshOutside, Look: lookAlone(func(ctx context.Context) error {
			return p.client.Call(ctx, "getMe", nil, nil)
		})},
		{Names: []string{"cryptopay"}, Fresh: freshOutside, Look: lookAlone(p.gateway.Check)},
	}
	for _, node := range p.nodes {
		probes = append(probes, api.Probe{Names: []string{"node:" + node.Name()}, Fresh: time.Second, Look: lookAlone(func(ctx context.Context) error {
			_, err := node.Uptime(ctx)
			return err
		})})
	}
	return probes
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
