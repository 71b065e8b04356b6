package alerts_test

import (
	"fmt"
	"net/url"
	"testing"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
)

func TestTelegram(t *testing.T) {
	t.Parallel()
	s := begin(t)
	plays(t, s, []trouble{
		{
			code: "telegram_unreachable", alerts: []string{"SallyportTelegramUnreachable"}, deaf: true,
			breaks: func(s *scene) { s.spoil(sandbox.TelegramTarget, fault.Down, 0) },
			cures:  func(s *scene) { s.mend(sandbox.TelegramTarget) },
		},
		{
			code: "telegram_refused", alerts: []string{"SallyportTelegramRefused"}, deaf: true,
			breaks: func(s *scene) { s.telegram.refuse(`{"ok":false,"error_code":401,"description":"Unauthorized"}`) },
			cures:  func(s *scene) { s.telegram.pass() },
		},
		{
			code: "operator_unreachable", alerts: []string{"SallyportOperatorUnreachable"}, deaf: true,
			breaks: func(s *scene) { // it is noticed at once when there is something to tell
				s.blocks(true)
				ready := s.w.Ready()
				if status := s.post(ready.WebhookPath, "X-Telegram-Bot-Api-Secret-Token", ready.WebhookSecret, []byte("not JSON")); status != 200 {
					s.t.Errorf("answered %d", status)
				}
			},
			cures: func(s *scene) {
				s.cure("inbox_dead")
				s.blocks(false)
			},
		},
		{
			// A report to the operator that hangs holds up the next look.
			alerts: []string{"SallyportMetricsStale"},
			breaks: func(s *scene) {
				s.spoil(sandbox.TelegramTarget, fault.Hung, 0)
			},
			cures: func(s *scene) { s.mend(sandbox.TelegramTarget) },
		},
	})
}

// blocks has the operator block the bot, or not any more.
func (s *scene) blocks(blocked bool) {
	s.t.Helper()
	if err := s.w.Telegram.SetBlocked(operator, blocked); err != nil {
		s.t.Fatal(err)
	}
}

func TestTheWebhook(t *testing.T) {
	t.Parallel()
	s := begin(t)
	listening := url.Values{"url": {s.w.Ready().ChatURL + "/elsewhere"}}
	plays(t, s, []trouble{
		{
			code: "webhook_missing", alerts: []string{"SallyportWebhookMissing", "SallyportWebhookRepaired"},
			breaks: func(s *scene) {
				s.telegram.rival.Store(true)
				s.bot("deleteWebhook", nil)
			},
			cures: func(*scene) { s.telegram.rival.Store(false) },
		},
		{
			code: "webhook_failing", alerts: []string{"SallyportWebhookFailing"},
			breaks: func(s *scene) {
				if err := s.door.Set(fault.Down, 0, 0); err != nil {
					s.t.Fatal(err)
				}
				_ = s.person(1).Write("/start")
			},
			cures: func(s *scene) { s.door.Clear() },
		},
		{
			code: "webhook_behind", alerts: []string{"SallyportWebhookBehind"},
			breaks: func(s *scene) {
				if err := s.door.Set(fault.Hung, 0, 0); err != nil {
					s.t.Fatal(err)
				}
				for n := range int64(25) {
					_ = s.person(100 + n).Write(fmt.Sprint("Hello ", n))
				}
			},
			cures: func(s *scene) { s.door.Clear() },
		},
		{
			code: "webhook_elsewhere", alerts: []string{"SallyportWebhookElsewhere"},
			breaks: func(s *scene) { s.bot("setWebhook", listening) },
			cures:  func(*scene) {}, // the shop sets it right by itself; the complaint lasts for a while
		},
	})
}

func TestTheShopItself(t *testing.T) {
	t.Parallel()
	s := begin(t)
	plays(t, s, []trouble{{
		alerts: []string{"SallyportDown"},
		breaks: func(s *scene) { s.product("stop") },
		cures:  func(s *scene) { s.product("start") },
	}})
}
