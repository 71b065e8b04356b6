package browser_test

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

const patience = 30 * time.Second // how long a condition on a page may take to come true

//go:embed testdata/page.js
var pageScript string

// view is how a page is looked at.
type view struct {
	name          string
	width, height int64
	phone, dark   bool
}

func views() []view {
	return []view{
		{name: "phone-light", width: 390, height: 844, phone: true},
		{name: "phone-dark", width: 390, height: 844, phone: true, dark: true},
		{name: "desktop-light", width: 1280, height: 800},
		{name: "desktop-dark", width: 1280, height: 800, dark: true},
	}
}

// tablet is a window too narrow for three columns.
func tablet() view { return view{name: "tablet-light", width: 1024, height: 700} }

// tab is one tab with storage of its own, as if in a browser of its own.
type tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // a chromedp context is the tab
	view view
	seen *watch
}

// openTab opens a tab at an address; it fails the test at its end if the page complained.
func openTab(t *testing.T, w world, v view, address string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(w.browser, chromedp.WithNewBrowserContext())
	p := &tab{t: t, ctx: ctx, view: v, seen: &watch{}}
	t.Cleanup(func() {
		if t.Failed() {
			p.shot("failed")
			t.Logf("the page says: %s", p.text())
		}
		p.seen.report(t)
		closeTab()
	})
	p.must(chromedp.Listen(ctx, p.seen.take))
	p.dress()
	p.must(chromedp.Do(ctx, chromedp.Navigate(address)))
	return p
}

// dress makes the tab look and behave as its view says.
func (p *tab) dress() {
	p.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[p.view.dark]
	var options []chromedp.EmulateViewportOption
	if p.view.phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	p.must(chromedp.Do(p.ctx, chromedp.EmulateViewport(p.view.width, p.view.height, options...)))
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
	p.must(err)
	_, err = chromedp.Call(p.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.must(err)
	_, err = chromedp.CallBrowser(p.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: "clipboard-read"}, Setting: browser.PermissionSettingGranted,
		BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	})
	p.must(err)
}

func (p *tab) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// wait waits until a JavaScript expression is true; it may use the functions of testdata/page.js.
func (p *tab) wait(what, expression string, args ...any) {
	p.t.Helper()
	if err := p.poll(expression, args); err != nil {
		p.t.Fatalf("waited for %s: %v", what, err)
	}
}

func (p *tab) poll(expression string, args []any) error {
	_, err := chromedp.Run(p.ctx, chromedp.PollFunction[bool](function("return Boolean("+expression+")"),
		chromedp.WithPollingArgs(args...), chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(look)))
	return err
}

func function(body string) string { return "(...args) => {" + pageScript + "\n" + body + "}" }

// value evaluates an expression.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T]("("+function("return "+expression)+")()", chromedp.EvalAwaitPromise))
	p.must(err)
	return v
}

// text is everything that can be read in the chat or on the pay page.
func (p *tab) text() string {
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.querySelector('main').innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// click presses the mouse on the newest element that can be seen, matches the
// selector and holds the text, once it has come to rest.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	type point struct{ X, Y float64 }
	at, err := chromedp.Run(p.ctx, chromedp.PollFunction[point](function("return spot(args[0], args[1])"),
		chromedp.WithPollingArgs(selector, text), chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(look)))
	if err != nil {
		p.t.Fatalf("waited for %s with %q to click on: %v", selector, text, err)
	}
	p.must(chromedp.Do(p.ctx, chromedp.MouseClickXY(at.X, at.Y)))
}

// press clicks on an inline button.
func (p *tab) press(text string) {
	p.t.Helper()
	p.click(".key:not([aria-busy])", text)
}

// says waits until the newest messages hold the text.
func (p *tab) says(text string) {
	p.t.Helper()
	p.wait("a message with "+text, "messages().slice(-2).some((m) => m.includes(args[0]))", text)
}

// keys types on the keyboard, wherever the focus is.
func (p *tab) keys(keys string) {
	p.t.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}

// inspect fails the test if what is seen now is wider than the window, hard to read or has no name.
func (p *tab) inspect(stage string) {
	p.t.Helper()
	for _, fault := range value[[]string](p, "audit()") {
		p.t.Errorf("%s: %s", stage, fault)
	}
	p.shot(stage)
}

// shot leaves a picture in the directory that SCREENSHOTS names.
func (p *tab) shot(stage string) {
	p.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, p.view.name+"-"+stage+".png"), picture, 0o644)
	}
	if err != nil {
		p.t.Errorf("screenshot %s: %v", stage, err)
	}
}
