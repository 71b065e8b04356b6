package main

import (
	"context"
	"fmt"
	"time"

	"sallyport/sandbox"
)

// worldFlags are the flags of every command that starts a world.
type worldFlags struct {
	Sallyport string  `type:"path" placeholder:"FILE" help:"The product's program; by default the file sallyport beside this one."`
	Log       bool    `help:"Show the product's log."`
	Speed     float64 `default:"20" help:"How much faster than in reality lost deliveries are repeated."`
}

// config is what the flags say.
func (f worldFlags) config(o output) sandbox.Config {
	c := sandbox.Config{Program: f.Sallyport, Speed: f.Speed}
	if f.Log {
		c.ProductOutput = o.log
	}
	return c
}

// runCommand keeps a sandbox.
type runCommand struct {
	worldFlags
	Ready         string        `type:"path" placeholder:"FILE" help:"Write a JSON document with all addresses and keys once all is up."`
	Dir           string        `type:"path" placeholder:"DIR" help:"Keep the product's log here; by default in a temporary directory."`
	Strict        bool          `help:"Refuse what Telegram passes over: parameters and fields that the Bot API does not know, buttons with two actions."`
	NoProduct     bool          `help:"Leave the product out, to bring your own."`
	ShortPeriod   time.Duration `default:"60s" help:"How long the plan Taster lasts."`
	AppPort       int           `placeholder:"PORT" help:"Port of the product; a free one by default, as with all ports."`
	TelegramPort  int           `placeholder:"PORT" help:"Port of the Telegram emulator."`
	CryptopayPort int           `placeholder:"PORT" help:"Port of the Crypto Pay emulator."`
	ControlPort   int           `placeholder:"PORT" help:"Port of the control API."`
	ChatPort      int           `placeholder:"PORT" help:"Port of the chat page."`
	XrayPort      int           `placeholder:"PORT" help:"Port of the VPN server."`
}

// Run starts the sandbox, says where it is, and stops it when ctx ends.
func (c runCommand) Run(ctx context.Context, o output) error {
	config := c.config(o)
	config.ReadyFile, config.Dir, config.NoProduct, config.ShortPeriod = c.Ready, c.Dir, c.NoProduct, c.ShortPeriod
	config.AppPort, config.TelegramPort, config.CryptoPayPort = c.AppPort, c.TelegramPort, c.CryptopayPort
	config.ControlPort, config.ChatPort, config.XrayPort = c.ControlPort, c.ChatPort, c.XrayPort
	config.Lenient = !c.Strict
	config.Progress = func(part string, took time.Duration) {
		fmt.Fprintf(o.out, "%s ready in %g s\n", part, took.Round(10*time.Millisecond).Seconds())
	}
	world, err := sandbox.Start(ctx, config)
	if err != nil {
		return err
	}
	welcome(o, world.Ready())
	<-ctx.Done()
	fmt.Fprintln(o.out, "\nStopping.")
	return world.Stop()
}

// welcome says what there is and where.
func welcome(o output, r sandbox.Ready) {
	fmt.Fprintf(o.out, `
The shop is open. Chat with it in a browser:

    %s

Telegram, Crypto Pay, PostgreSQL and the VPN server all run on this machine; no
account is needed and no real money moves. Also here:

    shop         %s/healthz
    control API  %s (docs/sandbox.md says what it can do)
    telegram     %s
    crypto pay   %s
    database     %s
    vpn server   %s:%d
    shop's log   %s

Press Ctrl-C to stop everything.
`, r.ChatURL, r.AppURL, r.ControlURL, r.TelegramAPI, r.CryptoPayAPI, r.DatabaseDirectURL, r.Xray.Host, r.Xray.Port, logOf(r))
}

func logOf(r sandbox.Ready) string {
	if r.ProductLog == "" {
		return "none: you bring the product, on " + r.AppURL
	}
	return r.ProductLog
}
