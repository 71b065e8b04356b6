package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/sandbox/fault"
	"sallyport/sandbox/node"
	"sallyport/sandbox/node/client"
)

// connects fetches a page through the tunnel of a key.
func (w *world) connects(link string) error {
	binary, err := node.Binary()
	if err != nil {
		return err
	}
	c, err := client.Start(w.t.Context(), binary, link)
	if err != nil {
		return err
	}
	defer func() { _ = c.Stop() }()
	browser := c.HTTPClient()
	browser.Timeout = 8 * time.Second
	resp, err := browser.Get(w.internet.URL)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func TestFromStartToBytesThroughAPaidTunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1001)
	anna.write("/start")
	anna.tap("Русский")
	invoice := anna.orderFromMenu("30 дней")
	anna.paid(invoice)
	card := anna.see("Нажмите на ключ")
	link := key(card)
	if card.PhotoFileID == "" || !strings.HasPrefix(link, "vless://") {
		t.Fatalf("no picture or no key: %+v", card)
	}
	if err := w.connects(link); err != nil {
		t.Fatal(err)
	}
	anna.see("Оплачено")
	anna.tap("Профиль")
	anna.see("действует")
	anna.tap("Мой ключ")
	if shown := key(anna.see("Нажмите, чтобы скопировать")); shown != link {
		t.Errorf("the profile shows another key: %s", shown)
	}
	if v := w.telegram.Violations(); len(v) > 0 {
		t.Errorf("calls that the Bot API does not know: %v", v)
	}
}

func TestAccessEndsIsSaidAndComesBackWithTheSameKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1002)
	anna.paid(anna.order("2 секунды"))
	link := key(anna.see("Нажмите на ключ"))
	anna.see("Ваш доступ закончился")
	w.waitFor("the key to stop working", func() bool { return w.connects(link) != nil })
	anna.tap("Продлить")
	anna.tap("Базовый")
	anna.tap("30 дней")
	anna.tap("CryptoBot")
	url := anna.tap("Оплатить").URL
	for _, i := range w.pay.Invoices() {
		if i.BotInvoiceURL == url {
			anna.paid(i.ID)
		}
	}
	w.waitFor("the key to work again", func() bool { return w.connects(link) == nil })
}

func TestXrayRestartIsHealedWithoutAnybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1003)
	anna.paid(anna.order("30 дней"))
	link := key(anna.see("Нажмите на ключ"))
	w.node.Kill()
	if err := w.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.waitFor("the key to work again", func() bool { return w.connects(link) == nil })
}

func TestRestartOfTheProgramInMidPurchaseLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1004)
	invoice := anna.order("30 дней")
	w.stopProgram()
	anna.paid(invoice) // nobody is there to hear of it
	w.start()
	anna.see("Нажмите на ключ")
}

func TestMenusAnswerKindlyWhateverIsPressedOrWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1005)
	anna.order("30 дней")
	old := anna.live()[0]
	anna.tap("Отменить")
	anna.see("Заказ отменён")
	anna.press(old.ID, "plans") // the menu now stands where the order was
	anna.write("когда заработает?")
	anna.see("Лучше всего я понимаю кнопки")
	for _, c := range [][2]string{
		{"/paysupport", "Вопросы об оплате"},
		{"/support", "@sallyport_support"},
		{"/help", "Как подключиться"},
		{"/profile", "У вас пока нет доступа"},
		{"/key", "Ключа пока нет"},
		{"/language", "Choose your language"},
	} {
		anna.write(c[0])
		anna.see(c[1])
	}
	anna.tap("English")
	anna.see("Hello, Анна <b>!")
	if n := len(anna.live()); n > 2 {
		t.Errorf("%d screens pile up", n)
	}
}

func TestHealthIsShownOnTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	show := func(live bool) (string, error) {
		var out strings.Builder
		err := healthCommand{Live: live}.show(t.Context(), w.config, &out)
		return out.String(), err
	}
	if _, err := show(true); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("not started: %v", err)
	}
	w.start()
	if out, err := show(true); err != nil || out != "" {
		t.Errorf("live: %v, %s", err, out)
	}
	out, err := show(false)
	if err != nil || !strings.HasPrefix(out, "ok  ") && !strings.HasPrefix(out, "degraded") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, component := range []string{"database", "inbox", "jobs", "telegram", "cryptopay", "webhook", "node:"} {
		if !strings.Contains(out, component) {
			t.Errorf("not told: %s\n%s", component, out)
		}
	}
	w.dbFault.Set(fault.Down, 0, 0)
	w.waitFor("the missing database to be told", func() bool {
		out, err := show(false)
		return err != nil && strings.Contains(out, "fail")
	})
}

func TestHealthPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	for _, page := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
		if code := w.get(page); code != http.StatusOK {
			t.Errorf("%s: %d", page, code)
		}
	}
	if code := w.get("/nothing/here"); code != http.StatusNotFound {
		t.Errorf("unknown path: %d", code)
	}
}

// docs/node.md tells operators so: what is open goes on, and a restart of Xray cuts it.
func TestAnOpenConnectionOutlastsTheEndUntilXrayRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	anna := w.person(1011)
	anna.paid(anna.order("2 секунды"))
	link := key(anna.see("Нажмите на ключ"))
	binary, err := node.Binary()
	if err != nil {
		t.Fatal(err)
	}
	device, err := client.Start(t.Context(), binary, link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Stop() })
	browser := device.HTTPClient()
	browser.Timeout = 8 * time.Second
	way, ok := browser.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the way is a %T", browser.Transport)
	}
	way.DisableKeepAlives, way.MaxConnsPerHost = false, 1
	load := func() error {
		resp, err := browser.Get(w.internet.URL)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	anna.see("Ваш доступ закончился")
	w.waitFor("new connections to be refused", func() bool { return w.connects(link) != nil })
	if err := load(); err != nil {
		t.Errorf("what is open is cut, and docs/node.md says that it is not: %v", err)
	}
	w.node.Kill()
	if err := w.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := load(), load()
	if first == nil && second == nil {
		t.Error("a restart of Xray cuts nothing")
	}
}
