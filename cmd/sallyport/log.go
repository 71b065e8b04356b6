package main

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// logSpan is how long lines of one message are counted together, logMost how many of
	// them are written: strangers and outages must not write so much that what keeps the
	// log drops the lines of incidents with theirs.
	logSpan = 10 * time.Second
	logMost = 200
	// logKinds is how many messages are told apart in a span. Messages are constants, so
	// there are never as many.
	logKinds = 1000
)

func newLogger(level string) (*zap.Logger, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("LOG_LEVEL: %w", err)
	}
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(parsed)
	config.DisableStacktrace = true
	config.DisableCaller = true
	config.Sampling = nil // which lines it leaves out, it does not tell
	config.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	log, err := config.Build(zap.WrapCore(bounded))
	if err != nil {
		return nil, fmt.Errorf("logger: %w", err)
	}
	return log, nil
}

// bounded returns a core that writes so many lines of each message in a span of time, and
// after it how many it left out. Whoever wants to see all asks for debug lines: these are
// not counted.
func bounded(core zapcore.Core) zapcore.Core {
	return boundedCore{Core: core, lines: &lineCounts{core: core, written: make(map[line]int)}}
}

type boundedCore struct {
	zapcore.Core
	lines *lineCounts
}

// With implements zapcore.Core; the lines are counted with those of the core it is made of.
func (b boundedCore) With(fields []zapcore.Field) zapcore.Core {
	return boundedCore{Core: b.Core.With(fields), lines: b.lines}
}

// Check implements zapcore.Core.
func (b boundedCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !b.Enabled(e.Level) || !b.lines.take(e) {
		return to
	}
	return b.Core.Check(e, to)
}

// line is what lines have in common that are counted together.
type line struct {
	level           zapcore.Level
	logger, message string
}

// lineCounts counts lines.
type lineCounts struct {
	core zapcore.Core

	mu      sync.Mutex
	began   time.Time // of the span
	written map[line]int
	leftOut map[line]int // nil if none was
}

// take says whether the line may be written.
func (c *lineCounts) take(e zapcore.Entry) bool {
	if e.Level < zapcore.InfoLevel {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.began) >= logSpan {
		c.began = time.Now()
		clear(c.written)
	}
	l := line{e.Level, e.LoggerName, e.Message}
	if _, known := c.written[l]; !known && len(c.written) >= logKinds {
		l.message = "others"
	}
	if c.written[l]++; c.written[l] <= logMost {
		return true
	}
	if c.leftOut == nil {
		c.leftOut = make(map[line]int)
		time.AfterFunc(logSpan, c.tell)
	}
	c.leftOut[l]++
	return false
}

// tell writes what was left out.
func (c *lineCounts) tell() {
	c.mu.Lock()
	leftOut := c.leftOut
	c.leftOut = nil
	c.mu.Unlock()
	for l, n := range leftOut {
		e := zapcore.Entry{Level: l.level, Time: time.Now(), LoggerName: l.logger, Message: "lines left out"}
		_ = c.core.Write(e, []zapcore.Field{zap.String("of", l.message), zap.Int("lines", n)}) // who writes a log has nobody else to tell
	}
}
