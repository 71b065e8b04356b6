package sandbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/outbound"
	"sallyport/sandbox/cryptopay"
	"sallyport/sandbox/fault"
	"sallyport/sandbox/node"
	"sallyport/sandbox/page"
	"sallyport/sandbox/postgres"
	"sallyport/sandbox/telegram"
	"sallyport/xray"
)

const (
	database      = "sallyport"
	telegramPath  = "/telegram/webhook"
	cryptoPayPath = "/payments/cryptobot"
	controlPath   = "/api" // of the control API on the chat page's server
	nodeLimit     = 5 * time.Second
)

// servers are the HTTP servers of our own process.
type servers struct{ telegram, cryptopay, control, chat, internet *server }

// listen takes all ports of our own, so that the parts can be told of each other.
func (w *World) listen(ctx context.Context) error {
	c := w.config
	for _, s := range []struct {
		what string
		port int
		put  **server
	}{
		{"Telegram", c.TelegramPort, &w.servers.telegram},
		{"Crypto Pay", c.CryptoPayPort, &w.servers.cryptopay},
		{"the control API", c.ControlPort, &w.servers.control},
		{"the chat page", c.ChatPort, &w.servers.chat},
		{"the internet", 0, &w.servers.internet},
	} {
		opened, err := listen(ctx, s.port)
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		w.onStop(opened.stop)
		*s.put = opened
	}
	w.servers.internet.serve(ctx, internet())
	id := 1_000_000_000 + uint64(c.AppPort)
	w.ready = Ready{
		AppURL:  fmt.Sprintf("http://%s:%d", loopback, c.AppPort),
		ChatURL: w.servers.chat.url(), ControlURL: w.servers.control.url(), InternetURL: w.servers.internet.url() + "/",
		TelegramAPI: w.servers.telegram.url(), BotToken: token(id),
		WebhookPath: telegramPath, WebhookSecret: secret(),
		CryptoPayAPI: w.servers.cryptopay.url() + "/api", CryptoPayToken: token(uint64(c.AppPort)),
	}
	return nil
}

// secret makes a fresh one. It is worth nothing outside this world.
func secret() string { return rand.Text() }

// token makes one of the shape that Telegram and Crypto Pay give: there are libraries that
// look at it.
func token(id uint64) string {
	const length = 35 // after the colon
	return fmt.Sprintf("%d:%s", id, ("AA" + secret() + secret())[:length])
}

// startMachines starts the database and the VPN server, side by side.
func (w *World) startMachines(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.startPostgres(ctx) })
	g.Go(func() error { return w.startXray(ctx) })
	return g.Wait()
}

func (w *World) startPostgres(ctx context.Context) error {
	began := time.Now()
	cfg := w.config.Postgres
	cfg.TCP, cfg.NoSync, cfg.Logger = true, !w.config.Sync, w.config.Logger.Named("postgres")
	if w.config.Standby {
		settings := map[string]string{"synchronous_commit": "on"}
		maps.Copy(settings, cfg.Settings)
		cfg.Settings = settings
	}
	cluster, err := postgres.Start(ctx, cfg)
	if err != nil {
		return err
	}
	w.Postgres = cluster
	w.onStop(cluster.Stop)
	if err := cluster.EnsureDatabase(ctx, database); err != nil {
		return err
	}
	w.ready.DatabaseDirectURL = cluster.URL(database)
	proxied, err := w.proxy(cluster.Addr(), PostgresTarget) //nolint:contextcheck // lives until Stop
	if err != nil {
		return err
	}
	u, err := url.Parse(w.ready.DatabaseDirectURL)
	if err != nil {
		return fmt.Errorf("the database's address: %w", err)
	}
	u.Host = proxied
	w.ready.DatabaseURL = u.String()
	if w.config.Standby {
		if err := w.startStandby(ctx); err != nil {
			return err
		}
	}
	w.progress("postgres", began)
	return nil
}

func (w *World) startStandby(ctx context.Context) (err error) {
	if w.Standby, err = w.Postgres.Standby(ctx); err != nil {
		return err
	}
	w.onStop(w.Standby.Stop)
	for _, address := range []*string{&w.ready.DatabaseURL, &w.ready.DatabaseDirectURL} {
		*address = strings.Replace(*address, "/"+database+"?", ","+w.Standby.Addr()+"/"+database+"?", 1)
	}
	w.ready.DatabaseDirectURL += "&target_session_attrs=read-write" // the product sees to it by itself
	return w.Postgres.Synchronise(ctx)
}

// proxy puts the target's faults before an address and returns the new one.
func (w *World) proxy(addr string, t Target) (string, error) {
	proxy, err := fault.NewProxy(net.JoinHostPort(loopback, "0"), "tcp", addr, w.Fault(t))
	if err != nil {
		return "", err
	}
	w.onStop(proxy.Close)
	return proxy.Addr(), nil
}

func (w *World) startXray(ctx context.Context) error {
	began := time.Now()
	binary, err := node.Binary()
	if err != nil {
		return err
	}
	w.Node, err = node.Start(ctx, node.Config{
		Binary: binary, Port: w.config.XrayPort,
		Allow: []string{w.servers.internet.addr()}, Logger: w.config.Logger.Named("xray"),
	})
	if err != nil {
		return err
	}
	w.onStop(w.Node.Stop)
	proxied, err := w.proxy(w.Node.APIAddr, XrayTarget) //nolint:contextcheck // lives until Stop
	if err != nil {
		return err
	}
	n := w.Node
	w.ready.Xray = Xray{
		Host: n.Host, Port: n.Port, ServerName: n.ServerName, PublicKey: n.PublicKey, ShortID: n.ShortID,
		Flow: xray.Vision, Inbound: n.Inbound, API: proxied, APIDirect: n.APIAddr, Binary: binary,
	}
	w.driver, err = xray.Dial(xray.Config{
		Name: "direct", Label: "direct", API: n.APIAddr, Inbound: n.Inbound, Flow: xray.Vision,
		Endpoint: xray.Endpoint{Host: n.Host, Port: n.Port, ServerName: n.ServerName, PublicKey: n.PublicKey, ShortID: n.ShortID, Fingerprint: "chrome"},
		Host:     outbound.New(outbound.Config{Name: "xray", Timeout: nodeLimit}),
	})
	if err != nil {
		return err
	}
	w.onStop(w.driver.Close)
	w.progress("xray", began)
	return nil
}

func (w *World) startEmulators(ctx context.Context) error {
	began := time.Now()
	w.Telegram = telegram.New(telegram.Config{
		Token: w.ready.BotToken, Speed: w.config.Speed, Logger: w.config.Logger.Named("telegram"),
		Limits: telegram.Limits{Disabled: w.config.NoFloodLimits}, Record: w.config.Record, Lenient: w.config.Lenient,
	})
	w.onStop(func() error { w.Telegram.Close(); return nil })
	w.CryptoPay = cryptopay.New(cryptopay.Config{
		Token: w.ready.CryptoPayToken, AppName: "Sallyport sandbox", WebhookURL: w.ready.AppURL + cryptoPayPath,
		Speed: w.config.Speed, PublicURL: w.ready.ChatURL, Logger: w.config.Logger.Named("cryptopay"),
	})
	w.onStop(func() error { w.CryptoPay.Close(); return nil })
	w.servers.telegram.serve(ctx, w.Fault(TelegramTarget).Middleware(w.Telegram))
	w.servers.cryptopay.serve(ctx, w.Fault(CryptoPayTarget).Middleware(w.CryptoPay))
	w.progress("telegram and crypto pay", began)
	return nil
}

// startControl serves the control API, and the chat page with the same API
// beside it, so that the page needs no other origin.
func (w *World) startControl(ctx context.Context) error {
	api := (&control{world: w, page: w.ready.ChatURL}).handler()
	mux := http.NewServeMux()
	mux.Handle(controlPath+"/", http.StripPrefix(controlPath, api))
	mux.Handle("/", page.Handler(""))
	w.servers.control.serve(ctx, api)
	w.servers.chat.serve(ctx, mux)
	return nil
}
