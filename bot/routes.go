package bot

import (
	"context"

	"sallyport/shop"
)

// move is one customer's move in the dialog.
type move struct {
	user      shop.User
	firstName string
	paint     painter
}

// step makes a move; arguments are what the data of a button holds after its verb, and
// nothing if a command asked for it. What a rule of the shop forbids is an error of the
// kind that says so.
type step func(ctx context.Context, m move, arguments []string) (answer, error)

// answer is what the customer gets for a move.
type answer struct {
	screen  Screen
	toast   string     // shown for a moment over the screen
	picture picture    // if set, it is sent instead of the screen, which is shown where that cannot be
	order   shop.Order // if set, the screen shows this order, which may change meanwhile
}

// route is one thing that a customer can ask for.
type route struct {
	verb     string // what the data of its buttons begins with
	command  string // what asks for it when it is typed; empty if nothing does
	unlisted bool   // the command is not in the menu beside the input field
	early    bool   // it is answered also before the customer has chosen a language
	step     step
}

// routes is the one table of what customers can ask for; commands are in the order of
// the menu.
func (b *Bot) routes() []route {
	return []route{
		{verb: "start", command: "/start", step: b.start},
		{verb: "plans", command: "/buy", step: b.plans},
		{verb: "key", command: "/key", step: b.key},
		{verb: "profile", command: "/profile", step: b.profile},
		{verb: "help", command: "/help", step: b.help},
		{verb: "support", command: "/support", step: b.support},
		{verb: "paysupport", command: "/paysupport", early: true, step: b.paySupport},
		{verb: "languages", command: "/language", step: b.languages},
		{verb: "menu", command: "/menu", unlisted: true, step: b.menu},
		{verb: "language", step: b.chooseLanguage},
		{verb: "plan", step: b.plan},
		{verb: "buy", step: b.offer},
		{verb: "pay", step: b.pay},
		{verb: "order", step: b.order},
		{verb: "cancel", step: b.cancel},
		{verb: "qr", step: b.qr},
	}
}

// table is the routes, to be looked up.
type table struct{ byVerb, byCommand map[string]route }

func tabled(routes []route) table {
	t := table{make(map[string]route), make(map[string]route)}
	for _, r := range routes {
		t.byVerb[r.verb] = r
		if r.command != "" {
			t.byCommand[r.command] = r
		}
	}
	return t
}
