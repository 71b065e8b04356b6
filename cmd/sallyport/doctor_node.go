package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"sallyport/outbound"
	"sallyport/xray"
)

// checkNode asks a node's API, and then connects to the node as a customer does.
func checkNode(node xray.Config) func(context.Context, *check) {
	return func(ctx context.Context, c *check) {
		node.Host = outbound.New(outbound.Config{Name: "node:" + node.Name, Timeout: callBudget / 2})
		agrees := checkAPI(ctx, node, c)
		probing, cancel := context.WithTimeout(ctx, callBudget)
		defer cancel()
		judgeProbe(xray.Probe(probing, node.Endpoint), node.Endpoint, agrees, c)
	}
}

// checkAPI says whether the API answers and its inbound is as the links say; agrees
// says that the node itself confirmed the latter.
func checkAPI(ctx context.Context, node xray.Config, c *check) (agrees bool) {
	n, err := xray.Dial(node)
	if err != nil {
		c.add(fails, causeOf(err), "correct the node in the catalogue")
		return false
	}
	defer func() { _ = n.Close() }() // nothing was written
	judgeAPI(node, c)
	up, err := n.Uptime(ctx)
	if err != nil {
		c.add(fails, "the API does not answer: "+causeOf(err),
			"see that Xray runs, that api in the catalogue is where it listens, and that the shop's user may use the socket ("+node.API+")")
		return false
	}
	users, err := n.Count(ctx)
	if err == nil {
		c.add(well, fmt.Sprintf("Xray up for %s, %d users", up, users), "")
	} else {
		c.add(fails, "users of "+node.Inbound+" cannot be counted: "+causeOf(err),
			"inbound in the catalogue must be the tag of a VLESS inbound, and HandlerService be among the API's services")
	}
	differences, err := n.Differences(ctx)
	for _, difference := range differences {
		c.add(fails, difference.Error(), "correct the catalogue or the node's configuration, so that both say the same")
	}
	return err == nil && len(differences) == 0
}

// judgeAPI says whether customers of the node may reach its API through their tunnel: by
// host and port they may, unless something else keeps them from it. A node that only this
// machine reaches has no customers but its own.
func judgeAPI(node xray.Config, c *check) {
	isSocket := strings.HasPrefix(node.API, "unix:") || strings.HasPrefix(node.API, "unix-abstract:")
	if !isSocket && !net.ParseIP(node.Endpoint.Host).IsLoopback() {
		c.add(warns, "its API is at "+node.API+", where a customer may reach it through the tunnel: it has no password",
			"let Xray's API listen on a socket, as in docs/node.md, and name that in the catalogue: api: unix:///path")
	}
}

// judgeProbe says what stands between a customer and the node.
func judgeProbe(err error, e xray.Endpoint, agrees bool, c *check) {
	place := net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	switch {
	case err == nil:
		c.add(well, place+" proves REALITY for "+e.ServerName+", seen from here: who blocks it elsewhere does not show", "")
	case errors.Is(err, xray.ErrClosed):
		c.add(fails, place+" cannot be reached: "+causeOf(err),
			"see that Xray listens on that port, that the firewall lets it through, and that host and port in the catalogue are right. Some routers do not let a machine reach itself by its public address (hairpin NAT)")
	case errors.Is(err, xray.ErrNoTLS):
		c.add(fails, place+" answers, but not as a TLS 1.3 server: "+causeOf(err),
			"another program may have the port, or the node does not reach its cover: see target in realitySettings")
	case errors.Is(err, xray.ErrCoverName):
		c.add(fails, place+" shows a certificate that is not for "+e.ServerName,
			"server_name in the catalogue is hardly one of the inbound's serverNames, or another server answers there")
	case agrees:
		c.add(fails, place+" answers with the cover's own certificate",
			"the parameters fit: then the clocks differ by more than the node's maxTimeDiff, or another server answers there")
	default:
		c.add(fails, place+" answers with the cover's own certificate",
			"public_key or short_id in the catalogue do not fit the inbound (compare with `xray x25519 -i <privateKey>` and shortIds), or the clocks differ")
	}
}
