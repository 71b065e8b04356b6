package bot

import (
	"context"
	"errors"
	"strconv"

	"sallyport/shop"
)

// hello greets the customer by name, unless nothing of it can be seen.
func (m move) hello() string {
	name := plain(m.firstName)
	if name == "" {
		return ""
	}
	return m.paint.text("menu.hello", fields{"Name": name})
}

// stale is the answer to a button whose time is over.
func (m move) stale() answer {
	return answer{screen: m.paint.menu(m.paint.text("menu.stale", nil))}
}

// argument returns the nth argument, empty if there is none.
func argument(arguments []string, n int) string {
	if n < len(arguments) {
		return arguments[n]
	}
	return ""
}

func (b *Bot) start(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.menu(m.hello())}, nil
}

func (b *Bot) languages(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.language("")}, nil
}

func (b *Bot) chooseLanguage(ctx context.Context, m move, arguments []string) (answer, error) {
	chosen := shop.Language(argument(arguments, 0))
	if err := b.shop.ChooseLanguage(ctx, m.user.ID, chosen); err != nil {
		return answer{}, err
	}
	m.paint = b.display.texts.painter(chosen)
	m.user.Language, m.user.Chosen = chosen, true
	if then := b.routed.byVerb[argument(arguments, 1)]; then.command != "" {
		return then.step(ctx, m, nil) // what they had asked for before they were asked
	}
	return answer{screen: m.paint.menu(m.hello())}, nil
}

func (b *Bot) menu(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.menu("")}, nil
}

func (b *Bot) plans(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.plans(b.shop.Catalogue())}, nil
}

func (b *Bot) plan(_ context.Context, m move, arguments []string) (answer, error) {
	plan, err := b.shop.Catalogue().Plan(shop.PlanID(argument(arguments, 0)))
	if err != nil {
		return answer{}, err
	}
	return answer{screen: m.paint.periods(plan)}, nil
}

func (b *Bot) offer(_ context.Context, m move, arguments []string) (answer, error) {
	offer, err := b.shop.Catalogue().Offer(shop.PlanID(argument(arguments, 0)), shop.PeriodID(argument(arguments, 1)))
	if err != nil {
		return answer{}, err
	}
	return answer{screen: m.paint.offer(offer)}, nil
}

func (b *Bot) pay(ctx context.Context, m move, arguments []string) (answer, error) {
	provider := shop.Provider(argument(arguments, 2))
	if provider == "" {
		provider = shop.CryptoBot
	}
	plan, period := shop.PlanID(argument(arguments, 0)), shop.PeriodID(argument(arguments, 1))
	if shown := argument(arguments, 3); shown != "" {
		offer, err := b.shop.Catalogue().Offer(plan, period)
		if err != nil {
			return answer{}, err
		}
		if quote, err := b.shop.Price(offer, provider); err != nil || priceTag(quote) != shown {
			return answer{screen: m.paint.repriced(offer)}, nil
		}
	}
	order, err := b.shop.PlaceOrder(ctx, m.user.ID, plan, period, provider)
	if err != nil {
		return answer{}, err
	}
	view, err := b.view(ctx, order)
	return answer{screen: m.paint.order(view), order: order}, err
}

// order shows how an order stands; for an open one, the provider is asked too.
func (b *Bot) order(ctx context.Context, m move, arguments []string) (answer, error) {
	order, err := b.ownOrder(ctx, m, arguments)
	if err != nil {
		return answer{}, err
	}
	view, err := b.view(ctx, order)
	if err != nil {
		return answer{}, err
	}
	a := answer{screen: m.paint.order(view), order: order}
	if order.Status != shop.OrderOpen || view.invoice.URL == "" {
		return a, nil // there is nothing to pay
	}
	if !view.trouble.Doubtful {
		a.toast = m.paint.text("order.unpaid", nil)
	}
	return a, b.shop.AskAboutPayments(ctx, order)
}

func (b *Bot) ownOrder(ctx context.Context, m move, arguments []string) (shop.Order, error) {
	id, err := shop.ParseOrderID(argument(arguments, 0))
	if err != nil {
		return shop.Order{}, err
	}
	return b.shop.OrderOf(ctx, m.user.ID, id)
}

// view gathers what the screen of an order shows.
func (b *Bot) view(ctx context.Context, order shop.Order) (orderView, error) {
	v := orderView{order: order, plan: b.shop.PlanOf(order.Access().Plan)}
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

func (b *Bot) cancel(ctx context.Context, m move, arguments []string) (answer, error) {
	order, err := b.ownOrder(ctx, m, arguments)
	if err != nil {
		return answer{}, err
	}
	switch err := b.shop.CancelOrder(ctx, m.user.ID, order.ID); {
	case errors.Is(err, shop.ErrOrderClosed) && order.Status != shop.OrderCancelled:
		return b.order(ctx, m, arguments)
	case err != nil && !errors.Is(err, shop.ErrOrderClosed):
		return answer{}, err
	}
	return answer{screen: m.paint.menu(m.paint.text("menu.cancelled", nil))}, nil
}

func (b *Bot) profile(ctx context.Context, m move, _ []string) (answer, error) {
	profile, err := b.shop.Profile(ctx, m.user.ID)
	return answer{screen: m.paint.profile(profile)}, err
}

func (b *Bot) key(ctx context.Context, m move, arguments []string) (answer, error) {
	profile, err := b.shop.Profile(ctx, m.user.ID)
	page, _ := strconv.Atoi(argument(arguments, 0)) // what is no number is the first
	return answer{screen: m.paint.key(profile, page)}, err
}

func (b *Bot) qr(ctx context.Context, m move, _ []string) (answer, error) {
	profile, err := b.shop.Profile(ctx, m.user.ID)
	if err != nil || len(profile.Links) == 0 {
		return answer{screen: m.paint.key(profile, 0)}, err
	}
	return answer{
		picture: picture{content: profile.Links[0].URL, caption: Screen{Name: "qr", Text: m.paint.text("key.caption", nil)}},
		screen:  m.paint.key(profile, 0),
	}, nil
}

func (b *Bot) help(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.help()}, nil
}

func (b *Bot) support(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.support("support", b.shop.Catalogue().Support)}, nil
}

func (b *Bot) paySupport(_ context.Context, m move, _ []string) (answer, error) {
	return answer{screen: m.paint.support("paysupport", b.shop.Catalogue().Support)}, nil
}
