package telegram_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sallyport/sandbox/telegram"
)

// library returns a client of go-telegram-bot-api that talks to the emulator.
func (w *world) tgbotapi() *tgbotapi.BotAPI {
	w.t.Helper()
	bot, err := tgbotapi.NewBotAPIWithAPIEndpoint(token, w.http.URL+"/bot%s/%s")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(bot.Client.(*http.Client).CloseIdleConnections)
	return bot
}

func TestLibraryChats(t *testing.T) {
	t.Parallel()
	w := setup(t)
	bot := w.tgbotapi()
	if bot.Self.UserName != "sallyport_bot" {
		t.Errorf("self %+v", bot.Self)
	}
	w.start()
	list, err := bot.GetUpdates(tgbotapi.UpdateConfig{})
	if err != nil || len(list) != 1 || list[0].Message.Command() != "start" {
		t.Fatalf("got %+v, %v", list, err)
	}
	message := tgbotapi.NewMessage(1001, "<b>hi</b>")
	message.ParseMode, message.DisableWebPagePreview, message.ReplyToMessageID = "HTML", true, list[0].Message.MessageID
	message.ReplyMarkup = tgbotapi.NewInlineKeyboardMarkup(tgbotapi.NewInlineKeyboardRow(tgbotapi.NewInlineKeyboardButtonData("Buy", "buy")))
	m, err := bot.Send(message)
	if err != nil || m.Text != "hi" || m.Entities[0].Type != "bold" || m.ReplyMarkup == nil || m.ReplyToMessage == nil {
		t.Fatalf("got %+v, %v", m, err)
	}
	if _, err := w.tg.Press(1001, m.MessageID, "buy"); err != nil {
		t.Fatal(err)
	}
	list, err = bot.GetUpdates(tgbotapi.UpdateConfig{Offset: list[0].UpdateID + 1, Timeout: 10})
	if err != nil || list[0].CallbackQuery.Data != "buy" || list[0].CallbackQuery.Message.Text != "hi" {
		t.Fatalf("got %+v, %v", list, err)
	}
	if _, err := bot.Request(tgbotapi.NewCallbackWithAlert(list[0].CallbackQuery.ID, "Bought")); err != nil {
		t.Error(err)
	}
	edit := tgbotapi.NewEditMessageText(1001, m.MessageID, "done")
	if _, err := bot.Send(edit); err != nil {
		t.Error(err)
	}
	var refused *tgbotapi.Error
	if _, err := bot.Send(edit); !errors.As(err, &refused) || refused.Code != 400 || !strings.Contains(refused.Message, "message is not modified") {
		t.Errorf("got %v", err)
	}
	if _, err := bot.Request(tgbotapi.NewDeleteMessage(1001, m.MessageID)); err != nil {
		t.Error(err)
	}
	if got := w.tg.Violations(); len(got) > 0 {
		t.Errorf("violations %v", got)
	}
}

func TestLibrarySendsFilesAndInvoices(t *testing.T) {
	t.Parallel()
	w := setup(t)
	bot := w.tgbotapi()
	w.start()
	photo := tgbotapi.NewPhoto(1001, tgbotapi.FileBytes{Name: "qr.png", Bytes: pngOf(t, 40, 40)})
	photo.Caption = "QR"
	m, err := bot.Send(photo)
	if err != nil || m.Photo[0].Width != 40 {
		t.Fatalf("got %+v, %v", m, err)
	}
	if m, err = bot.Send(tgbotapi.NewPhoto(1001, tgbotapi.FileID(m.Photo[0].FileID))); err != nil {
		t.Error(err)
	}
	if file, err := bot.GetFile(tgbotapi.FileConfig{FileID: m.Photo[0].FileID}); err != nil || !strings.HasSuffix(file.FilePath, ".png") {
		t.Errorf("got %+v, %v", file, err)
	}
	invoice := tgbotapi.NewInvoice(1001, "Month", "30 days", "order-1", "", "start", "XTR", []tgbotapi.LabeledPrice{{Label: "Month", Amount: 150}})
	if _, err := bot.Send(invoice); err == nil || !strings.Contains(err.Error(), "xpected an Array") {
		t.Errorf("nil tips: %v", err)
	}
	invoice.SuggestedTipAmounts = []int{}
	if m, err = bot.Send(invoice); err != nil || m.Invoice.TotalAmount != 150 {
		t.Errorf("got %+v, %v", m, err)
	}
	commands := tgbotapi.NewSetMyCommands(tgbotapi.BotCommand{Command: "start", Description: "Begin"})
	if _, err := bot.Request(commands); err != nil {
		t.Error(err)
	}
}

func TestLibrarySetsTheWebhook(t *testing.T) {
	t.Parallel()
	w := setup(t)
	bot := w.tgbotapi()
	cert, text := selfSigned(t, "127.0.0.1")
	h := listenTLS(t, cert)
	config, err := tgbotapi.NewWebhookWithCert(h.URL, tgbotapi.FileBytes{Name: "cert.pem", Bytes: text})
	if err != nil {
		t.Fatal(err)
	}
	config.AllowedUpdates = []string{"message"}
	if _, err := bot.Request(config); err != nil {
		t.Fatal(err)
	}
	w.start()
	receive(t, h.arrived)
	got, err := bot.GetWebhookInfo()
	if err != nil || !got.HasCustomCertificate || got.URL != h.URL || got.MaxConnections != 40 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := bot.Request(tgbotapi.DeleteWebhookConfig{}); err != nil {
		t.Error(err)
	}
}

func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	w := setup(t, fast(1000), func(c *telegram.Config) { c.Logger = zap.New(core) })
	h := listen(t, func(n int, _ delivery, rw http.ResponseWriter) {
		if n == 1 {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	})
	w.must("setWebhook", params{"url": h.URL + "/secret-path", "secret_token": "secret-token"}, nil)
	w.says(ann(), "a private text")
	eventually(t, "delivered", func() bool { return w.tg.Pending() == 0 })
	w.refused(400, "", "sendMessage", params{"chat_id": 5, "text": "another private text"})
	if logs.Len() < 2 {
		t.Errorf("%d lines", logs.Len())
	}
	for _, entry := range logs.All() {
		line := entry.Message
		for _, field := range entry.Context {
			line += " " + field.String
			if err, ok := field.Interface.(error); ok {
				line += " " + err.Error()
			}
		}
		for _, secret := range []string{token, "secret-path", "secret-token", "private text"} {
			if strings.Contains(line, secret) {
				t.Errorf("%q is in the log line %q", secret, line)
			}
		}
	}
}
