package cryptobot_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"sallyport/payments/cryptobot"
)

func TestTheServiceSaysWhoseTheTokenIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, more string
		want       cryptobot.App
	}{
		{"as documented", ``, cryptobot.App{Name: "Shop", Bot: "CryptoBot"}},
		{"with a webhook", `,"webhook_endpoint":"https://a/b"`, cryptobot.App{Name: "Shop", Bot: "CryptoBot", Webhook: "https://a/b", WebhookKnown: true}},
		{"with an empty webhook", `,"webhook_endpoint":""`, cryptobot.App{Name: "Shop", Bot: "CryptoBot", WebhookKnown: true}},
		{"with no webhook", `,"webhook_endpoint":null`, cryptobot.App{Name: "Shop", Bot: "CryptoBot", WebhookKnown: true}},
		{"with something else", `,"webhook_endpoint":{"url":"x"}`, cryptobot.App{Name: "Shop", Bot: "CryptoBot", WebhookKnown: true}},
	} {
		body := fmt.Sprintf(`{"ok":true,"result":{"app_id":1,"name":"Shop","payment_processing_bot_username":"CryptoBot"%s}}`, c.more)
		got, err := clientOf(t, answering(200, body)).Me(t.Context())
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if app, err := clientOf(t, answering(200, `{"ok":true,"result":{"name":"Shop"}}`)).Me(t.Context()); err == nil {
		t.Errorf("without an id: %+v", app)
	}
}

func TestAWrongTokenIsToldFromOtherRefusals(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]bool{401: true, 400: false, 403: false, 500: false} {
		_, err := clientOf(t, answering(code, fmt.Sprintf(`{"ok":false,"error":{"code":%d,"name":"X"}}`, code))).Me(t.Context())
		if cryptobot.WrongToken(err) != want {
			t.Errorf("%d: %v", code, err)
		}
	}
	if cryptobot.WrongToken(nil) || cryptobot.WrongToken(errors.Join(io.EOF)) {
		t.Error("what is no refusal says nothing of the token")
	}
}
