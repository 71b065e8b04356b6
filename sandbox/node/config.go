package node

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// object is a JSON object of Xray's configuration.
type object map[string]any

const (
	outDirect  = "direct"
	outAllowed = "allowed"
	outBlock   = "block"
)

// Source is the address of this machine from which the server connects to what
// Config.Allow lists; nobody else has a reason to.
const Source = "127.0.0.2"

// serverConfig is the configuration recommended for production nodes, with the
// API on a loopback port and the allowed destinations before the private ranges.
func serverConfig(cfg Config, id identity, target string, allow []destination) object {
	return object{
		"log":    object{"loglevel": "warning", "access": "none"},
		"api":    object{"tag": "api", "services": []string{"HandlerService", "StatsService", "RoutingService"}},
		"stats":  object{},
		"policy": object{"levels": object{"0": object{"statsUserUplink": true, "statsUserDownlink": true, "statsUserOnline": true}}},
		"inbounds": []object{
			{
				"tag": "api-in", "listen": host, "port": id.APIPort, "protocol": "dokodemo-door",
				"settings": object{"address": host},
			},
			{
				"tag": inboundTag, "listen": host, "port": id.Port, "protocol": "vless",
				"settings": object{"decryption": "none", "clients": clients(cfg.Clients)},
				"streamSettings": object{"network": "raw", "security": "reality", "realitySettings": object{
					"target": target, "serverNames": []string{cfg.ServerName},
					"privateKey": id.PrivateKey, "shortIds": []string{id.ShortID},
				}},
			},
		},
		"outbounds": []object{
			{"tag": outDirect, "protocol": "freedom"},
			{"tag": outAllowed, "protocol": "freedom", "sendThrough": Source},
			{"tag": outBlock, "protocol": "blackhole"},
		},
		"routing": object{"domainStrategy": "IPIfNonMatch", "rules": rules(id, allow)},
	}
}

func clients(users []User) []object {
	list := make([]object, 0, len(users))
	for _, u := range users {
		list = append(list, object{"id": u.ID, "email": u.Email, "flow": "xtls-rprx-vision"})
	}
	return list
}

// rules are tried in order: the API, then the server's own ports, which are
// closed whatever is allowed, then what is allowed, then all private ranges.
func rules(id identity, allow []destination) []object {
	list := []object{
		{"ruleTag": "api", "inboundTag": []string{"api-in"}, "outboundTag": "api"},
		{
			"ruleTag": "no-self", "ip": []string{"0.0.0.0/8", "127.0.0.0/8", "::/127"},
			"port": fmt.Sprintf("%d,%d", id.APIPort, id.Port), "outboundTag": outBlock,
		},
	}
	for i, d := range allow {
		list = append(list, object{
			"ruleTag": "allow-" + strconv.Itoa(i), "ip": []string{d.network}, "port": d.port, "outboundTag": outAllowed,
		})
	}
	return append(list, object{
		"ruleTag": "no-private", "outboundTag": outBlock, "ip": []string{
			"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
			"172.16.0.0/12", "192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10",
		},
	})
}

// destination is one entry of Config.Allow.
type destination struct{ network, port string }

func parseAllow(list []string, apiPort int) ([]destination, error) {
	parsed := make([]destination, 0, len(list))
	for _, entry := range list {
		d, err := parseDestination(entry)
		if err != nil {
			return nil, fmt.Errorf("allowed destination %q: %w", entry, err)
		}
		if d.port == strconv.Itoa(apiPort) {
			return nil, fmt.Errorf("allowed destination %q: that is the port of the node's API", entry)
		}
		parsed = append(parsed, d)
	}
	return parsed, nil
}

func parseDestination(entry string) (destination, error) {
	cut := strings.LastIndexByte(entry, ':')
	if cut < 0 {
		return destination{}, fmt.Errorf("is not address:port")
	}
	address, port := strings.Trim(entry[:cut], "[]"), entry[cut+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return destination{}, fmt.Errorf("%q is no port", port)
	}
	if prefix, err := netip.ParsePrefix(address); err == nil {
		return destination{prefix.Masked().String(), port}, nil
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return destination{}, fmt.Errorf("%q is no address and no network", address)
	}
	return destination{netip.PrefixFrom(addr, addr.BitLen()).String(), port}, nil
}
