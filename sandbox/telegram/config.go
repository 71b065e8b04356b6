package telegram

import (
	"crypto/x509"
	"time"

	"go.uber.org/zap"
)

// Documented values of the Bot API, and bounds of the emulator's own memory.
const (
	maxTextUnits    = 4096
	maxTextBytes    = 32768
	maxCaptionUnits = 1024
	maxAnswerChars  = 200
	queryLife       = 150 * time.Second
	messageLife     = 24 * time.Hour
	deleteLife      = 48 * time.Hour

	keptMessages   = 1000
	keptAnswers    = 20
	keptViolations = 1000
	keptQueries    = 10000
)

// Config says who the bot is and how the emulated world behaves.
type Config struct {
	// Token is the only bot token that the server accepts.
	Token string
	// Speed divides the waits between redeliveries and the window of setWebhook; 0 means 1, which is real time.
	Speed float64
	// Logger receives one line per failed call and delivery, never a token or a message text; nil means no logs.
	Logger *zap.Logger
	// Now is the clock of every date, expiry and limit; nil means time.Now.
	Now func() time.Time
	// Limits are the flood limits; the zero value means the documented ones.
	Limits Limits
	// Lenient lets pass what the real server passes over: unknown parameters and fields, a button's second action, names
	// of characters that HTML of the Bot API lacks. It is kept in Violations all the same, but for the last. Some client
	// libraries send names of their own.
	Lenient bool
	// BotUsername and BotName describe the bot; the defaults are sallyport_bot and Sallyport.
	BotUsername, BotName string
	// ReadTimeout is how long a webhook may take to answer; 0 means the documented 60 seconds.
	ReadTimeout time.Duration
	// Roots are trusted for webhooks that come without a certificate of their own; nil means the system's.
	Roots *x509.CertPool
	// Record keeps every call to a chat and every delivery, for TakeRecord.
	Record bool
	// PayTimeout is how long a person waits for the answer to a pre-checkout query; 0 means the documented 10 seconds.
	PayTimeout time.Duration
}

// Limits are the flood limits; each zero field means the documented value.
type Limits struct {
	// Disabled switches off every limit, that of setWebhook included.
	Disabled bool
	// Global is the number of calls addressed to chats per second, over all chats.
	Global int
	// PerChat is the number of such calls per second to one chat.
	PerChat float64
	// PerChatBurst is how many calls to one chat may come at once.
	PerChatBurst int
}

func (c Config) withDefaults() Config {
	if c.Speed <= 0 {
		c.Speed = 1
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.BotUsername = or(c.BotUsername, "sallyport_bot")
	c.BotName = or(c.BotName, "Sallyport")
	c.ReadTimeout = or(c.ReadTimeout, 60*time.Second)
	c.PayTimeout = or(c.PayTimeout, 10*time.Second)
	c.Limits.Global = or(c.Limits.Global, 30)
	c.Limits.PerChat = or(c.Limits.PerChat, 1)
	c.Limits.PerChatBurst = or(c.Limits.PerChatBurst, 20)
	return c
}

// or returns the value, or the fallback when the value is the zero value.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
