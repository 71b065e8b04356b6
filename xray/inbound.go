package xray

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"sallyport/xray/xrayapi"
)

const (
	methodInbounds = "/xray.app.proxyman.command.HandlerService/ListInbounds"
	typeReality    = "xray.transport.internet.reality.Config"
)

// Differences returns everything in which the node's inbound differs from what the
// links say of it; none means that they fit. Its error means that the node could not
// be asked, or is too old to be asked.
func (n *Node) Differences(ctx context.Context) ([]error, error) {
	var found []error
	err := n.do(ctx, "compare inbound", func(ctx context.Context) error {
		var out xrayapi.ListInboundsResponse
		if err := n.call(ctx, methodInbounds, &xrayapi.ListInboundsRequest{}, &out); err != nil {
			return err
		}
		found = n.cfg.compare(out.GetInbounds())
		return nil
	})
	return found, err
}

func (c Config) compare(inbounds []*xrayapi.InboundHandlerConfig) []error {
	tags := make([]string, len(inbounds))
	for i, in := range inbounds {
		tags[i] = in.GetTag()
	}
	at := slices.Index(tags, c.Inbound)
	if at < 0 {
		slices.Sort(tags) // the node names them in no order
		return []error{fmt.Errorf("inbound: the node has no %q, but %s", c.Inbound, strings.Join(tags, ", "))}
	}
	settings, err := reality(inbounds[at])
	if err != nil {
		return []error{err}
	}
	return c.Endpoint.compare(settings)
}

// reality reads the REALITY settings of an inbound.
func reality(in *xrayapi.InboundHandlerConfig) (*xrayapi.RealityConfig, error) {
	var receiver xrayapi.ReceiverConfig
	if err := proto.Unmarshal(in.GetReceiverSettings().GetValue(), &receiver); err != nil {
		return nil, errors.New("inbound: its settings cannot be read")
	}
	for _, security := range receiver.GetStreamSettings().GetSecuritySettings() {
		if security.GetType() != typeReality {
			continue
		}
		var settings xrayapi.RealityConfig
		if err := proto.Unmarshal(security.GetValue(), &settings); err != nil {
			return nil, errors.New("inbound: its REALITY settings cannot be read")
		}
		return &settings, nil
	}
	return nil, errors.New("inbound: it has no REALITY")
}

// compare says where the client's half differs from the server's.
func (e Endpoint) compare(settings *xrayapi.RealityConfig) []error {
	var problems []error
	if !slices.Contains(settings.GetServerNames(), e.ServerName) {
		problems = append(problems, fmt.Errorf("server_name: %q is not one of the inbound's serverNames: %s",
			e.ServerName, strings.Join(settings.GetServerNames(), ", ")))
	}
	if private, err := ecdh.X25519().NewPrivateKey(settings.GetPrivateKey()); err != nil {
		problems = append(problems, errors.New("public_key: the inbound has no private key"))
	} else if is := base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes()); is != e.PublicKey {
		problems = append(problems, fmt.Errorf("public_key: that of the inbound's privateKey is %s", is))
	}
	id, err := hex.DecodeString(e.ShortID)
	known := func(other []byte) bool {
		return bytes.Equal(bytes.TrimRight(other, "\x00"), bytes.TrimRight(id, "\x00"))
	}
	if err != nil || !slices.ContainsFunc(settings.GetShortIds(), known) {
		problems = append(problems, fmt.Errorf("short_id: %q is not one of the inbound's shortIds", e.ShortID))
	}
	return problems
}
