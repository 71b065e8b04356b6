package bot

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"sallyport/shop"
)

// turn is one customer's move in the dialog.
type turn struct {
	user      shop.User
	firstName string
	paint     painter
}

// answer is what the customer gets for a move.
type answer struct {
	screen  Screen
	toast   string     // shown for a moment over the screen
	picture picture    // if set, it is sent instead of the screen, which is shown where that cannot be
	order   shop.Order // if set, the screen shows this order, which may change meanwhile
}

// press answers one kind of button; arguments are what its data holds after the verb.
type press func(ctx context.Context, t turn, arguments []string) (answer, error)

// routes is the one table of buttons. Commands use it too.
func (b *Bot) routes() map[string]press {
	return map[string]press{
		"language":   b.chooseLanguage,
		"languages":  b.languages,
		"menu":       b.menu,
		"plans":      b.plans,
		"plan":       b.plan,
		"buy":        b.offer,
		"pay":        b.pay,
		"order":      b.order,
		"cancel":     b.cancel,
		"profile":    b.profile,
		"key":        b.key,
		"qr":         b.qr,
		"help":       b.help,
		"support":    b.support,
		"paysupport": b.paySupport,
	}
}

// hello greets the customer by name, unless nothing of it can be seen.
func (t turn) hello() string {
	name := plain(t.firstName)
	if name == "" {
		return ""
	}
	return t.paint.text("menu.hello", fields{"Name": name})
}

// stale is the answer to a button whose time is over.
func (t turn) stale() answer {
	return answer{screen: t.paint.menu(t.paint.text("menu.stale", nil))}
}

// argument returns the nth argument, empty if there is none.
func argument(arguments []string, n int) string {
	if n < len(arguments) {
		return arguments[n]
	}
	return ""
}

func (b *Bot) languages(_ context.Context, t turn, _ []string) (answer, error) {
	return answer{screen: t.paint.language("")}, nil
}

func (b *Bot) chooseLanguage(ctx context.Context, t turn, arguments []string) (answer, error) {
	chosen := shop.Language(argument(arguments, 0))
	if err := b.shop.ChooseLanguage(ctx, t.user.ID, chosen); err != nil {
		return answer{}, err
	}
	t.paint = b.display.texts.painter(chosen)
	t.user.Language, t.user.Chosen = chosen, true
	if then := argument(arguments, 1); slices.Contains(slices.Collect(maps.Values(commands())), then) {
		return b.presses[then](ctx, t, nil) // what they had asked for before they were asked
	}
	return answer{screen: t.paint.menu(t.hello())}, nil
}

func (b *Bot) menu(_ context.Context, t turn, _ []string) (answer, error) {
	return answer{screen: t.paint.menu("")}, nil
}

func (b *Bot) plans(_ context.Context, t turn, _ []string) (answer, error) {
	return answer{screen: t.paint.plans(b.shop.Catalogue())}, nil
}

func (b *Bot) plan(_ context.Context, t turn, arguments []string) (answer, error) {
	plan, err := b.shop.Catalogue().Plan(shop.PlanID(argument(arguments, 0)))
	if err != nil {
		return answer{}, err
	}
	return answer{screen: t.paint.periods(plan)}, nil
}

func (b *Bot) offer(_ context.Context, t turn, arguments []string) (answer, error) {
	offer, err := b.shop.Catalogue().Quote(shop.PlanID(argument(arguments, 0)), shop.PeriodID(argument(arguments, 1)))
	if err != nil {
		return answer{}, err
	}
	return answer{screen: t.paint.offer(offer)}, nil
}

func (b *Bot) pay(ctx context.Context, t turn, arguments []string) (answer, error) {
	provider := shop.Provider(argument(arguments, 2))
	if provider == "" {
		provider = shop.CryptoBot
	}
	plan, period := shop.PlanID(argument(arguments, 0)), shop.PeriodID(argument(arguments, 1))
	if shown := argument(arguments, 3); shown != "" {
		offer, err := b.shop.Catalogue().Quote(plan, period)
		if err != nil {
			return answer{}, err
		}
		if price, err := offer.By(provider); err != nil || priceTag(price) != shown {
			return answer{screen: t.paint.repriced(offer)}, nil
		}
	}
	order, err := b.shop.PlaceOrder(ctx, t.user.ID, plan, period, provider)
	if err != nil {
		return answer{}, err
	}
	view, err := b.view(ctx, order)
	return answer{screen: t.paint.order(view), order: order}, err
}

// order shows how an order stands; for an open one, the provider is asked too.
func (b *Bot) order(ctx context.Context, t turn, arguments []string) (answer, error) {
	order, err := b.ownOrder(ctx, t, arguments)
	if err != nil {
		return answer{}, err
	}
	view, err := b.view(ctx, order)
	if err != nil {
		return answer{}, err
	}
	a := answer{screen: t.paint.order(view), order: order}
	if order.Status != shop.OrderOpen || view.invoice.URL == "" {
		return a, nil // there is nothing to pay
	}
	if !view.trouble.Doubtful {
		a.toast = t.paint.text("order.unpaid", nil)
	}
	return a, b.shop.AskAboutPayments(ctx, order)
}

func (b *Bot) ownOrder(ctx context.Context, t turn, arguments []string) (shop.Order, error) {
	id, err := shop.ParseOrderID(argument(arguments, 0))
	if err != nil {
		return shop.Order{}, err
	}
	return b.shop.OrderOf(ctx, t.user.ID, id)
}

// view gathers what the screen of an order shows.
func (b *Bot) view(ctx context.Context, order shop.Order) (orderView, error) {
	v := orderView{order: order, plan: b.shop.PlanOf(order.Plan)}
	invoice, err := b.shop.InvoiceOf(ctx, order.ID)
	if err != nil && !errors.Is(err, shop.ErrNotFound) {
		return v, err
	}
	v.invoice = invoice
	if v.trouble, err = b.shop.TroubleOf(ctx, order.ID); err != nil || order.Status != shop.OrderPaid {
		return v, err
	}
	profile, err := b.shop.Profile(ctx, order.UserID)
	v.sub = profile.Subscription
	return v, err
}

func (b *Bot) cancel(ctx context.Context, t turn, arguments []string) (answer, error) {
	order, err := b.ownOrder(ctx, t, arguments)
	if err != nil {
		return answer{}, err
	}
	switch err := b.shop.CancelOrder(ctx, t.user.ID, order.ID); {
	case errors.Is(err, shop.ErrOrderClosed) && order.Status != shop.OrderCancelled:
		return b.order(ctx, t, arguments)
	case err != nil && !errors.Is(err, shop.ErrOrderClosed):
		return answer{}, err
	}
	return answer{screen: t.paint.menu(t.paint.text("menu.cancelled", nil))}, nil
}

func (b *Bot) profile(ctx context.Context, t turn, _ []string) (answer, error) {
	profile, err := b.shop.Profile(ctx, t.user.ID)
	return answer{screen: t.paint.profile(profile)}, err
}

func (b *Bot) key(ctx context.Context, t turn, arguments []string) (answer, error) {
	profile, err := b.shop.Profile(ctx, t.user.ID)
	page, _ := strconv.Atoi(argument(arguments, 0)) // what is no number is the first
	return answer{screen: t.paint.key(profile, page)}, err
}

func (b *Bot) qr(ctx context.Context, t turn, _ []string) (answer, error) {
	profile, err := b.shop.Profile(ctx, t.user.ID)
	if err != nil || len(profile.Links) == 0 {
		return answer{screen: t.paint.key(profile, 0)}, err
	}
	return answer{
		picture: picture{content: profile.Links[0].URL, caption: Screen{Name: "qr", Text: t.paint.text("key.caption", nil)}},
		screen:  t.paint.key(profile, 0),
	}, nil
}

func (b *Bot) help(_ context.Context, t turn, _ []string) (answer, error) {
	return answer{screen: t.paint.help()}, nil
}

func (b *Bot) support(_ context.Context, t turn, _ []string) (answer, error) {
	return answer{screen: t.paint.support("support", b.shop.Catalogue().Support)}, nil
}

func (b *Bot) paySupport(_ context.Context, t turn, _ []string) (answer, error) {
	return answer{screen: t.paint.support("paysupport", b.shop.Catalogue().Support)}, nil
}
