package browser_test

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// panel breaks and heals the world by its panel, on a phone and on a desktop.
func (w world) panel(t *testing.T) {
	for _, v := range views() {
		t.Run(v.name, func(t *testing.T) { w.breakAndHeal(t, v) })
	}
}

func (w world) breakAndHeal(t *testing.T, v view) {
	p := openTab(t, w, v, w.chat(2201, "Vera", "en"))
	if v.phone {
		p.click("#side-open", "")
	}
	p.wait("a whole world", "document.querySelector('#world-state').textContent === 'all well'")
	p.inspect("31-world")
	p.click("#modes label", "Slow")
	p.click("#targets .target:first-child button", "Break")
	p.wait("the fault and how long it lasts", `document.querySelector('[data-target=telegram]').textContent.match(/slow, \d+ s left/)`)
	p.inspect("32-broken")
	p.click("#targets .target:first-child button", "Heal")
	p.wait("the fault to end", "document.querySelector('[data-target=telegram]').textContent === 'works'")
	p.seen.allow(`\(Service Unavailable\)|answer 503|answer 409`)
	p.click(".service-card button", "Restart")
	p.wait("the node", "document.querySelector('.services').innerText.includes('let in')")
	p.wait("a whole world again", "document.querySelector('#world-state').textContent === 'all well'")
	if v.phone {
		p.keys("\x1b")
		p.wait("the panel to close", "!document.querySelector('#side').classList.contains('open')")
	}
}

// payPage pays on the page itself, outside the chat.
func (w world) payPage(t *testing.T) {
	p := w.enter(t, views()[3], 2202)
	p.order()
	address := value[string](p, "document.querySelector('.key[data-url]').dataset.url")
	for _, v := range views()[:3] {
		q := openTab(t, w, v, address)
		q.wait("the sum", `document.querySelector(".sum")?.textContent.match(/149\s*₽/)`)
		q.inspect("41-pay-page")
	}
	q := openTab(t, w, views()[3], address)
	q.click("button[type=submit]", "with USDT")
	q.wait("Paid", `document.querySelector("[data-status=paid]")`)
	q.inspect("42-paid-page")
	p.says("Your access is ready")
	loaded := chromedp.Events(q.ctx, page.LoadEventFired)
	q.click("button", "Back to the chat")
	for _, err := range loaded {
		q.must(err)
		break
	}
	q.wait("a chat", "document.querySelector('#log')")
	lost := openTab(t, w, views()[0], w.chatURL+"/pay/IVnosuchinvoice")
	lost.seen.allow("404")
	lost.wait("what is wrong", "document.querySelector('main').innerText.includes('No such invoice')")
	lost.inspect("43-no-invoice")
}

// keyboard walks without a mouse.
func (w world) keyboard(t *testing.T) {
	p := openTab(t, w, views()[2], w.chat(2203, "Vera", ""))
	p.wait("START", "seen(document.querySelector('#start'))")
	p.tabTo("START")
	p.keys("\r")
	p.wait("the languages", "messages().some((m) => m.includes('English'))")
	p.tabTo("English")
	p.inspect("27-focus")
	p.keys("\r")
	p.says("Fast and private internet")
	p.wait("the focus on the new screen's buttons", "document.activeElement.matches('.key')")
	p.tabTo("Buy access")
	p.keys(" ")
	p.says("Choose a plan")
	p.wait("the focus on the new screen's buttons", "document.activeElement.matches('.key')")
}

// tabTo presses Tab until the focus is on an element with the text.
func (p *tab) tabTo(text string) {
	p.t.Helper()
	for range 60 {
		if value[bool](p, "document.activeElement.matches('button') && document.activeElement.textContent.includes(`"+text+"`)") {
			return
		}
		p.keys("\t")
	}
	p.t.Fatalf("Tab does not reach %q", text)
}

// reconnect takes the server away for a while.
func (w world) reconnect(t *testing.T) {
	target, err := url.Parse(w.chatURL)
	if err != nil {
		t.Fatal(err)
	}
	gate := newGate(httputil.NewSingleHostReverseProxy(target))
	server := httptest.NewServer(gate)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // the stream of events would keep it open
	p := (world{chatURL: server.URL, browser: w.browser}).enter(t, views()[0], 2204)
	p.seen.allow("ERR_|502|503")
	gate.shut.Store(true)
	server.CloseClientConnections()
	p.wait("the bar that says so", "seen(document.querySelector('#reconnecting'))")
	p.inspect("28-reconnecting")
	gate.shut.Store(false)
	p.wait("the connection", "document.querySelector('#reconnecting').hidden")
	p.press("Buy access")
	p.says("Choose a plan")
	p.must(chromedp.Do(p.ctx, chromedp.Navigate("about:blank"))) // lets the stream of events go
}
