package main

import (
	"context"
	"net/url"
	"strings"

	"sallyport/api"
	"sallyport/outbound"
	"sallyport/payments/cryptobot"
	"sallyport/shop"
)

// The bots that customers pay in.
const (
	payBot     = "CryptoBot"
	payTestBot = "CryptoTestnetBot"
)

// checkCryptoPay asks Crypto Pay whose the token is, and where payments are reported.
func (d *doctor) checkCryptoPay(ctx context.Context, c *check) {
	client := cryptobot.New(cryptobot.Config{
		BaseURL: d.config.CryptoPayAPI, Token: string(d.config.CryptoPayToken),
		Host: outbound.New(outbound.Config{Name: "cryptopay", Timeout: callBudget, Proxy: d.config.proxy()}),
	})
	defer client.Close()
	app, err := client.Me(ctx)
	switch {
	case err == nil:
		d.judgeApp(app, c)
	case cryptobot.WrongToken(err):
		c.add(fails, "Crypto Pay does not know the token", "the token is wrong, or of the other network (main and test have tokens of their own): take it from @CryptoBot, Crypto Pay, My Apps, and set CRYPTOPAY_TOKEN")
	case shop.KindOf(err) == shop.KindLimited:
		c.add(warns, "Crypto Pay asks this address to call less: "+causeOf(err), "wait and look again; if it stays, see what else calls it from this address")
	case isDown(err):
		c.add(fails, "no answer from "+d.config.CryptoPayAPI+by(d.config.proxy(), d.config.CryptoPayAPI)+": "+causeOf(err), "see that this machine reaches CRYPTOPAY_API: name server, firewall (curl -v https://pay.crypt.bot)")
	default:
		c.add(fails, "Crypto Pay refuses: "+causeOf(err), "see the app's security settings in @CryptoBot: its list of allowed addresses must name this server")
	}
}

func (d *doctor) judgeApp(app cryptobot.App, c *check) {
	c.add(well, app.Name+" in @"+app.Bot+by(d.config.proxy(), d.config.CryptoPayAPI), "")
	if want := payBotAt(d.config.CryptoPayAPI); want != "" && app.Bot != want {
		c.add(fails, "CRYPTOPAY_API is where payments are made in @"+want, "take a token of @"+want+", or correct CRYPTOPAY_API")
	}
	if d.wrong["PUBLIC_URL"] {
		return // where its webhook should be is not known
	}
	ours := d.config.under(api.PaymentsPath)
	entering := "enter it in @" + app.Bot + ": Crypto Pay, My Apps, your app, Webhooks: " + ours
	switch {
	case !app.WebhookKnown:
		c.add(well, "its webhook cannot be seen from here; it should be "+ours, "")
	case app.Webhook == "":
		c.add(warns, "it has no webhook: payments are found by asking alone", entering)
	case app.Webhook != ours:
		c.add(warns, "its webhook is at another address, "+hostOf(app.Webhook)+": payments are found by asking alone", entering)
	default:
		c.add(well, "webhook "+ours, "")
	}
}

// payBotAt is the bot that belongs to an address of the API, if that is known.
func payBotAt(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || !strings.HasSuffix(u.Hostname(), "crypt.bot"):
		return ""
	case strings.HasPrefix(u.Hostname(), "testnet"):
		return payTestBot
	default:
		return payBot
	}
}
