package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap/zapcore"

	"sallyport/shop"
)

// sharedListener, as OPERATIONS_LISTEN, puts the operators' pages on the listener
// that the outside posts to.
const sharedListener = "shared"

// config is everything that the environment says. The tag doc is what
// docs/configuration.md says of a setting.
type config struct {
	BotToken      secret `env:"BOT_TOKEN,required" doc:"the bot's token, from @BotFather"`
	TelegramAPI   string `env:"TELEGRAM_API" envDefault:"https://api.telegram.org" doc:"where the Bot API is"`
	TelegramProxy secret `env:"TELEGRAM_PROXY" doc:"the proxy by which Telegram alone is reached, such as 'socks5://user:password@host:1080'; also 'http', 'https' and 'socks5h'; empty means as 'HTTPS_PROXY' says"`
	PublicURL     string `env:"PUBLIC_URL,required" doc:"the https address by which Telegram reaches the shop; the webhook's path is added to it"`
	WebhookSecret secret `env:"WEBHOOK_SECRET,required" doc:"16 to 256 of 'A-Z a-z 0-9 _ -', sent along by Telegram with every update"`
	SendRate      int    `env:"TELEGRAM_MESSAGES_PER_SECOND" envDefault:"26" doc:"how many messages a second the bot may send; Telegram allows 30, and more only to bots that it has granted that"`
	MaxWebhooks   int    `env:"WEBHOOK_MAX_CONNECTIONS" envDefault:"100" doc:"how many updates Telegram may deliver at once, 1 to 100"`

	CryptoPayToken  secret   `env:"CRYPTOPAY_TOKEN,required" doc:"the token of your Crypto Pay app"`
	CryptoPayAPI    string   `env:"CRYPTOPAY_API" envDefault:"https://pay.crypt.bot/api" doc:"where Crypto Pay is; the test network has another address"`
	CryptoPayAssets []string `env:"CRYPTOPAY_ASSETS" envDefault:"USDT,TON,BTC,ETH,LTC,BNB,TRX,USDC" doc:"what customers may pay in; a payment in anything else is flagged"`
	ReturnURL       string   `env:"CRYPTOPAY_RETURN_URL" doc:"where the button under a paid invoice leads, such as 'https://t.me/your_bot'; empty means no button"`

	HTTPSProxy secret `env:"HTTPS_PROXY" doc:"the proxy by which Telegram, Crypto Pay and the CA are reached, such as 'http://user:password@host:3128'; also 'https', 'socks5' and 'socks5h'; nodes and this machine's own addresses never are"`
	NoProxy    string `env:"NO_PROXY" doc:"hosts that 'HTTPS_PROXY' is not for, such as 'pay.crypt.bot,10.0.0.0/8'"`

	DatabaseURL      secret        `env:"DATABASE_URL,required" doc:"how to reach PostgreSQL, such as 'postgres://user:password@host:5432/name'; of several hosts, as 'one:5432,two:5432', the one that takes writes is used"`
	WebConns         int32         `env:"DB_WEB_CONNECTIONS" envDefault:"8" doc:"connections for deliveries and for dialogs, half each, at least 2"`
	WorkConns        int32         `env:"DB_WORK_CONNECTIONS" envDefault:"7" doc:"connections for jobs, at least 3; health has two more of its own, and the job queue one"`
	AcquireTimeout   time.Duration `env:"DB_ACQUIRE_TIMEOUT" envDefault:"2s" doc:"how long to wait for a free connection"`
	StatementTimeout time.Duration `env:"DB_STATEMENT_TIMEOUT" envDefault:"10s" doc:"how long one operation on the database may take"`

	Catalogue  string `env:"CATALOGUE" envDefault:"catalogue.yaml" doc:"the file of plans, prices and nodes"`
	Listen     string `env:"LISTEN" envDefault:"127.0.0.1:8080" doc:"where to serve"`
	Operations string `env:"OPERATIONS_LISTEN" envDefault:"127.0.0.1:8081" doc:"where to serve '/readyz', '/healthz' and '/metrics'; 'shared' means on 'LISTEN'"`
	Timezone   string `env:"TIMEZONE" envDefault:"UTC" doc:"in which customers read dates, such as 'Europe/Moscow'"`
	LogLevel   string `env:"LOG_LEVEL" envDefault:"info" doc:"'debug', 'info', 'warn' or 'error'"`

	TLS        string   `env:"TLS" envDefault:"off" doc:"'acme', 'selfsigned' or 'off': see [HTTPS](https.md)"`
	HTTPListen string   `env:"HTTP_LISTEN" doc:"where to serve plain HTTP beside HTTPS, such as ':80'; empty means nowhere"`
	TLSStorage string   `env:"TLS_STORAGE" envDefault:"file" doc:"where certificates of a CA are kept: 'file' or 'postgres'"`
	TLSDir     string   `env:"TLS_DIR" envDefault:"tls" doc:"the folder for them, and for a certificate of our own"`
	AppKey     secret   `env:"APP_KEY" doc:"seals them in PostgreSQL: 32 random bytes as base64; needed with 'TLS_STORAGE=postgres'"`
	ACMECA     string   `env:"ACME_CA" envDefault:"https://acme-v02.api.letsencrypt.org/directory" doc:"the CA's directory"`
	ACMEEmail  string   `env:"ACME_EMAIL" doc:"where the CA may write to"`
	ACMERoots  string   `env:"ACME_CA_ROOTS" doc:"a PEM file that the CA's own address is trusted by, for a private CA"`
	Proxies    []string `env:"TRUSTED_PROXIES" doc:"addresses or ranges of the proxies whose 'X-Forwarded-For' is believed, such as '127.0.0.1,10.0.0.0/8'"`
	Gate       string   `env:"TELEGRAM_GATE" envDefault:"off" doc:"updates from addresses that are not Telegram's: 'off', 'warn' or 'refuse'"`

	ExpireEvery time.Duration `env:"EXPIRE_EVERY" envDefault:"15s" doc:"how often it is looked for subscriptions and orders that ran out though none is known to; those known are ended within a second or two"`
	NodesEvery  time.Duration `env:"CHECK_NODES_EVERY" envDefault:"1s" doc:"how often each node is asked whether its Xray has restarted; it is checked then, and at every tenth question"`
	PollEvery   time.Duration `env:"POLL_INVOICES_EVERY" envDefault:"15s" doc:"how often Crypto Pay is asked about unpaid invoices"`
	SweepEvery  time.Duration `env:"SWEEP_PAYMENTS_EVERY" envDefault:"10m" doc:"how often Crypto Pay's and Telegram's own lists of payments are compared with ours"`

	OperatorChat     int64         `env:"OPERATOR_CHAT" doc:"the number of the Telegram chat that is told what is wrong, such as your own id; empty means nobody is"`
	Heartbeat        secret        `env:"HEARTBEAT_URL" doc:"an address that is asked for once a minute while the shop is well, such as a check at healthchecks.io, where you are told when that stops"`
	OperatorLanguage string        `env:"OPERATOR_LANGUAGE" envDefault:"en" doc:"in which it is told: 'en' or 'ru'"`
	WatchEvery       time.Duration `env:"WATCH_EVERY" envDefault:"10s" doc:"how often every component is looked at"`
	AlertAfter       time.Duration `env:"ALERT_AFTER" envDefault:"30s" doc:"how long something must be wrong before the operator is told, and well before the all-clear"`
}

func (c config) validate() error {
	var problems []error
	check := func(ok bool, name, want string) {
		if !ok {
			problems = append(problems, fmt.Errorf("%s: got %s, want %s", name, c.shape(name), want))
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
	check(min(c.WatchEvery, c.AlertAfter) >= 100*time.Millisecond, "WATCH_EVERY, ALERT_AFTER", "times of at least 100ms")
	check(slices.Contains(shop.Languages(), shop.Language(c.OperatorLanguage)), "OPERATOR_LANGUAGE", "en or ru")
	check(c.Heartbeat == "" || isURL(string(c.Heartbeat)), "HEARTBEAT_URL", "an http or https address, or nothing")
	_, levelErr := zapcore.ParseLevel(c.LogLevel)
	check(levelErr == nil, "LOG_LEVEL", "debug, info, warn or error")
	check(regexp.MustCompile(`^[A-Z0-9]{2,10}(,[A-Z0-9]{2,10})*$`).MatchString(strings.Join(c.CryptoPayAssets, ",")),
		"CRYPTOPAY_ASSETS", "assets such as USDT,TON")
	_, _, listenErr := net.SplitHostPort(c.Listen)
	check(listenErr == nil, "LISTEN", "host:port, such as 127.0.0.1:8080")
	check(c.SendRate >= 20 && c.SendRate <= 1000, "TELEGRAM_MESSAGES_PER_SECOND", "20 to 1000")
	check(c.MaxWebhooks >= 1 && c.MaxWebhooks <= 100, "WEBHOOK_MAX_CONNECTIONS", "1 to 100")
	check(c.WebConns >= 2 && c.WorkConns >= 3, "DB_WEB_CONNECTIONS, DB_WORK_CONNECTIONS", "at least 2 and 3")
	_, err := time.LoadLocation(c.Timezone)
	check(err == nil, "TIMEZONE", "a zone such as Europe/Moscow")
	c.validateProxies(check)
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

// writable returns the address of a database, which may name several servers, of which we
// want the one that takes writes unless the address says otherwise: a standby does not.
func writable(address string) string {
	config, err := pgconn.ParseConfig(address)
	if err != nil || config.ValidateConnect != nil {
		return address
	}
	other := func(f *pgconn.FallbackConfig) bool { return f.Host != config.Host || f.Port != config.Port }
	if !slices.ContainsFunc(config.Fallbacks, other) {
		return address // all are ways to the same server
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + "target_session_attrs=read-write"
}

func isURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// under returns an address below the public one.
func (c config) under(path string) string { return strings.TrimSuffix(c.PublicURL, "/") + path }
