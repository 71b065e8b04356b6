package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/outbound"
)

// callBudget bounds one call that a check makes.
const callBudget = 5 * time.Second

func (d *doctor) telegram() *bot.Client {
	host := outbound.New(outbound.Config{Name: "telegram", Timeout: callBudget, Proxy: d.config.telegramProxy()})
	return bot.NewClient(string(d.config.BotToken), d.config.TelegramAPI, host)
}

// checkTelegram asks Telegram whose the token is.
func (d *doctor) checkTelegram(ctx context.Context, c *check) {
	client := d.telegram()
	defer client.Close()
	me, err := client.Me(ctx)
	switch {
	case err == nil:
		c.add(well, "@"+me.Username+by(d.config.telegramProxy(), d.config.TelegramAPI), "")
	case bot.WrongToken(err):
		c.add(fails, "Telegram does not know the token", "the token is wrong: take it from @BotFather and set BOT_TOKEN")
	default:
		c.add(fails, "no answer from "+d.config.TelegramAPI+by(d.config.telegramProxy(), d.config.TelegramAPI)+": "+causeOf(err), telegramTodo)
	}
}

// checkOperator asks Telegram whether the operator's chat is there and may be written to.
func (d *doctor) checkOperator(ctx context.Context, c *check) {
	client := d.telegram()
	defer client.Close()
	chat := d.config.OperatorChat
	err := client.Typing(ctx, chat)
	if moved := bot.MovedTo(err); moved != 0 {
		c.add(warns, "the group has become a supergroup; the shop follows it", fmt.Sprintf("set OPERATOR_CHAT=%d", moved))
		err = client.Typing(ctx, moved)
	}
	switch {
	case err == nil:
		c.add(well, fmt.Sprintf("chat %d may be written to", chat), "")
	case bot.WrongToken(err):
		c.add(warns, "not looked at: Telegram does not know the token", "correct BOT_TOKEN first, then look again")
	case bot.Unwritable(err):
		c.add(fails, fmt.Sprintf("chat %d cannot be written to, so nobody is told what is wrong: %s", chat, causeOf(err)),
			"press Start in the bot, or add it to the group, or correct OPERATOR_CHAT")
	default:
		c.add(warns, "not looked at: Telegram does not answer", telegramTodo)
	}
}

const telegramTodo = "see that this machine reaches TELEGRAM_API: name server, firewall, and whether Telegram is blocked where it stands (curl -v https://api.telegram.org); if it is, set TELEGRAM_PROXY"

// checkWebhook compares what Telegram knows of the webhook with what the shop sets.
func (d *doctor) checkWebhook(ctx context.Context, c *check) {
	client := d.telegram()
	defer client.Close()
	info, err := client.WebhookInfo(ctx)
	switch {
	case bot.WrongToken(err):
		c.add(warns, "not looked at: Telegram does not know the token", "correct BOT_TOKEN first, then look again")
	case err != nil:
		c.add(warns, "not looked at: Telegram does not answer", telegramTodo)
	default:
		d.judgeWebhook(info, time.Now(), c)
		if address, err := netip.ParseAddr(info.IPAddress); err == nil && info.URL == d.config.under(api.TelegramPath) {
			homes, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", d.config.publicHost()) // a name that leads nowhere is told by its certificate
			d.judgeAddress(address, homes, c)
		}
	}
}

// judgeAddress says whether Telegram delivers to us.
func (d *doctor) judgeAddress(address netip.Addr, homes []netip.Addr, c *check) {
	if bot.Strays(address, homes) {
		c.add(fails, fmt.Sprintf("Telegram delivers to %s, which is not an address of %s", address, d.config.publicHost()),
			settingWebhook+"; if it comes back, somebody else uses this bot's token: get a new one from @BotFather")
	}
}

// settingWebhook is what sets the webhook right.
const settingWebhook = "start the shop, which sets it and keeps it so, or: sallyport webhook set"

func (d *doctor) judgeWebhook(info bot.WebhookInfo, now time.Time, c *check) {
	switch ours := d.config.under(api.TelegramPath); info.URL {
	case ours:
		c.add(well, ours, "")
	case "":
		c.add(warns, "no webhook is set: nothing is delivered", settingWebhook)
		return
	default:
		c.add(fails, "it is set to another address: "+hostOf(info.URL),
			"somebody else uses this bot's token, or PUBLIC_URL has changed; "+settingWebhook+"; if the address is unknown to you, get a new token from @BotFather")
		return
	}
	wanted := d.config.webhook()
	if d.config.TLS == tlsSelfSigned {
		wanted.Certificate = []byte{} // which one, Telegram does not tell
	}
	for _, difference := range info.Differences(wanted) {
		c.add(warns, difference, settingWebhook)
	}
	judgeDeliveries(info, now, c)
}

// recentFailure is how long ago a delivery may have failed that says something of now:
// Telegram tries again ever more rarely.
const recentFailure = time.Hour

func judgeDeliveries(info bot.WebhookInfo, now time.Time, c *check) {
	ago := now.Sub(time.Unix(info.LastErrorDate, 0)).Round(time.Second)
	failure := fmt.Sprintf("the last failed delivery was %s ago: %s", ago, info.LastErrorMessage)
	switch recent := info.LastErrorDate != 0 && ago < recentFailure; {
	case recent && info.Pending > 0:
		c.add(fails, fmt.Sprintf("%d updates wait; %s", info.Pending, failure), deliveryTodo(info.LastErrorMessage))
	case recent:
		c.add(warns, "nothing waits; "+failure, deliveryTodo(info.LastErrorMessage))
	case info.Pending > 0:
		c.add(well, fmt.Sprintf("%d updates wait", info.Pending), "")
	}
}

// deliveryTodo says what to do about Telegram's own words.
func deliveryTodo(says string) string {
	says = strings.ToLower(says)
	for _, known := range []struct{ words, todo string }{
		{"certificate", "Telegram does not trust the certificate: see the line certificate"},
		{"ssl", "TLS fails: see the line certificate"},
		{"401", "another WEBHOOK_SECRET was set: start the shop again, and see that only one shop uses this bot"},
		{"403", "TELEGRAM_GATE refuses it, or the proxy does: see that TRUSTED_PROXIES names the proxy"},
		{"404", "the proxy does not pass on " + api.TelegramPath + ": correct its configuration"},
		{"502", "the proxy does not reach the shop: see that it runs, and that the proxy leads to LISTEN"},
		{"503", "the shop was busy or its database failed: see /healthz"},
		{"refused", "nothing listens there: start the shop, or correct the firewall or the proxy"},
		{"timed out", "Telegram does not get through: open the port in the firewall, and see that the name leads here"},
		{"resolve", "the name has no address: correct its DNS record"},
	} {
		if strings.Contains(says, known.words) {
			return known.todo
		}
	}
	return "see that the shop runs and that PUBLIC_URL leads to it"
}
