package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"

	"sallyport/api"
)

// checkPublicPort says whether Telegram delivers to the port of the public address.
func (d *doctor) checkPublicPort(_ context.Context, c *check) {
	u, err := url.Parse(d.config.PublicURL)
	if err != nil {
		c.add(fails, "PUBLIC_URL cannot be read", "correct it")
		return
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case u.Hostname() == "localhost" || ip != nil && ip.IsLoopback():
		c.add(well, port+", on this machine alone", "")
	case port == "443" || port == "80" || port == "88" || port == "8443":
		c.add(well, port, "")
	default:
		c.add(fails, "Telegram does not deliver to port "+port, "use 443, 80, 88 or 8443 in PUBLIC_URL")
	}
}

// checkListener says whether the shop answers at the address of a setting, or could.
func (d *doctor) checkListener(setting, address string, encrypted bool) func(context.Context, *check) {
	return func(ctx context.Context, c *check) {
		base := "http://"
		if encrypted {
			base = "https://"
		}
		if host := d.config.publicHost(); strings.Contains(host, ":") {
			base += "[" + host + "]"
		} else {
			base += cmp.Or(host, "localhost")
		}
		ask, cancel := context.WithTimeout(ctx, callBudget)
		defer cancel()
		if seen, err := api.LookAt(ask, base, address); err == nil && seen.Ours {
			c.add(well, address+": the running shop answers", "")
			return
		}
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", address)
		if err == nil {
			_ = listener.Close() // nobody was told of it
		}
		judgeListen(setting, address, err, c)
	}
}

// judgeListen says what to do about an address that cannot be listened on.
func judgeListen(setting, address string, err error, c *check) {
	_, port, _ := net.SplitHostPort(address)
	switch {
	case err == nil:
		c.add(well, address+": free", "")
	case errors.Is(err, syscall.EADDRINUSE):
		c.add(fails, address+": another program has it", "ss -ltnp 'sport = :"+port+"' shows which: stop it, or choose another "+setting)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		c.add(fails, address+": not permitted", "a port below 1024 needs a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or setcap cap_net_bind_service=+ep on the program")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		c.add(fails, address+": this machine does not have that address", "set "+setting+" to one that it has, or to :"+port)
	default:
		c.add(fails, address+": "+causeOf(err), "set "+setting+" to host:port, such as 127.0.0.1:8080")
	}
}
