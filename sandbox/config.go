package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"sallyport/sandbox/postgres"
	"sallyport/sandbox/process"
)

const (
	defaultSpeed       = 20
	defaultShortPeriod = time.Minute
	programName        = "sallyport"
)

// ErrNoProgram means that the product's program is not there. It says what to type.
var ErrNoProgram = errors.New("there is no sallyport program: type `make build` in the project's directory, " +
	"or name one with --sallyport")

// Config says what world to start. The zero value is a whole one on free ports,
// with the sallyport program that lies beside our own.
type Config struct {
	// Program is the product's program; empty means the file sallyport beside our own.
	Program string
	// NoProduct leaves the product out: whoever started the world brings it, on
	// the port AppPort, or on the free one that the ready document names.
	NoProduct bool
	// Env is added to the product's environment, as NAME=value.
	Env []string

	// Sync makes PostgreSQL wait for the disk at each commit, as in production: for
	// measuring. Without it, it is fast.
	Sync bool
	// Postgres is what else the cluster is told; the world sets TCP, NoSync and Logger.
	Postgres postgres.Config
	// Standby gives the database a second server, which has every commit before it is
	// acknowledged; the product and whoever asks directly know both.
	Standby bool

	// Ports on 127.0.0.1; 0 means a free one.
	AppPort, TelegramPort, CryptoPayPort, ControlPort, ChatPort, XrayPort int

	// Dir keeps the product's log and catalogue. Empty means a temporary
	// directory, which Stop removes.
	Dir string
	// ReadyFile gets the ready document once all is up; Stop removes it. Empty
	// means none.
	ReadyFile string

	// Speed divides the waits of both emulators between redeliveries; 0 means 20.
	Speed float64
	// NoFloodLimits lets the bot send as much as it can: Telegram's limits are off.
	NoFloodLimits bool
	// Lenient lets the Telegram emulator pass over what the real one passes over, as for
	// bots of other people's making: see telegram.Config.
	Lenient bool
	// Record has the Telegram emulator keep every call and delivery: see telegram.Record.
	Record bool
	// ShortPeriod is how long the plan "taster" lasts, in whole seconds; 0 means a minute.
	ShortPeriod time.Duration

	// ProductOutput gets what the product writes, beside its log file; nil means nobody.
	ProductOutput io.Writer
	// Progress is told of each part once it is up; nil means nobody is. It is
	// never called twice at once.
	Progress func(part string, took time.Duration)
	// Logger gets the parts' own logs; nil means none.
	Logger *zap.Logger
}

// complete returns cfg with its defaults, or what is wrong with it.
func (cfg Config) complete() (Config, error) {
	if cfg.Speed == 0 {
		cfg.Speed = defaultSpeed
	}
	if cfg.ShortPeriod == 0 {
		cfg.ShortPeriod = defaultShortPeriod
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, time.Duration) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Speed < 0 {
		return cfg, fmt.Errorf("speed %g: want more than 0", cfg.Speed)
	}
	if cfg.ShortPeriod < time.Second || cfg.ShortPeriod%time.Second != 0 {
		return cfg, fmt.Errorf("short period %s: want whole seconds", cfg.ShortPeriod)
	}
	var err error
	if cfg.AppPort == 0 {
		if cfg.AppPort, err = process.FreePort(); err != nil {
			return cfg, fmt.Errorf("a port for the product: %w", err)
		}
	}
	if !cfg.NoProduct {
		cfg.Program, err = program(cfg.Program)
	}
	return cfg, err
}

// program finds the product's program.
func program(path string) (string, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find our own program: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), programName)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", programName, err)
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s: %w", path, ErrNoProgram)
	}
	return path, nil
}
