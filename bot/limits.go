package bot

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"

	"sallyport/shop"
)

// What Telegram takes, counted in UTF-16 code units where it is text.
const (
	maxText    = 4096     // of a message, without its markup
	maxCaption = 1024     // of a picture, likewise
	maxBytes   = 32 << 10 // of a message with its markup
	maxData    = 64       // bytes that a button presses
	maxButtons = 100
)

// length returns how long Telegram takes a text to be: an emoji is two or more.
func length(text string) int { return len(utf16.Encode([]rune(text))) }

var markupTag = regexp.MustCompile(`<[^>]*>`)

// shown returns what a person sees of a text in HTML of the Bot API.
func shown(text string) string { return html.UnescapeString(markupTag.ReplaceAllString(text, "")) }

// CheckText returns nil if a text of the catalogue may stand on a screen or a button: it
// can be seen, changes nothing around it, and is at most so long, as Telegram counts.
func CheckText(text string, most int) error {
	switch n := length(text); {
	case plain(text) == "":
		return errors.New("want something that can be seen")
	case strings.ContainsFunc(text, disturbs):
		return errors.New("want no control characters and none that turn the direction of writing around")
	case n > most:
		return fmt.Errorf("want at most %d characters as Telegram counts them (most emoji are two), got %d", most, n)
	}
	return nil
}

// disturbs says whether a character changes what stands around it.
func disturbs(r rune) bool {
	return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// blank says whether a character shows nothing though it is no space: those that are
// letters or symbols by their class are listed.
func blank(r rune) bool {
	return strings.ContainsRune("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0", r) ||
		unicode.In(r, unicode.Cf, unicode.Cc, unicode.Co, unicode.Cs, unicode.Mn, unicode.Me) || unicode.IsSpace(r) || !unicode.IsGraphic(r)
}

// plain returns a text without what disturbs its neighbours, in one line; nothing if
// nothing of it can be seen.
func plain(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if disturbs(r) {
			return -1
		}
		return r
	}, text)), " ")
	if strings.IndexFunc(text, func(r rune) bool { return !blank(r) }) < 0 {
		return ""
	}
	return text
}

// fits returns nil if Telegram takes the screen as a message.
func (s Screen) fits() error {
	text := shown(s.Text)
	switch n := length(text); {
	case plain(text) == "":
		return errors.New("no text")
	case n > maxText || len(s.Text) > maxBytes:
		return fmt.Errorf("a text of %d characters", n)
	}
	buttons := 0
	for _, row := range s.Rows {
		for _, b := range row {
			buttons++
			switch {
			case plain(b.Text) == "":
				return errors.New("a button without text")
			case (b.Data == "") == (b.URL == "") || len(b.Data) > maxData:
				return fmt.Errorf("a button that presses %q and opens %q", b.Data, b.URL)
			}
		}
	}
	if buttons > maxButtons {
		return fmt.Errorf("%d buttons", buttons)
	}
	return nil
}

// Fits returns nil if every screen that shows something of the catalogue, or the links
// of its nodes, is one that Telegram takes, in every language.
func (t *Texts) Fits(c shop.Catalogue, links []shop.Link) error {
	for _, l := range shop.Languages() {
		for _, s := range t.painter(l).screensOf(c, links) {
			if err := s.fits(); err != nil {
				return fmt.Errorf("screen %s in %s: %w", s.Name, l, err)
			}
		}
	}
	return nil
}

// screensOf returns every screen that shows something of the catalogue or the links.
func (p painter) screensOf(c shop.Catalogue, links []shop.Link) []Screen {
	all := []Screen{p.plans(c), p.support("support", c.Support), p.support("paysupport", c.Support)}
	for _, plan := range c.Plans {
		all = append(all, p.periods(plan))
		for _, period := range plan.Periods {
			all = append(all, p.offer(shop.Offer{Plan: plan, Period: period}), p.repriced(shop.Offer{Plan: plan, Period: period}))
			all = append(all, p.ordersOf(shop.Offer{Plan: plan, Period: period})...)
		}
		all = append(all, p.ownedOf(plan, links)...)
	}
	return all
}

// subscriptions returns one in each state.
func subscriptions() []shop.Subscription {
	return []shop.Subscription{
		{Status: shop.SubscriptionNew},
		{Status: shop.SubscriptionWaiting},
		{Status: shop.SubscriptionWaiting, Renewal: true},
		{Status: shop.SubscriptionActive},
		{Status: shop.SubscriptionExpired},
	}
}

// ordersOf returns the screens of an order for the offer, in each state and by each provider.
func (p painter) ordersOf(o shop.Offer) []Screen {
	var all []Screen
	for _, d := range p.texts.providers {
		quote, err := o.Price(d)
		if err != nil {
			continue // it is not sold so
		}
		order := shop.Order{Purpose: shop.BuyAccess{Plan: o.Plan.ID, PeriodID: o.Period.ID, Period: o.Period.Length}, Provider: d.Provider, Quote: quote}
		for _, v := range orderViews() {
			order.Status = v.order.Status
			v.plan, v.order = o.Plan, order
			all = append(all, p.order(v))
		}
	}
	return all
}

// orderViews returns one view for each that an order is shown by.
func orderViews() []orderView {
	var views []orderView
	for _, sub := range subscriptions() {
		for _, doubtful := range []bool{false, true} {
			views = append(views, orderView{order: shop.Order{Status: shop.OrderPaid}, sub: sub, trouble: shop.Trouble{Doubtful: doubtful}})
		}
	}
	return append(views,
		orderView{order: shop.Order{Status: shop.OrderOpen}, trouble: shop.Trouble{Doubtful: true}},
		orderView{order: shop.Order{Status: shop.OrderExpired}},
		orderView{order: shop.Order{Status: shop.OrderOpen}, trouble: shop.Trouble{Refused: true}},
		orderView{order: shop.Order{Status: shop.OrderOpen}},
		orderView{order: shop.Order{Status: shop.OrderOpen}, invoice: shop.Invoice{URL: "https://t.me/pay"}},
	)
}

// ownedOf returns the screens of what a customer of the plan owns, in each state.
func (p painter) ownedOf(plan shop.Plan, links []shop.Link) []Screen {
	v := shop.Profile{Plan: plan}
	var all []Screen
	for _, v.Subscription = range subscriptions() {
		all = append(all, p.profile(v), p.expired(v), p.delayed(v.Subscription))
	}
	v.Subscription = shop.Subscription{Status: shop.SubscriptionActive}
	for first := range links { // each may come first
		v.Links = append(append([]shop.Link{}, links[first:]...), links[:first]...)
		all = append(all, p.card(v))
		for page := range p.keyPages(v) {
			all = append(all, p.key(v, page))
		}
	}
	return all
}
