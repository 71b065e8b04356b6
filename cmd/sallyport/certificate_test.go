package main

import (
	"fmt"
	"strings"
	"testing"
)

const testAppKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func TestTheEdgesSettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string]string
		want   string // the variable that is named; empty means all is well
	}{
		{"behind a proxy", map[string]string{"PUBLIC_URL": "http://127.0.0.1:1"}, ""},
		{"a CA's certificate", map[string]string{"TLS": "acme", "LISTEN": ":443", "HTTP_LISTEN": ":80"}, ""},
		{"shared by replicas", map[string]string{"TLS": "acme", "TLS_STORAGE": "postgres", "APP_KEY": testAppKey}, ""},
		{"our own", map[string]string{"TLS": "selfsigned", "PUBLIC_URL": "https://203.0.113.9:8443"}, ""},
		{"proxies", map[string]string{"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,::1", "TELEGRAM_GATE": "refuse"}, ""},
		{"unknown TLS", map[string]string{"TLS": "on"}, "TLS"},
		{"unknown storage", map[string]string{"TLS_STORAGE": "s3"}, "TLS_STORAGE"},
		{"unknown gate", map[string]string{"TELEGRAM_GATE": "maybe"}, "TELEGRAM_GATE"},
		{"no proxy", map[string]string{"TRUSTED_PROXIES": "proxy.example"}, "TRUSTED_PROXIES"},
		{"a gate that refuses the proxy itself", map[string]string{"TELEGRAM_GATE": "refuse"}, "TRUSTED_PROXIES"},
		{"no CA", map[string]string{"ACME_CA": "letsencrypt"}, "ACME_CA"},
		{"plain address", map[string]string{"TLS": "acme", "PUBLIC_URL": "http://shop.example"}, "PUBLIC_URL"},
		{"a CA's certificate for an IP address", map[string]string{"TLS": "acme", "PUBLIC_URL": "https://203.0.113.9"}, "PUBLIC_URL"},
		{"no port", map[string]string{"TLS": "acme", "LISTEN": "shop.example"}, "LISTEN"},
		{"a named port", map[string]string{"TLS": "acme", "LISTEN": ":https"}, "LISTEN"},
		{"plain address of this machine", map[string]string{"TLS": "selfsigned", "PUBLIC_URL": "http://127.0.0.1:1"}, "PUBLIC_URL"},
		{"no port for HTTP", map[string]string{"TLS": "selfsigned", "HTTP_LISTEN": "80"}, "HTTP_LISTEN"},
		{"HTTP beside HTTP", map[string]string{"HTTP_LISTEN": ":80"}, "HTTP_LISTEN"},
		{"no roots", map[string]string{"TLS": "acme", "ACME_CA_ROOTS": "none.pem"}, "ACME_CA_ROOTS"},
		{"no key", map[string]string{"TLS": "acme", "TLS_STORAGE": "postgres"}, "APP_KEY"},
		{"a short key", map[string]string{"TLS": "acme", "TLS_STORAGE": "postgres", "APP_KEY": "aHVudGVyMg=="}, "APP_KEY"},
		{"a key that is no base64", map[string]string{"TLS": "acme", "TLS_STORAGE": "postgres", "APP_KEY": "hunter2!"}, "APP_KEY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := good()
			for _, name := range []string{"TLS", "TLS_STORAGE", "APP_KEY", "TRUSTED_PROXIES", "TELEGRAM_GATE", "HTTP_LISTEN", "ACME_CA_ROOTS"} {
				values[name] = "" // whatever the machine says
			}
			for name, value := range c.values {
				values[name] = value
			}
			environment(t, values)
			_, err := readConfig()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want+": got ") || strings.Contains(err.Error(), "\n")):
				t.Errorf("want %s alone: %v", c.want, err)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

func TestProxiesAreReadAsRanges(t *testing.T) {
	t.Parallel()
	c := config{Proxies: []string{" 127.0.0.1", "10.0.0.0/8 ", "::1"}}
	if got := fmt.Sprint(c.proxies()); got != "[127.0.0.1/32 10.0.0.0/8 ::1/128]" {
		t.Error(got)
	}
}
