package main

import (
	"context"
	"fmt"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/fault"
)

const (
	// troubles are how many things go wrong in a run.
	troubles = 12
	// faultLength is how long each lasts.
	faultLength = 10 * time.Second
)

// outage is a way for something outside to go wrong.
type outage struct {
	name   string
	target sandbox.Target // empty for Xray's restart
	mode   fault.Mode
}

// outages take turns.
func outages() []outage {
	return []outage{
		{name: "Xray restarts"},
		{name: "Crypto Pay hangs", target: sandbox.CryptoPayTarget, mode: fault.Hung},
		{name: "Telegram hangs", target: sandbox.TelegramTarget, mode: fault.Hung},
		{name: "Xray restarts"},
		{name: "Crypto Pay fails", target: sandbox.CryptoPayTarget, mode: fault.Error},
		{name: "Telegram is away", target: sandbox.TelegramTarget, mode: fault.Down},
	}
}

// trouble makes things go wrong, one after the other and evenly over the run, until ctx
// ends. Then all is well.
func (s *subject) trouble(ctx context.Context) ([]trouble, error) {
	defer func() {
		for _, target := range sandbox.Targets() {
			s.world.Fault(target).Clear()
		}
	}()
	every := s.options.length / troubles
	length := min(faultLength, every/4)
	var all []trouble
	for n := range troubles {
		due := time.NewTimer(time.Until(s.began.Add(every*time.Duration(n) + every/2)))
		select {
		case <-due.C:
		case <-ctx.Done():
			due.Stop()
			return all, nil
		}
		o := outages()[n%len(outages())]
		one := trouble{Name: o.name, At: time.Since(s.began), Length: length}
		if err := s.breaks(ctx, o, length); err != nil {
			return all, fmt.Errorf("%s: %w", o.name, err)
		}
		if o.target == "" {
			one.Length = time.Since(s.began) - one.At
		}
		all = append(all, one)
	}
	<-ctx.Done()
	return all, nil
}

// breaks has one thing go wrong; it mends itself.
func (s *subject) breaks(ctx context.Context, o outage, length time.Duration) error {
	if o.target == "" {
		return s.world.Node.Restart(context.WithoutCancel(ctx))
	}
	return s.world.Fault(o.target).Set(o.mode, 0, length)
}
