package bot_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/bot"
	"sallyport/outbound"
	"sallyport/payments/stars"
	"sallyport/sandbox/telegram"
	"sallyport/shop"
	"sallyport/shop/shoptest"
	"sallyport/store"
)

// front is a bot over a real database and the emulator of Telegram; updates are
// given to it by hand.
type front struct {
	*bot.Bot
	t         *testing.T
	telegram  *telegram.Server
	client    *bot.Client
	sender    *bot.Sender
	store     *store.Store
	shop      *shop.Shop
	messenger *bot.Messenger
	gateway   *shoptest.Gateway
	nodes     []shop.Node
	catalogue atomic.Pointer[shop.Catalogue]
	seen      int
	offset    int // of the updates taken from Telegram

	noPictures atomic.Bool  // Telegram takes none
	heldBack   atomic.Bool  // Telegram takes no messages for now
	answers    atomic.Int64 // to presses
	beforeEdit func()       // called when Telegram is asked to edit a message
}

const ann = int64(500)

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{t: t, telegram: telegram.New(telegram.Config{Token: token, Limits: telegram.Limits{Disabled: true}}), store: server.Open(t), gateway: shoptest.NewGateway(shop.CryptoBot)}
	t.Cleanup(f.telegram.Close)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.beforeEdit != nil && strings.HasSuffix(r.URL.Path, "/editMessageText") {
			f.beforeEdit()
		}
		if strings.HasSuffix(r.URL.Path, "/answerCallbackQuery") {
			f.answers.Add(1)
		}
		if method := path.Base(r.URL.Path); f.heldBack.Load() && (method == "sendMessage" || method == "editMessageText") {
			http.Error(w, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 120","parameters":{"retry_after":120}}`, http.StatusTooManyRequests)
			return
		}
		if f.noPictures.Load() && strings.HasSuffix(r.URL.Path, "/sendPhoto") {
			http.Error(w, `{"ok":false,"error_code":400,"description":"Bad Request: IMAGE_PROCESS_FAILED"}`, http.StatusBadRequest)
			return
		}
		f.telegram.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	f.client = bot.NewClient(token, api.URL, outbound.New(outbound.Config{Name: "telegram"}))
	t.Cleanup(f.client.Close)
	texts, err := bot.NewTexts(time.UTC, shoptest.Providers(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	f.sender = bot.NewSender(f.client, bot.DefaultRate)
	f.messenger = bot.NewMessenger(bot.NewDisplay(f.sender, f.store, texts, bot.Key), bot.NewDisplay(f.sender, f.store, texts, bot.Notice))
	f.catalogue.Store(&shop.Catalogue{Support: "@help", Plans: []shop.Plan{{
		ID: "basic", Name: map[shop.Language]string{shop.English: "Basic"}, Description: map[shop.Language]string{shop.English: "A & B"},
		Periods: []shop.Period{{ID: "30d", Length: 720 * time.Hour, Price: shop.Money{Minor: 14900, Currency: "RUB"}, Stars: shop.Money{Minor: 99, Currency: shop.XTR}}},
	}}})
	f.nodes = []shop.Node{shoptest.NewNode("de1")}
	f.shop = shop.New(shop.Config{
		Store: f.store, Catalogue: &f.catalogue, Nodes: func() []shop.Node { return f.nodes },
		Providers: shoptest.Providers(f.gateway, stars.New(f.call)), Messenger: f.messenger,
	})
	f.Bot = bot.New(f.shop, f.client, bot.NewDisplay(f.sender, f.store, texts, bot.Reply))
	return f
}

// call is how the gateway for Stars reaches Telegram.
func (f *front) call(ctx context.Context, method string, params map[string]string, result any) error {
	return f.client.Call(ctx, method, params, result)
}

// handle gives the bot one update.
func (f *front) handle(kind, body string) error {
	f.t.Helper()
	f.seen++
	for {
		err := f.Handle(f.t.Context(), shop.Update{ID: int64(f.seen), Kind: kind, Body: []byte(body)})
		limited, ok := errors.AsType[*shop.Error](err)
		if !ok || limited.Kind != shop.KindLimited {
			return err
		}
		<-time.After(limited.RetryAfter) // as the lanes do
	}
}

// write has Ann write a text.
func (f *front) write(text string) {
	f.t.Helper()
	if _, err := f.telegram.SendText(telegram.User{ID: ann, FirstName: "<Ann>", LanguageCode: "en"}, text); err != nil {
		f.t.Fatal(err)
	}
	err := f.handle("message", fmt.Sprintf(`{"update_id":1,"message":{"message_id":1,"from":{"id":%d,"first_name":"<Ann>","language_code":"en"},"chat":{"id":%d,"type":"private"},"text":%q}}`, ann, ann, text))
	if err != nil {
		f.t.Fatal(err)
	}
}

// press has Ann press a button under a message; text is what the message says.
func (f *front) press(message int, data, text string) error {
	f.t.Helper()
	return f.handle("callback_query", fmt.Sprintf(`{"update_id":1,"callback_query":{"id":"no such query","from":{"id":%d,"first_name":"<Ann>","language_code":"en"},"message":{"message_id":%d,"chat":{"id":%d,"type":"private"},"text":%q},"data":%q}}`, ann, message, ann, text, data))
}

func (f *front) screens() []telegram.Message {
	return slices.DeleteFunc(f.telegram.Chat(ann).Messages, func(m telegram.Message) bool { return !m.FromBot || m.Deleted })
}

// only returns the one screen there should be, which should say text.
func (f *front) only(text string) telegram.Message {
	f.t.Helper()
	screens := f.screens()
	if len(screens) != 1 || !strings.Contains(screens[0].Text, text) {
		f.t.Fatalf("want one screen that says %q, have %+v", text, screens)
	}
	return screens[0]
}

func (f *front) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestScreensAreEditedInPlace(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	first := f.only("Choose your language")
	f.must(f.press(first.ID, "language:en", first.Text))
	if m := f.only("Hello, <Ann>!"); m.ID != first.ID {
		t.Error("a new message instead of an edit")
	}
	for _, step := range [][2]string{{"plans", "A & B"}, {"plan:basic", "For how long?"}, {"buy:basic:30d", "How would you like to pay?"}, {"menu", "private internet"}, {"menu", "private internet"}} {
		f.must(f.press(first.ID, step[0], "x"))
		f.only(step[1])
	}
	f.write("/profile")
	if m := f.only("You have no access yet"); m.ID == first.ID {
		t.Error("a command is answered below it")
	}
}

func TestAScreenThatIsGoneIsSentAnew(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	gone := f.only("Choose your language")
	f.must(f.sender.Delete(t.Context(), ann, int64(gone.ID)))
	f.must(f.press(gone.ID, "language:en", gone.Text))
	f.only("Hello, <Ann>!")
}

func TestAPressUnderAPictureIsAnsweredBelowIt(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	f.must(f.handle("callback_query", fmt.Sprintf(`{"update_id":1,"callback_query":{"id":"q","from":{"id":%d},"message":{"message_id":99,"chat":{"id":%d,"type":"private"},"caption":"x"},"data":"menu"}}`, ann, ann)))
	f.only("private internet")
}

func TestOddPressesAreAnsweredKindly(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	screen := f.only("Choose")
	f.must(f.press(screen.ID, "language:en", "x"))
	for _, data := range []string{
		"", ":", "nothing", "plan", "plan:gold", "buy:basic:1d", "pay:::::", "pay:basic:9d", "order:", "order:junk",
		"order:" + shop.NewOrderID().String(), "cancel:" + shop.NewOrderID().String(), "language:xx", strings.Repeat("я", 32),
	} {
		f.must(f.press(screen.ID, data, "x"))
		f.only("out of date")
		f.must(f.press(screen.ID, "menu", "x"))
	}
	f.must(f.handle("callback_query", fmt.Sprintf(`{"update_id":1,"callback_query":{"id":"q","from":{"id":%d},"data":"menu"}}`, ann))) // no message at all
	f.only("private internet")
}

func TestWhatIsNotForUsIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	before := f.telegram.Chat(ann).Version
	for _, body := range []string{
		`{"update_id":1,"message":{"message_id":1,"from":{"id":500},"chat":{"id":-100,"type":"supergroup"},"text":"/start"}}`,
		`{"update_id":1,"message":{"message_id":1,"from":{"id":7,"is_bot":true},"chat":{"id":7,"type":"private"},"text":"/start"}}`,
		`{"update_id":1,"message":{"message_id":1,"chat":{"id":500,"type":"private"}}}`,
		`{"update_id":1,"edited_message":{"message_id":1,"from":{"id":500},"chat":{"id":500,"type":"private"},"text":"x"}}`,
		`{"update_id":1,"chat_boost":{}}`, `{"update_id":1}`,
	} {
		f.must(f.handle("other", body))
	}
	if after := f.telegram.Chat(ann).Version; after != before {
		t.Errorf("%d changes in the chat", after-before)
	}
	if err := f.handle("message", `[]`); shop.KindOf(err) != shop.KindInvalid {
		t.Errorf("junk: %v", err)
	}
	err := f.handle("message", `{"update_id":1,"message":{"message_id":1,"from":{"id":500},"chat":{"id":500,"type":"private"},"successful_payment":{"currency":"XTR"}}}`)
	if shop.KindOf(err) != shop.KindInvalid {
		t.Errorf("money without an id must be kept for an operator: %v", err)
	}
}

func TestBlockingAndComingBackIsNoted(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	for _, step := range []struct {
		status    string
		reachable bool
	}{{"kicked", false}, {"member", true}} {
		f.must(f.handle("my_chat_member", fmt.Sprintf(`{"update_id":1,"my_chat_member":{"from":{"id":%d},"chat":{"id":%d,"type":"private"},"new_chat_member":{"status":%q}}}`, ann, ann, step.status)))
		if u, err := f.store.User(t.Context(), shop.UserID(ann)); err != nil || u.Reachable != step.reachable {
			t.Errorf("%s: %+v, %v", step.status, u, err)
		}
	}
}

func TestTheInvoiceAppearsOnlyWhereTheCustomerStillLooks(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	screen := f.only("Choose")
	f.must(f.press(screen.ID, "language:en", "x"))
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	preparing := f.only("Preparing your invoice")
	order := f.orderOf(preparing)
	f.must(f.shop.OpenInvoice(t.Context(), order))
	invoice := shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeInvoice, OrderID: order}
	f.must(f.press(screen.ID, "menu", "x"))
	f.must(f.shop.Notify(t.Context(), invoice))
	f.only("private internet")
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	f.only("pay in @CryptoBot")
	if n := f.gateway.Made(); n != 1 {
		t.Errorf("%d invoices", n)
	}
}

// The invoice may be there before the screen that waits for it.
func TestAnInvoiceQuickerThanItsScreenIsShownAllTheSame(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	screen := f.only("Choose")
	f.must(f.press(screen.ID, "language:en", "x"))
	f.beforeEdit = sync.OnceFunc(func() {
		var job shop.OpenInvoice
		f.must(f.store.Pool().QueryRow(t.Context(), `SELECT args FROM river_job WHERE kind = 'open_invoice'`).Scan(&job))
		f.must(f.shop.OpenInvoice(t.Context(), job.OrderID))
		f.must(f.shop.Notify(t.Context(), shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeInvoice, OrderID: job.OrderID}))
	})
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	f.only("pay in @CryptoBot")
}

// A customer who has used up what may be sent to their chat still gets the key at
// the first chance: nothing else spends that chance.
func TestTheKeyComesFirstWhenTheChatIsHeldBack(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	screen := f.only("Choose")
	f.must(f.press(screen.ID, "language:en", "x"))
	f.must(f.press(screen.ID, "pay:basic:30d", "x"))
	order := f.orderOf(f.only("Preparing your invoice"))
	f.must(f.shop.OpenInvoice(t.Context(), order))
	o, err := f.shop.OrderOf(t.Context(), shop.UserID(ann), order)
	f.must(err)
	_, err = f.shop.Settle(t.Context(), f.gateway.Pay(o))
	f.must(err)
	f.must(f.shop.Converge(t.Context(), shop.UserID(ann)))
	for err = nil; err == nil; {
		err = f.sender.Edit(t.Context(), bot.Reply, ann, int64(screen.ID), bot.Screen{Text: "busy"})
	}
	tries := 0
	for err = shop.ErrNotFound; err != nil; tries++ {
		err = f.shop.Notify(t.Context(), shop.Notify{UserID: shop.UserID(ann), Notice: shop.NoticeReady, OrderID: order})
		if limited, ok := errors.AsType[*shop.Error](err); ok {
			<-time.After(limited.RetryAfter)
		}
	}
	if cards := f.screens(); tries > 3 || cards[len(cards)-1].PhotoFileID == "" {
		t.Errorf("the key came with try %d", tries)
	}
}

func (f *front) orderOf(m telegram.Message) shop.OrderID {
	f.t.Helper()
	_, text, _ := strings.Cut(m.Keyboard[0][0].Data, ":")
	id, err := shop.ParseOrderID(text)
	f.must(err)
	return id
}

func TestTheBotPresentsItselfInEveryLanguageOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.write("/start")
	for range 2 {
		f.must(f.Introduce(t.Context()))
	}
	if menu := f.telegram.Chat(ann).Commands; len(menu) != 8 || menu[0].Command != "start" {
		t.Errorf("%+v", menu)
	}
	for code, want := range map[string]string{"": "Fast and private", "ru": "Быстрый и приватный", "de": "Fast and private"} {
		var shown struct {
			Description string `json:"description"`
			Short       string `json:"short_description"`
		}
		for _, method := range []string{"getMyDescription", "getMyShortDescription"} {
			f.must(f.client.Call(t.Context(), method, map[string]string{"language_code": code}, &shown))
		}
		if !strings.HasPrefix(shown.Description, want) || !strings.HasPrefix(shown.Short, want) {
			t.Errorf("in %q: %+v", code, shown)
		}
	}
	var menu struct {
		Type string `json:"type"`
	}
	f.must(f.client.Call(t.Context(), "setChatMenuButton", map[string]string{"menu_button": `{"type":"web_app","text":"x","web_app":{"url":"https://old.example"}}`}, nil))
	f.must(f.Introduce(t.Context()))
	f.must(f.client.Call(t.Context(), "getChatMenuButton", nil, &menu))
	if menu.Type != "commands" {
		t.Errorf("the menu button is %q", menu.Type)
	}
}

// A chat that takes no more for now holds up its own customer, and is remembered: the
// operator need not be told that somebody waits.
func TestAChatThatTakesNoMoreIsRemembered(t *testing.T) {
	t.Parallel()
	for name, heldBack := range map[string]bool{"by its own pace": false, "because Telegram says so": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t)
			f.write("/start")
			left := func() (n int) {
				t.Helper()
				err := f.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM left_alone WHERE user_id = $1 AND alone_until > now()`, ann).Scan(&n)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if left() != 0 {
				t.Fatal("remembered at once")
			}
			f.heldBack.Store(heldBack)
			menu := fmt.Sprintf(`{"update_id":1,"callback_query":{"id":"no such query","from":{"id":%d,"language_code":"en"},"message":{"message_id":1,"chat":{"id":%d,"type":"private"},"text":"x"},"data":"menu"}}`, ann, ann)
			err := error(nil)
			for err == nil && t.Context().Err() == nil {
				err = f.Handle(t.Context(), shop.Update{ID: 7, Kind: shop.KindPress, Body: []byte(menu)})
			}
			if shop.KindOf(err) != shop.KindLimited || left() != 1 {
				t.Errorf("%v, remembered %d times", err, left())
			}
			ready := shop.Message{Notice: shop.NoticeDelayed, Profile: shop.Profile{User: shop.User{ID: shop.UserID(ann)}}}
			if _, err := f.store.Pool().Exec(t.Context(), `DELETE FROM left_alone`); err != nil {
				t.Fatal(err)
			}
			for err = nil; err == nil && t.Context().Err() == nil; {
				err = f.messenger.Tell(t.Context(), ready)
			}
			if shop.KindOf(err) != shop.KindLimited || left() != 1 {
				t.Errorf("a notice: %v, remembered %d times", err, left())
			}
		})
	}
}
