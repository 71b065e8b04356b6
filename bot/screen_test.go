package bot

import (
	"flag"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"sallyport/outbound"
	"sallyport/sandbox/telegram"
	"sallyport/shop"
	"sallyport/shop/shoptest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var moment = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testCatalogue() shop.Catalogue {
	return shop.Catalogue{Support: "@help & co", Plans: []shop.Plan{
		{
			ID: "basic", Name: map[shop.Language]string{shop.English: "Basic <1>", shop.Russian: "Базовый"},
			Description: map[shop.Language]string{shop.English: "One & only.", shop.Russian: "Для всех."},
			Periods: []shop.Period{
				{ID: "30d", Length: 30 * 24 * time.Hour, Price: shop.Money{Minor: 14900, Currency: "RUB"}, Stars: shop.Money{Minor: 99, Currency: shop.XTR}},
				{ID: "45s", Length: 45 * time.Second, Price: shop.Money{Minor: 10050, Currency: "RUB"}},
			},
		},
		{ID: "plus", Name: map[shop.Language]string{shop.English: "Plus"}},
	}}
}

func testLink() string {
	return "vless://88888888-8888-4888-8888-888888888888@203.0.113.10:443?encryption=none&security=reality&type=tcp&headerType=none&flow=xtls-rprx-vision&sni=cover.example&fp=chrome&pbk=cmuQJv2Ew_QrbSCBfhgpT-WgTBq8MAJkHCMKKtNuUR0&sid=0123456789abcdef#Germany%201"
}

// orderBy returns an order that is to be paid by way of a provider.
func orderBy(offer shop.Offer, p shop.Provider) shop.Order {
	o, err := shop.NewOrder(7, offer, shoptest.By(p), moment)
	if err != nil {
		panic(err)
	}
	o.ID = shop.OrderID{UUID: uuid.MustParse("01950000-0000-7000-8000-000000000001")}
	return o
}

// screens returns every screen in every state, by name.
func screens(p painter) map[string]Screen {
	c := testCatalogue()
	offer := shop.Offer{Plan: c.Plans[0], Period: c.Plans[0].Periods[0]}
	order, stars := orderBy(offer, shop.CryptoBot), orderBy(offer, shop.Stars)
	paid, closed := order, order
	paid.Status, closed.Status = shop.OrderPaid, shop.OrderExpired
	active := shop.Subscription{Status: shop.SubscriptionActive}
	invoice := shop.Invoice{URL: "https://t.me/CryptoBot?start=IV1"}
	profile := func(s shop.SubscriptionStatus) shop.Profile {
		v := shop.Profile{Plan: c.Plans[0], Subscription: shop.Subscription{Status: s, Plan: "basic", ExpiresAt: moment}}
		if v.Subscription.Granted() {
			v.Links = []shop.Link{{Node: "de1", URL: testLink()}, {Node: "nl1", URL: testLink()}}
		}
		return v
	}
	alert := func(a Alert) Screen {
		a.Component, a.Code, a.Since = "node:de1", "node_unreachable", moment
		return Screen{Text: NewOperator(OperatorConfig{Texts: p.texts, Language: p.lang}).text(a)}
	}
	return map[string]Screen{
		"alert_begins":    alert(Alert{Reason: "connection <refused>"}),
		"alert_bare":      alert(Alert{}),
		"alert_lasts":     alert(Alert{Reason: "connection <refused>", Again: true}),
		"alert_ends":      alert(Alert{Over: moment.Add(90 * time.Second)}),
		"language":        p.language(""),
		"menu":            p.menu(p.text("menu.hello", fields{"Name": "Ann <3"})),
		"plans":           p.plans(c),
		"periods":         p.periods(c.Plans[0]),
		"offer":           p.offer(offer),
		"offer_no_stars":  p.offer(shop.Offer{Plan: c.Plans[0], Period: c.Plans[0].Periods[1]}),
		"order_preparing": p.order(orderView{order: order, plan: c.Plans[0]}),
		"order_open":      p.order(orderView{order: order, plan: c.Plans[0], invoice: invoice}),
		"order_stars":     p.order(orderView{order: stars, plan: c.Plans[0], invoice: shop.Invoice{URL: "https://t.me/$abc"}}),
		"order_waiting":   p.order(orderView{order: paid, plan: c.Plans[0], sub: shop.Subscription{Status: shop.SubscriptionWaiting}}),
		"order_renewed":   p.order(orderView{order: paid, plan: c.Plans[0], sub: shop.Subscription{Status: shop.SubscriptionWaiting, Renewal: true, ExpiresAt: moment}}),
		"order_past":      p.order(orderView{order: paid, plan: c.Plans[0], sub: shop.Subscription{Status: shop.SubscriptionExpired}}),
		"order_refused":   p.order(orderView{order: order, plan: c.Plans[0], trouble: shop.Trouble{Refused: true}}),
		"order_doubtful":  p.order(orderView{order: closed, plan: c.Plans[0], trouble: shop.Trouble{Doubtful: true}}),
		"order_surplus":   p.order(orderView{order: paid, plan: c.Plans[0], trouble: shop.Trouble{Doubtful: true}, sub: active}),
		"order_paid":      p.order(orderView{order: paid, plan: c.Plans[0], sub: active}),
		"order_closed":    p.order(orderView{order: closed, plan: c.Plans[0]}),
		"profile_new":     p.profile(profile(shop.SubscriptionNew)),
		"profile_waiting": p.profile(profile(shop.SubscriptionWaiting)),
		"profile_active":  p.profile(profile(shop.SubscriptionActive)),
		"profile_expired": p.profile(profile(shop.SubscriptionExpired)),
		"key":             p.key(profile(shop.SubscriptionActive), 0),
		"key_waiting":     p.key(profile(shop.SubscriptionWaiting), 0),
		"key_none":        p.key(profile(shop.SubscriptionExpired), 0),
		"card":            p.card(profile(shop.SubscriptionActive)),
		"help":            p.help(),
		"support":         p.support("support", c.Support),
		"paysupport":      p.support("paysupport", c.Support),
		"delayed":         p.delayed(profile(shop.SubscriptionWaiting).Subscription),
		"delayed_renewal": p.delayed(shop.Subscription{Status: shop.SubscriptionWaiting, Renewal: true, ExpiresAt: moment}),
		"expired":         p.expired(profile(shop.SubscriptionExpired)),
		"quick":           p.quick(),
		"menu_unknown":    p.menu(p.text("menu.unknown", nil)),
	}
}

// draw returns a screen as a person sees it.
func draw(s Screen) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", s.Text)
	for _, row := range s.Rows {
		for _, button := range row {
			fmt.Fprintf(&b, "\n[ %s ] -> %s%s", button.Text, button.Data, button.URL)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestScreensLookAsTheyShould(t *testing.T) {
	t.Parallel()
	for _, l := range shop.Languages() {
		for name, screen := range screens(texts(t).painter(l)) {
			path := filepath.Join("testdata", "screens", fmt.Sprintf("%s.%s.golden", name, l))
			got := draw(screen)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got, go test ./bot -update after a look):\n%s", path, diff)
			}
		}
	}
}

func TestScreensKeepTelegramsLimits(t *testing.T) {
	t.Parallel()
	for _, l := range shop.Languages() {
		for name, screen := range screens(texts(t).painter(l)) {
			if err := screen.fits(); err != nil {
				t.Errorf("%s.%s: %v", name, l, err)
			}
			if n := length(shown(screen.Text)); name == "card" && n > maxCaption {
				t.Errorf("%s.%s: a caption of %d characters", name, l, n)
			}
			if strings.Contains(screen.Text, "<no value>") || strings.Contains(screen.Text, "{{") {
				t.Errorf("%s.%s: a placeholder was left empty: %s", name, l, screen.Text)
			}
		}
	}
}

// The fullest catalogue that may be, and links as long as may be: what is said to fit,
// Telegram takes.
func TestTelegramTakesWhatFits(t *testing.T) {
	t.Parallel()
	server := telegram.New(telegram.Config{Token: "1:x", Limits: telegram.Limits{Disabled: true}})
	t.Cleanup(server.Close)
	api := httptest.NewServer(server)
	t.Cleanup(api.Close)
	client := NewClient("1:x", api.URL, outbound.New(outbound.Config{Name: "telegram"}))
	t.Cleanup(client.Close)
	if _, err := server.SendText(telegram.User{ID: 7, FirstName: "Ann"}, "/start"); err != nil {
		t.Fatal(err)
	}
	full := shop.Catalogue{Support: strings.Repeat("&", 128)}
	for n := range 8 {
		plan := shop.Plan{ID: shop.PlanID(strings.Repeat(strconv.Itoa(n), 16)), Name: map[shop.Language]string{shop.English: strings.Repeat("🎉", 32)}}
		plan.Description = map[shop.Language]string{shop.English: strings.Repeat("<", 300), shop.Russian: strings.Repeat("🎉", 150)}
		for length := range 12 {
			plan.Periods = append(plan.Periods, shop.Period{
				ID: shop.PeriodID(fmt.Sprintf("%011ds", length+1)), Length: time.Duration(length+1) * time.Second,
				Price: shop.Money{Minor: math.MaxInt64 - int64(n), Currency: "RUB"}, Stars: shop.Money{Minor: 10_000, Currency: shop.XTR},
			})
		}
		full.Plans = append(full.Plans, plan)
	}
	var links []shop.Link
	for n := range 10 {
		links = append(links, shop.Link{Node: strings.Repeat(strconv.Itoa(n), 32), URL: testLink() + strings.Repeat("%F0%9F%8E%89", 80)})
	}
	for _, l := range shop.Languages() {
		sent := make(map[string]bool) // most screens look like another
		for _, screen := range texts(t).painter(l).screensOf(full, links) {
			params := textParams(7, screen)
			key := params["text"] + params["reply_markup"]
			if sent[key] {
				continue
			}
			sent[key] = true
			if err := screen.fits(); err != nil {
				t.Errorf("%s in %s: %v", screen.Name, l, err)
			}
			if err := client.Call(t.Context(), "sendMessage", params, nil); err != nil {
				t.Fatalf("%s in %s: %v\n%s", screen.Name, l, err, draw(screen))
			}
		}
	}
}

func TestEveryButtonHasAHandlerAndEveryHandlerAButton(t *testing.T) {
	t.Parallel()
	routes := (&Bot{}).routes()
	answers, reached := make(map[string]bool), make(map[string]bool)
	for _, r := range routes {
		if answers[r.verb] || (r.command != "" && reached[r.command]) {
			t.Errorf("two answer %q, %q", r.verb, r.command)
		}
		answers[r.verb], reached[r.verb], reached[r.command] = true, r.command != "", true
	}
	for name, screen := range screens(texts(t).painter(shop.English)) {
		for _, row := range screen.Rows {
			for _, b := range row {
				verb, _, _ := strings.Cut(b.Data, ":")
				if !answers[verb] && b.URL == "" {
					t.Errorf("%s: nobody answers %q", name, b.Data)
				}
				reached[verb] = true
			}
		}
	}
	for verb := range answers {
		if !reached[verb] {
			t.Errorf("no button and no command leads to %q", verb)
		}
	}
}

func BenchmarkScreenAndMarkup(b *testing.B) {
	p := texts(b).painter(shop.Russian)
	c := testCatalogue()
	b.ReportAllocs()
	for b.Loop() {
		_ = p.periods(c.Plans[0]).markup()
	}
}

func BenchmarkQR(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := qrPNG(testLink()); err != nil {
			b.Fatal(err)
		}
	}
}
