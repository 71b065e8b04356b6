package bot_test

import (
	"slices"
	"testing"

	"sallyport/bot"
)

func TestTelegramSaysWhoWeAre(t *testing.T) {
	t.Parallel()
	me, err := client(t, answer(200, `{"ok":true,"result":{"id":77,"is_bot":true,"username":"sallyport_bot"}}`)).Me(t.Context())
	if err != nil || me != (bot.Me{ID: 77, Username: "sallyport_bot"}) {
		t.Errorf("%+v, %v", me, err)
	}
}

func TestAWrongTokenIsToldFromOtherTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		code       int
		want       bool
	}{
		{"unauthorised", `{"ok":false,"error_code":401,"description":"Unauthorized"}`, 401, true},
		{"not a token", `{"ok":false,"error_code":404,"description":"Not Found"}`, 404, true},
		{"too many", `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}`, 429, false},
		{"a proxy", `<html>Bad Gateway</html>`, 502, false},
		{"a success", `{"ok":true,"result":{}}`, 200, false},
	} {
		if _, err := client(t, answer(c.code, c.body)).Me(t.Context()); bot.WrongToken(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAWebhookIsComparedWithWhatWeWant(t *testing.T) {
	t.Parallel()
	turned := bot.AllowedUpdates()
	slices.Reverse(turned)
	same := bot.WebhookInfo{MaxConnections: 40, AllowedUpdates: turned}
	for _, c := range []struct {
		name   string
		change func(*bot.WebhookInfo, *bot.Webhook)
		want   []string
	}{
		{"alike, in another order", func(*bot.WebhookInfo, *bot.Webhook) {}, nil},
		{"fewer connections", func(i *bot.WebhookInfo, _ *bot.Webhook) { i.MaxConnections = 1 }, []string{"max_connections is 1, not 40"}},
		{"other updates", func(i *bot.WebhookInfo, _ *bot.Webhook) { i.AllowedUpdates = []string{"poll"} }, []string{
			`allowed_updates are ["poll"], not ["callback_query" "message" "my_chat_member" "pre_checkout_query"]`,
		}},
		{"a certificate of old", func(i *bot.WebhookInfo, _ *bot.Webhook) { i.OwnCertificate = true }, []string{"a certificate was uploaded that is not used any more"}},
		{"no certificate", func(_ *bot.WebhookInfo, w *bot.Webhook) { w.Certificate = []byte{} }, []string{"our own certificate was not uploaded"}},
		{"our certificate", func(i *bot.WebhookInfo, w *bot.Webhook) { i.OwnCertificate, w.Certificate = true, []byte{} }, nil},
	} {
		info, want := same, bot.Webhook{MaxConnections: 40}
		c.change(&info, &want)
		if got := info.Differences(want); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
