package deploy_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	amtelegram "github.com/prometheus/alertmanager/notify/telegram"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/common/model"
)

// operatorChat is a group's number.
const operatorChat = "-1001234567890"

// alertmanager returns the configuration that init makes, as Alertmanager itself reads it.
func alertmanager(t *testing.T) *amconfig.Config {
	t.Helper()
	dir := checkout(t)
	given := answers()
	given["OPERATOR_CHAT"] = operatorChat
	if out, err := initialise(t, dir, given); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(read(t, filepath.Join(dir, ".env")), "OPERATOR_CHAT="+operatorChat+"\n") {
		t.Error("the shop is not told the operator's chat")
	}
	config, err := amconfig.LoadFile(filepath.Join(dir, "config", "alertmanager.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestPrometheusTellsAlertmanager(t *testing.T) {
	t.Parallel()
	var prometheus struct {
		Alerting struct {
			Alertmanagers []struct {
				Static []struct{ Targets []string } `yaml:"static_configs"`
			}
		}
	}
	readYAML(t, inRoot("deploy/monitoring/prometheus.yml"), &prometheus)
	services := project(t).Services
	told := 0
	for _, manager := range prometheus.Alerting.Alertmanagers {
		for _, list := range manager.Static {
			for _, target := range list.Targets {
				name, port, _ := strings.Cut(target, ":")
				service, ok := services[name]
				if !ok || port != "9093" || service.Networks["shop"] == nil && !slices.Contains(service.NetworksByPriority(), "shop") {
					t.Errorf("%s is no service that Prometheus reaches", target)
				}
				told++
			}
		}
	}
	if told == 0 {
		t.Error("alerts reach nobody")
	}
}

// TestAnAlertReachesTheOperatorsChat sends alerts as Prometheus would through the shipped
// configuration, by Alertmanager's own code.
func TestAnAlertReachesTheOperatorsChat(t *testing.T) {
	t.Parallel()
	config := alertmanager(t)
	route := dispatch.NewRoute(config.Route, nil)
	for alert, want := range map[string]string{
		"SallyportDown": "operator", "SallyportMetricsStale": "operator", "SallyportReceiverSlow": "operator",
		"SallyportTelegramRefused": "operator", "SallyportPaymentsFlagged": "shop",
	} {
		labels := model.LabelSet{"alertname": model.LabelValue(alert), "severity": "page"}
		switch alert {
		case "SallyportTelegramRefused":
			labels["code"] = "telegram_refused"
		case "SallyportPaymentsFlagged":
			labels["code"] = "payments_flagged"
		}
		matched := route.Match(labels)
		if len(matched) != 1 || matched[0].RouteOpts.Receiver != want {
			t.Errorf("%s is told by %v, want %s", alert, matched, want)
		}
	}
	said := tell(t, config, &types.Alert{Alert: model.Alert{
		Labels: model.LabelSet{"alertname": "SallyportDown", "severity": "page"},
		Annotations: model.LabelSet{
			"summary": "The shop is away", "description": "Its metrics cannot be read.", "todo": "systemctl status sallyport",
		},
		StartsAt: time.Now(),
	}})
	for _, want := range []string{`"chat_id":"` + operatorChat + `"`, "🔴 The shop is away", "Its metrics cannot be read.", "systemctl status sallyport"} {
		if !strings.Contains(said, want) {
			t.Errorf("Telegram is sent\n%s\nwithout %q", said, want)
		}
	}
}

// tell has Alertmanager tell its operator of an alert, and returns what Telegram is sent.
func tell(t *testing.T, config *amconfig.Config, alert *types.Alert) string {
	t.Helper()
	var mu sync.Mutex
	var sent string
	bot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/bot"+answers()["BOT_TOKEN"]+"/sendMessage" {
			t.Errorf("asked for %s: %v", r.URL.Path, err)
		}
		mu.Lock()
		sent += string(body)
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": map[string]any{"message_id": 1, "chat": map[string]any{"id": 1}}})
	}))
	t.Cleanup(bot.Close)
	at := slices.IndexFunc(config.Receivers, func(r amconfig.Receiver) bool { return r.Name == "operator" })
	receiver := config.Receivers[at].TelegramConfigs[0]
	if secret := receiver.BotTokenFile; secret != "/run/secrets/"+project(t).Services["alertmanager"].Secrets[0].Source {
		t.Errorf("the token is read from %s", secret)
	}
	receiver.BotTokenFile = filepath.Join(initialised(t), "secrets", "alert_token")
	address, err := url.Parse(bot.URL)
	if err != nil {
		t.Fatal(err)
	}
	receiver.APIUrl = &amconfig.URL{URL: address}
	templates, err := amtemplate.FromGlobs(nil)
	if err != nil {
		t.Fatal(err)
	}
	templates.ExternalURL = address
	notifier, err := amtelegram.New(receiver, templates, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx := notify.WithGroupKey(notify.WithReceiverName(notify.WithGroupLabels(context.Background(), alert.Labels), "operator"), "1")
	if _, err := notifier.Notify(ctx, alert); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return sent
}
