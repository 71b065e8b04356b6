package bot

import (
	"strconv"
	"strings"

	"sallyport/shop"
)

// Screen is what a customer sees: a text and its buttons. Screens are made by
// pure functions from what they show.
type Screen struct {
	Name string // what it shows, such as "menu" or "order:<id>"
	Text string // HTML of the Bot API
	Rows [][]Button
}

// Button is one button. It either presses Data or opens URL.
type Button struct {
	Text string
	Data string // "verb" or "verb:argument:...", at most 64 bytes
	URL  string
}

// painter makes screens in one language.
type painter struct {
	texts *Texts
	lang  shop.Language
}

func (t *Texts) painter(l shop.Language) painter { return painter{texts: t, lang: l} }

func (p painter) text(key string, f fields) string { return p.texts.in(p.lang, key, f) }

// button returns a button that presses verb with arguments.
func (p painter) button(key string, verb string, arguments ...string) Button {
	return Button{Text: p.text("button."+key, nil), Data: strings.Join(append([]string{verb}, arguments...), ":")}
}

func row(buttons ...Button) []Button { return buttons }

func (p painter) toMenu() []Button { return row(p.button("menu", "menu")) }

// language asks for the language, in all of them; then is the verb of what is shown next.
func (p painter) language(then string) Screen {
	s := Screen{Name: "language", Text: p.text("language.ask", nil)}
	for _, l := range shop.Languages() {
		s.Rows = append(s.Rows, row(Button{Text: p.texts.in(l, "language.name", nil), Data: strings.TrimSuffix("language:"+string(l)+":"+then, ":")}))
	}
	return s
}

// menu is the main menu; hello is a line above it, if any.
func (p painter) menu(hello string) Screen {
	text := p.text("menu.text", nil)
	if hello != "" {
		text = hello + "\n\n" + text
	}
	return Screen{Name: "menu", Text: text, Rows: [][]Button{
		row(p.button("buy", "plans")),
		row(p.button("profile", "profile"), p.button("key", "key")),
		row(p.button("help", "help"), p.button("support", "support")),
		row(p.button("language", "languages")),
	}}
}

// quickScreen is the name of the screen that quick makes.
const quickScreen = "quick"

// quick asks a customer who sends more than can be answered to pause.
func (p painter) quick() Screen {
	return Screen{Name: quickScreen, Text: p.text("flood.text", nil), Rows: [][]Button{p.toMenu()}}
}

// plans lists what is sold.
func (p painter) plans(c shop.Catalogue) Screen {
	s := Screen{Name: "plans", Text: p.text("plans.text", nil)}
	for _, plan := range c.Plans {
		s.Text += "\n\n" + p.text("plans.item", fields{"Plan": p.texts.plan(p.lang, plan), "About": name(plan.Description, p.lang)})
		s.Rows = append(s.Rows, row(Button{Text: p.texts.plan(p.lang, plan), Data: "plan:" + string(plan.ID)}))
	}
	s.Rows = append(s.Rows, p.toMenu())
	return s
}

// periods lists for how long a plan is sold.
func (p painter) periods(plan shop.Plan) Screen {
	s := Screen{Name: "plan", Text: p.text("periods.text", fields{
		"Plan": p.texts.plan(p.lang, plan), "About": name(plan.Description, p.lang),
	})}
	for _, period := range plan.Periods {
		label := p.text("periods.item", fields{"Period": p.texts.period(p.lang, period.Length), "Price": p.texts.price(period.Price)})
		s.Rows = append(s.Rows, row(Button{Text: label, Data: "buy:" + string(plan.ID) + ":" + string(period.ID)}))
	}
	s.Rows = append(s.Rows, row(p.button("back", "plans"), p.button("menu", "menu")))
	return s
}

// offer shows what will be bought and asks how to pay.
func (p painter) offer(o shop.Offer) Screen {
	plan := string(o.Plan.ID)
	s := Screen{
		Name: "offer",
		Text: p.text("offer.text", fields{"Plan": p.texts.plan(p.lang, o.Plan), "Period": p.texts.period(p.lang, o.Period.Length)}),
	}
	s.Rows = append(p.ways(o, ""), row(p.button("back", "plan", plan), p.button("menu", "menu")))
	return s
}

// ways returns the buttons of the ways to pay for an offer, all but one.
func (p painter) ways(o shop.Offer, but shop.Provider) [][]Button {
	var rows [][]Button
	for _, d := range p.texts.providers {
		quote, err := o.Price(d)
		if err != nil || d.Provider == but {
			continue // it is not sold so
		}
		provider := string(d.Provider)
		rows = append(rows, row(Button{
			Text: p.text("button.by_"+provider, fields{"Price": p.texts.price(quote.Total)}),
			Data: strings.Join([]string{"pay", string(o.Plan.ID), string(o.Period.ID), provider, priceTag(quote)}, ":"),
		}))
	}
	return rows
}

// priceTag is how a button remembers the price that it shows.
func priceTag(q shop.Quote) string { return strconv.FormatInt(q.Total.Minor, 36) }

// repriced is the offer once more, to whom an earlier price was shown.
func (p painter) repriced(o shop.Offer) Screen {
	s := p.offer(o)
	s.Text = p.text("offer.repriced", nil) + "\n\n" + s.Text
	return s
}

// orderView is what a screen shows of an order.
type orderView struct {
	order   shop.Order
	plan    shop.Plan
	invoice shop.Invoice // zero while there is none
	trouble shop.Trouble
	sub     shop.Subscription // of the customer; only of an order that is paid
}

// offer returns what the order buys as it is sold today; nothing is sold by way of a zero offer.
func (v orderView) offer() shop.Offer {
	for _, period := range v.plan.Periods {
		if period.ID == v.order.Access().PeriodID {
			return shop.Offer{Plan: v.plan, Period: period}
		}
	}
	return shop.Offer{}
}

// order shows an order in whatever state it is.
func (p painter) order(v orderView) Screen {
	id := v.order.ID.String()
	s := Screen{Name: "order:" + id}
	f := fields{
		"Plan":   p.texts.plan(p.lang, v.plan),
		"Period": p.texts.period(p.lang, v.order.Access().Period), "Price": p.texts.price(v.order.Quote.Total),
		"Until": p.texts.date(p.lang, v.order.ExpiresAt),
	}
	switch {
	case v.order.Status == shop.OrderPaid:
		s.Text, s.Rows = p.paid(v, f)
	case v.trouble.Doubtful:
		s.Text, s.Rows = p.text("order.doubtful", f), [][]Button{row(p.button("support", "paysupport")), p.toMenu()}
	case v.order.Status != shop.OrderOpen:
		s.Text, s.Rows = p.text("order.closed", f), [][]Button{row(p.button("again", "buy", string(v.order.Access().Plan), string(v.order.Access().PeriodID))), p.toMenu()}
	case v.invoice.URL == "" && v.trouble.Refused:
		s.Text = p.text("order.refused", f)
		s.Rows = append(p.ways(v.offer(), v.order.Provider), row(p.button("support", "paysupport"), p.button("cancel", "cancel", id)))
	case v.invoice.URL == "":
		s.Text, s.Rows = p.text("order.preparing", f), [][]Button{row(p.button("refresh", "order", id)), row(p.button("cancel", "cancel", id))}
	default:
		provider := string(v.order.Provider)
		s.Text, s.Rows = p.text("order.open_"+provider, f), [][]Button{
			row(Button{Text: p.text("button.pay_"+provider, f), URL: v.invoice.URL}),
			row(p.button("check", "order", id)),
			row(p.button("cancel", "cancel", id)),
		}
	}
	return s
}

// paid shows what became of an order that is paid: it may be long ago.
func (p painter) paid(v orderView, f fields) (text string, rows [][]Button) {
	switch sub := v.sub; {
	case sub.Status == shop.SubscriptionExpired:
		text, rows = p.text("order.past", f), [][]Button{row(p.button("renew", "plans"), p.button("profile", "profile"))}
	case !sub.LetIn():
		text, rows = p.text("order.waiting", f), [][]Button{row(p.button("profile", "profile"))}
	case sub.Status == shop.SubscriptionWaiting:
		f["Until"] = p.texts.date(p.lang, sub.ExpiresAt)
		text, rows = p.text("order.renewed", f), [][]Button{row(p.button("key", "key"), p.button("profile", "profile"))}
	default:
		text, rows = p.text("order.paid", f), [][]Button{row(p.button("key", "key"), p.button("profile", "profile"))}
	}
	if v.trouble.Doubtful {
		text += "\n\n" + p.text("order.surplus", nil)
		rows = append(rows, row(p.button("support", "paysupport")))
	}
	return text, append(rows, p.toMenu())
}

// profile shows what the customer owns.
func (p painter) profile(v shop.Profile) Screen {
	f := fields{"Plan": p.planName(v), "Until": p.texts.date(p.lang, v.Subscription.ExpiresAt)}
	status := v.Subscription.Status
	if v.Subscription.LetIn() {
		status = shop.SubscriptionActive
	}
	s := Screen{Name: "profile", Text: p.text("profile."+string(status), f)}
	if v.Subscription.Granted() {
		s.Rows = append(s.Rows, row(p.button("key", "key")), row(p.button("renew", "plans")))
	} else {
		s.Rows = append(s.Rows, row(p.button("buy", "plans")))
	}
	s.Rows = append(s.Rows, p.toMenu())
	return s
}

func (p painter) planName(v shop.Profile) string { return p.texts.plan(p.lang, v.Plan) }

// key shows the customer's key, or what fits on this page of it.
func (p painter) key(v shop.Profile, page int) Screen {
	if !v.Subscription.Granted() {
		return Screen{Name: "key", Text: p.text("key.none", nil), Rows: [][]Button{row(p.button("buy", "plans")), p.toMenu()}}
	}
	if !v.Subscription.LetIn() {
		return Screen{Name: "key", Text: p.text("key.waiting", nil), Rows: [][]Button{row(p.button("profile", "profile")), p.toMenu()}}
	}
	s := Screen{Name: "key", Text: p.keyHead(v)}
	pages := p.keyPages(v)
	page = max(0, min(page, len(pages)-1))
	if page < len(pages) {
		s.Text += pages[page]
	}
	var turns []Button
	if page > 0 {
		turns = append(turns, p.button("previous", "key", strconv.Itoa(page-1)))
	}
	if page+1 < len(pages) {
		turns = append(turns, p.button("next", "key", strconv.Itoa(page+1)))
	}
	if turns != nil {
		s.Rows = append(s.Rows, turns)
	}
	s.Rows = append(s.Rows, row(p.button("qr", "qr"), p.button("help", "help")), p.toMenu())
	return s
}

func (p painter) keyHead(v shop.Profile) string {
	return p.text("key.text", fields{"Until": p.texts.date(p.lang, v.Subscription.ExpiresAt)})
}

// keyPages returns the links of the customer's key, as many on a page as fit below its head.
func (p painter) keyPages(v shop.Profile) []string {
	var pages []string
	room := 0
	for _, link := range v.Links {
		text := "\n\n" + p.text("key.link", fields{"Node": link.Node, "Link": link.URL})
		need := length(shown(text))
		if need > room {
			pages = append(pages, "")
			room = maxText - length(shown(p.keyHead(v)))
		}
		pages[len(pages)-1] += text
		room -= need
	}
	return pages
}

// card is the caption of the picture by which a key is delivered.
func (p painter) card(v shop.Profile) Screen {
	s := Screen{Name: "card", Text: p.text("card.text", fields{
		"Plan": p.planName(v), "Until": p.texts.date(p.lang, v.Subscription.ExpiresAt), "Link": v.Links[0].URL,
	})}
	if len(v.Links) > 1 {
		s.Text += "\n\n" + p.text("card.more", nil)
	}
	s.Rows = [][]Button{row(p.button("help", "help"), p.button("profile", "profile"))}
	return s
}

// help explains how to connect.
func (p painter) help() Screen {
	return Screen{Name: "help", Text: p.text("help.text", nil), Rows: [][]Button{
		row(p.button("key", "key"), p.button("support", "support")), p.toMenu(),
	}}
}

// support says whom to write to; about payments too, as Telegram asks of shops.
func (p painter) support(key, contact string) Screen {
	return Screen{Name: key, Text: p.text(key+".text", fields{"Contact": contact}), Rows: [][]Button{p.toMenu()}}
}

// delayed says that access will follow or, to who has it, that it goes on.
func (p painter) delayed(sub shop.Subscription) Screen {
	key := "notice.delayed"
	if sub.LetIn() {
		key = "notice.renewing"
	}
	return Screen{Name: "delayed", Text: p.text(key, fields{"Until": p.texts.date(p.lang, sub.ExpiresAt)}), Rows: [][]Button{row(p.button("profile", "profile"))}}
}

// expired says that access has ended.
func (p painter) expired(v shop.Profile) Screen {
	return Screen{Name: "expired", Text: p.text("notice.expired", fields{"Plan": p.planName(v)}), Rows: [][]Button{
		row(p.button("renew", "plans")), row(p.button("profile", "profile")),
	}}
}
