package bot_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/bot"
	"sallyport/outbound"
	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// BenchmarkPress answers a pressed button: the database is real, and Telegram takes
// every call at once.
func BenchmarkPress(b *testing.B) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ok":true,"result":{"message_id":77}}`))
	}))
	defer api.Close()
	client := bot.NewClient(token, api.URL, outbound.New(outbound.Config{Name: "telegram"}))
	defer client.Close()
	texts, err := bot.NewTexts(time.UTC, shoptest.Providers(nil, nil))
	if err != nil {
		b.Fatal(err)
	}
	s := server.Open(b)
	var catalogue atomic.Pointer[shop.Catalogue]
	catalogue.Store(&shop.Catalogue{})
	sells := shop.New(shop.Config{Store: s, Catalogue: &catalogue, Nodes: func() []shop.Node { return nil }})
	answers := bot.New(sells, client, bot.NewDisplay(bot.NewSender(client, 1_000_000), s, texts, bot.Reply))
	b.ReportAllocs()
	for user := int64(1); b.Loop(); user++ { // each presses once: a chat takes one message a second
		body := fmt.Appendf(nil, `{"update_id":1,"callback_query":{"id":"1","from":{"id":%[1]d,"first_name":"Ann","language_code":"en"},`+
			`"message":{"message_id":77,"chat":{"id":%[1]d,"type":"private"},"text":"Hello"},"data":"profile"}}`, user)
		if err := answers.Handle(b.Context(), shop.Update{ID: user, Lane: user, Kind: "callback_query", Body: body, ReceivedAt: time.Now()}); err != nil {
			b.Fatal(err)
		}
	}
}
