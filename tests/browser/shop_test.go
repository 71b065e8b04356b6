package browser_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// world is the sandbox and the browser in which it is visited.
type world struct {
	chatURL string
	ready   ready
	browser context.Context //nolint:containedctx // a chromedp context is the browser
}

// chat is the address of a person's chat.
func (w world) chat(id int, name, language string) string {
	return w.chatURL + "/?" + url.Values{"user": {strconv.Itoa(id)}, "name": {name}, "lang": {language}}.Encode()
}

func TestShop(t *testing.T) {
	w := world{browser: chromium(t), ready: startSandbox(t)}
	w.chatURL = strings.TrimSuffix(w.ready.ChatURL, "/")
	t.Run("world panel", w.panel) // alone, for it breaks the world
	t.Run("together", func(t *testing.T) {
		for i, v := range views() {
			t.Run("purchase/"+v.name, func(t *testing.T) {
				t.Parallel()
				w.purchase(t, v, 2001+i)
			})
		}
		for name, test := range map[string]func(*testing.T){
			"language": w.language, "stale press": w.stale, "block": w.block, "keyboard": w.keyboard,
			"commands": w.commands, "pay page": w.payPage, "stars": w.stars, "reconnect": w.reconnect, "people": w.people, "foreign markup": w.markup,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
}

// enter opens a chat and walks up to the menu, in English.
func (w world) enter(t *testing.T, v view, id int) *tab {
	t.Helper()
	p := openTab(t, w, v, w.chat(id, "Vera", ""))
	p.click("#start", "START")
	p.press("English")
	p.says("Fast and private internet")
	return p
}

// order walks from the menu to an order with an invoice.
func (p *tab) order() {
	p.t.Helper()
	p.press("Buy access")
	p.press("Basic")
	p.press("30 days")
	p.press("CryptoBot")
	p.awaitInvoice()
}

// stars pays in Telegram Stars.
func (w world) stars(t *testing.T) {
	p := w.enter(t, views()[0], 2107)
	p.press("Buy access")
	p.press("Basic")
	p.press("30 days")
	p.press("Telegram Stars · 99 ⭐")
	p.awaitInvoice()
	p.inspect("51-stars")
	p.press("Pay 99")
	p.wait("the payment", "document.querySelector('#log').innerText.includes('You paid ⭐ 99 to Sallyport')")
	p.says("Your access is ready")
	p.inspect("52-stars-paid")
}

// awaitInvoice waits until the order's screen, by itself, has a button to pay.
func (p *tab) awaitInvoice() {
	p.t.Helper()
	p.wait("the invoice to appear on the order's screen by itself", "document.querySelector('.key[data-url]')")
}

// purchase is the whole way from START to a key.
func (w world) purchase(t *testing.T, v view, id int) {
	p := openTab(t, w, v, w.chat(id, "Vera", ""))
	p.wait("START", "seen(document.querySelector('#start'))")
	p.inspect("01-start")
	p.click("#start", "START")
	p.wait("the languages", "messages().some((m) => m.includes('English') && m.includes('Русский'))")
	p.inspect("02-language")
	p.press("English")
	p.says("Fast and private internet")
	p.inspect("03-menu")
	p.press("Buy access")
	p.says("Choose a plan")
	p.inspect("04-plans")
	p.press("Basic")
	p.says("For how long?")
	p.press("30 days")
	p.says("How would you like to pay?")
	p.inspect("05-offer")
	p.press("CryptoBot")
	p.awaitInvoice()
	p.inspect("06-order")
	p.payInSheet()
	p.receivesKey()
	p.press("Profile")
	p.says("active")
	p.inspect("10-profile")
	p.press("My key")
	p.says("Your key")
	p.wait("the key as code", "document.querySelector('.message:last-child code')?.textContent.startsWith('vless://')")
	p.inspect("11-key")
}

func (p *tab) payInSheet() {
	p.t.Helper()
	p.press("Pay")
	p.wait("the sum", `document.querySelector("#sheet[open] .sum")?.textContent.match(/149\s*₽/)`)
	p.inspect("07-pay")
	p.click("#sheet .asset", "TON")
	p.click("#sheet button[type=submit]", "with TON")
	p.wait("Paid", `document.querySelector("#sheet [data-status=paid]")`)
	p.inspect("08-paid")
	p.wait("the sheet to close itself", "!document.querySelector('#sheet').open")
}

func (p *tab) receivesKey() {
	p.t.Helper()
	p.says("Your access is ready")
	p.wait("the QR picture", "[...document.querySelectorAll('.picture img')].some((i) => i.complete && i.naturalWidth > 0)")
	p.says("until")
	if date := regexp.MustCompile(`until \d{1,2} \w{3} 20\d\d, \d\d:\d\d`); !date.MatchString(p.text()) {
		p.t.Errorf("no date of expiry in %q", p.text())
	}
	p.inspect("09-delivered")
	p.click(".message code", "vless://")
	p.wait("Copied", "document.querySelector('#toasts').innerText.includes('Copied')")
	if got := value[string](p, "navigator.clipboard.readText()"); !strings.HasPrefix(got, "vless://") {
		p.t.Errorf("the clipboard holds %q, want a key", got)
	}
	p.click(".picture", "")
	p.wait("the large picture", "document.querySelector('#viewer').open")
	p.inspect("09b-picture")
	p.keys("\x1b")
	p.wait("the large picture to close", "!document.querySelector('#viewer').open")
}

// language walks from English to Russian and back to the menu.
func (w world) language(t *testing.T) {
	p := w.enter(t, views()[0], 2101)
	p.press("Language")
	p.press("Русский")
	p.wait("the menu in Russian", "messages().at(-1).includes('Купить')")
	p.inspect("21-russian")
}

// stale presses a button of a screen that is gone already.
func (w world) stale(t *testing.T) {
	p := w.enter(t, views()[2], 2102)
	p.seen.allow("404")
	value[bool](p, "Boolean(globalThis.old = document.querySelector('.key'))")
	p.press("Buy access")
	p.says("Choose a plan")
	// A press that is still under way is not repeated, so one click may not be enough.
	p.wait("a toast that says why", "document.querySelector('#toasts').innerText.includes('no longer there') || old.click()")
	p.wait("no spinner", "!document.querySelector('.key[aria-busy]')")
	p.inspect("22-stale")
	p.press("Basic")
	p.says("For how long?")
}

// block blocks the bot and lets it in again.
func (w world) block(t *testing.T) {
	p := w.enter(t, views()[1], 2103)
	p.click("#block", "Block")
	p.wait("UNBLOCK", "seen(document.querySelector('#unblock')) && !seen(document.querySelector('#composer'))")
	p.inspect("23-blocked")
	p.click("#unblock", "UNBLOCK")
	p.wait("the message field", "seen(document.querySelector('#composer'))")
}

// commands writes by hand and picks a command.
func (w world) commands(t *testing.T) {
	p := w.enter(t, views()[3], 2104)
	p.click("#text", "")
	p.keys("<b>hello</b> & <img src=x>\r")
	p.wait("my own words as I wrote them", "messages().some((m) => m.includes('<b>hello</b> & <img src=x>'))")
	p.wait("an answer", "messages().at(-1).includes('I understand buttons best')")
	w.setCommands(t)
	p.keys("/start\r") // the phone learns of commands with the next change
	p.click("#menu", "Menu")
	p.wait("the commands", "seen(document.querySelector('#commands'))")
	p.inspect("24-commands")
	first := value[string](p, "document.querySelector('#commands span').textContent")
	p.click("#commands button", first)
	p.wait("the command in the chat", "messages().some((m) => m.startsWith(args[0]))", first)
}

// setCommands gives the bot's menu a command, as an operator may with @BotFather.
func (w world) setCommands(t *testing.T) {
	t.Helper()
	body := strings.NewReader(`{"commands":[{"command":"start","description":"Main menu"},{"command":"paysupport","description":"Questions about a payment"}]}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.ready.TelegramAPI+"/bot"+w.ready.BotToken+"/setMyCommands", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("setMyCommands answers %s", response.Status)
	}
}

// people adds a customer and finds both in the list.
func (w world) people(t *testing.T) {
	p := openTab(t, w, tablet(), w.chat(2105, "Vera", "en"))
	p.click(".add summary", "Add a customer")
	p.click("#person-form [name=name]", "")
	p.keys("Ilya")
	loaded := chromedp.Events(p.ctx, page.LoadEventFired)
	p.click("#person-form button", "Open the chat")
	for _, err := range loaded {
		p.must(err)
		break
	}
	p.wait("the other's chat", "document.querySelector('[aria-current]')?.innerText.includes('Ilya')")
	if !strings.Contains(value[string](p, "document.querySelector('#persons').innerText"), "Vera") {
		t.Error("Vera is no longer in the list")
	}
	p.wait("a whole world", "document.querySelector('#world-state').textContent === 'all well'")
	p.inspect("25-people")
	p.click("#theme", "")
	p.wait("the dark appearance", "document.documentElement.dataset.theme === 'dark'")
	p.inspect("26-chosen-dark")
	if id := value[string](p, "new URLSearchParams(location.search).get('user')"); id == "2105" {
		t.Error("both customers have the same id")
	}
}

// markup is what no message may bring into the page.
func (w world) markup(t *testing.T) {
	p := openTab(t, w, views()[2], w.chat(2106, "Vera", "en"))
	p.seen.allow("Content Security Policy") // it would stop what is in the markup, too
	got := value[string](p, `import("/assets/html.js").then(({ rich }) => {
		const box = document.createElement("div");
		box.append(rich('<b onclick="x()" style="color:red">a</b><img src="x" onerror="x()"><script>x()</script>' +
			'<a href="javascript:x()">b</a><iframe src="/"></iframe><u><form><i>c</i></form></u><style>*{}</style><a href="https://t.me/">d</a>'));
		return box.innerHTML;
	})`)
	want := `<b>a</b><span>b</span><u><i>c</i></u><a href="https://t.me/" target="_blank" rel="noopener noreferrer">d</a>`
	if got != want {
		t.Errorf("foreign markup becomes\n%s, want\n%s", got, want)
	}
}
