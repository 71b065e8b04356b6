package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/joho/godotenv"
	"go.uber.org/zap/zapcore"
)

// sharedListener, as OPERATIONS_LISTEN, puts the operators' pages on the listener
// that the outside posts to.
const sharedListener = "shared"

// secret is a value that must not be shown.
type secret string

// String hides the value.
func (s secret) String() string {
	if s == "" {
		return "(empty)"
	}
	return "(hidden)"
}

// GoString hides the value.
func (s secret) GoString() string { return s.String() }

// MarshalJSON hides the value.
func (s secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// config is everything that the environment says.
type config struct {
	BotToken      secret `env:"BOT_TOKEN,required"`
	TelegramAPI   string `env:"TELEGRAM_API" envDefault:"https://api.telegram.org"`
	PublicURL     string `env:"PUBLIC_URL,required"`
	WebhookSecret secret `env:"WEBHOOK_SECRET,required"`
	MaxWebhooks   int    `env:"WEBHOOK_MAX_CONNECTIONS" envDefault:"100"`

	CryptoPayToken  secret   `env:"CRYPTOPAY_TOKEN,required"`
	CryptoPayAPI    string   `env:"CRYPTOPAY_API" envDefault:"https://pay.crypt.bot/api"`
	CryptoPayAssets []string `env:"CRYPTOPAY_ASSETS" envDefault:"USDT,TON,BTC,ETH,LTC,BNB,TRX,USDC"`
	ReturnURL       string   `env:"CRYPTOPAY_RETURN_URL"`

	DatabaseURL      secret        `env:"DATABASE_URL,required"`
	WebConns         int32         `env:"DB_WEB_CONNECTIONS" envDefault:"8"`
	WorkConns        int32         `env:"DB_WORK_CONNECTIONS" envDefault:"7"`
	AcquireTimeout   time.Duration `env:"DB_ACQUIRE_TIMEOUT" envDefault:"2s"`
	StatementTimeout time.Duration `env:"DB_STATEMENT_TIMEOUT" envDefault:"10s"`

	Catalogue  string `env:"CATALOGUE" envDefault:"catalogue.yaml"`
	Listen     string `env:"LISTEN" envDefault:"127.0.0.1:8080"`
	Operations string `env:"OPERATIONS_LISTEN" envDefault:"127.0.0.1:8081"`
	Timezone   string `env:"TIMEZONE" envDefault:"UTC"`
	LogLevel   string `env:"LOG_LEVEL" envDefault:"info"`

	TLS        string   `env:"TLS" envDefault:"off"`
	HTTPListen string   `env:"HTTP_LISTEN"`
	TLSStorage string   `env:"TLS_STORAGE" envDefault:"file"`
	TLSDir     string   `env:"TLS_DIR" envDefault:"tls"`
	AppKey     secret   `env:"APP_KEY"`
	ACMECA     string   `env:"ACME_CA" envDefault:"https://acme-v02.api.letsencrypt.org/directory"`
	ACMEEmail  string   `env:"ACME_EMAIL"`
	ACMERoots  string   `env:"ACME_CA_ROOTS"`
	Proxies    []string `env:"TRUSTED_PROXIES"`
	Gate       string   `env:"TELEGRAM_GATE" envDefault:"off"`

	ExpireEvery time.Duration `env:"EXPIRE_EVERY" envDefault:"2s"`
	NodesEvery  time.Duration `env:"CHECK_NODES_EVERY" envDefault:"2s"`
	PollEvery   time.Duration `env:"POLL_INVOICES_EVERY" envDefault:"15s"`
	SweepEvery  time.Duration `env:"SWEEP_PAYMENTS_EVERY" envDefault:"10m"`
}

// readConfig reads the environment, and .env where the environment is silent. It
// reports every problem at once.
func readConfig() (config, error) {
	if err := godotenv.Load(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return config{}, errors.New(".env: not readable: want lines such as NAME=value") // the cause quotes the file, secrets and all
	}
	var c config
	err := misread(env.Parse(&c))
	for i, asset := range c.CryptoPayAssets {
		c.CryptoPayAssets[i] = strings.TrimSpace(asset)
	}
	return c, errors.Join(err, c.validate())
}

// misread returns the values that are not of their type; those that are missing
// fail validation.
func misread(err error) error {
	problems, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return err
	}
	var found []error
	for _, problem := range problems.Errors {
		if parse, ok := errors.AsType[env.ParseError](problem); ok {
			found = append(found, fmt.Errorf("%s: want a value of type %s", settingOf(parse.Name), parse.Type))
		} else if _, missing := errors.AsType[env.VarIsNotSetError](problem); !missing {
			found = append(found, problem)
		}
	}
	return errors.Join(found...)
}

// settingOf returns the variable that a field of config is read from.
func settingOf(field string) string {
	found, ok := reflect.TypeFor[config]().FieldByName(field)
	if !ok {
		return field
	}
	name, _, _ := strings.Cut(found.Tag.Get("env"), ",")
	return name
}

func (c config) validate() error {
	var problems []error
	check := func(ok bool, name, want string) {
		if !ok {
			problems = append(problems, fmt.Errorf("%s: want %s", name, want))
		}
	}
	check(regexp.MustCompile(`^[0-9]+:[A-Za-z0-9_-]+$`).MatchString(string(c.BotToken)), "BOT_TOKEN", "what @BotFather gave, such as 123456:AB...")
	check(regexp.MustCompile(`^[A-Za-z0-9_-]{16,256}$`).MatchString(string(c.WebhookSecret)), "WEBHOOK_SECRET", "16 to 256 characters of A-Z a-z 0-9 _ -")
	check(isURL(c.TelegramAPI), "TELEGRAM_API", "an http or https address")
	check(isPublic(c.PublicURL), "PUBLIC_URL", "the https address by which Telegram reaches this server, on port 443, 80, 88 or 8443")
	check(isURL(c.CryptoPayAPI), "CRYPTOPAY_API", "an http or https address")
	check(regexp.MustCompile(`^[0-9]+:[A-Za-z0-9_-]+$`).MatchString(string(c.CryptoPayToken)), "CRYPTOPAY_TOKEN", "what @CryptoBot gave, such as 12345:AA...")
	check(c.ReturnURL == "" || isURL(c.ReturnURL), "CRYPTOPAY_RETURN_URL", "an address that opens the bot, or nothing")
	check(isDatabase(string(c.DatabaseURL)), "DATABASE_URL", "postgres://user:password@host:port/database")
	check(min(c.AcquireTimeout, c.StatementTimeout) > 0, "DB_ACQUIRE_TIMEOUT, DB_STATEMENT_TIMEOUT", "times such as 2s")
	check(min(c.ExpireEvery, c.NodesEvery, c.PollEvery, c.SweepEvery) >= 100*time.Millisecond,
		"EXPIRE_EVERY, CHECK_NODES_EVERY, POLL_INVOICES_EVERY, SWEEP_PAYMENTS_EVERY", "times of at least 100ms")
	_, levelErr := zapcore.ParseLevel(c.LogLevel)
	check(levelErr == nil, "LOG_LEVEL", "debug, info, warn or error")
	check(regexp.MustCompile(`^[A-Z0-9]{2,10}(,[A-Z0-9]{2,10})*$`).MatchString(strings.Join(c.CryptoPayAssets, ",")),
		"CRYPTOPAY_ASSETS", "assets such as USDT,TON")
	_, _, listenErr := net.SplitHostPort(c.Listen)
	check(listenErr == nil, "LISTEN", "host:port, such as 127.0.0.1:8080")
	check(c.MaxWebhooks >= 1 && c.MaxWebhooks <= 100, "WEBHOOK_MAX_CONNECTIONS", "1 to 100")
	check(c.WebConns >= 2 && c.WorkConns >= 3, "DB_WEB_CONNECTIONS, DB_WORK_CONNECTIONS", "at least 2 and 3")
	_, err := time.LoadLocation(c.Timezone)
	check(err == nil, "TIMEZONE", "a zone such as Europe/Moscow")
	c.validateEdge(check)
	return errors.Join(problems...)
}

// isPublic says whether Telegram can deliver to the address; this machine's own
// addresses are for a sandbox.
func isPublic(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() || u.Hostname() == "localhost" {
		return u.Scheme == "http" || u.Scheme == "https"
	}
	return u.Scheme == "https" && slices.Contains([]string{"", "443", "80", "88", "8443"}, u.Port())
}

func isDatabase(address string) bool {
	_, err := pgconn.ParseConfig(address)
	return err == nil && (strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://"))
}

func isURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// under returns an address below the public one.
func (c config) under(path string) string { return strings.TrimSuffix(c.PublicURL, "/") + path }
