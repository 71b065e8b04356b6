// Command bench measures the shop beside the limits of the machine: what a handler
// without a database, and one with a plain INSERT, do in the same run. It brings a
// world of its own, as the sandbox does, with a PostgreSQL that waits for its disk.
// docs/performance.md says how each figure is measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
	_ "time/tzdata" // a minimal machine has no zone files

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends us at once, and the kernel all that we started
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// commands are the program's subcommands.
type commands struct {
	All    allCommand    `cmd:"" default:"withargs" help:"Measure. This is the default."`
	Target targetCommand `cmd:"" hidden:"" help:"Be a server that is measured."`
}

func run(ctx context.Context, arguments []string, out io.Writer) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("bench"),
		kong.Description("Measures the shop beside the limits of this machine."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(out, (*io.Writer)(nil)))
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	for i, a := range arguments {
		if regexp.MustCompile(`^-[a-z]{2,}`).MatchString(a) {
			arguments[i] = "-" + a // flags may be written as Go programs write them: -json
		}
	}
	parsed, err := parser.Parse(arguments)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	return parsed.Run() //nolint:wrapcheck // the commands' own errors
}

// allCommand measures everything, or some of it.
type allCommand struct {
	Sallyport string   `type:"path" placeholder:"FILE" help:"The product's program; by default the file sallyport beside this one."`
	JSON      bool     `name:"json" help:"Print JSON."`
	Tiny      bool     `help:"Measure hardly anything, in seconds: to see that the program runs."`
	Profile   string   `type:"existingdir" placeholder:"DIR" help:"Write a profile of the processor's time of each target there."`
	Only      []string `placeholder:"PART" help:"Measure these parts alone: ingest, slow, reply, idle, connect, settle, scale, surge."`
}

// part is one thing that is measured.
type part struct {
	name    string
	measure func(*bench, context.Context) error
}

// parts are in the order in which they are measured: what leaves work behind in the
// product comes last.
func parts() []part {
	return []part{
		{"ingest", (*bench).usualDisk},
		{"slow", (*bench).slowDisk},
		{"reply", (*bench).reply},
		{"idle", (*bench).idle},
		{"connect", (*bench).connect},
		{"settle", (*bench).settle},
		{"scale", (*bench).scale},
		{"surge", (*bench).surges},
	}
}

// Run measures, prints the report, and fails if something could not be measured. A
// bar that is missed is reported, and no failure.
func (c allCommand) Run(ctx context.Context, out io.Writer) (err error) {
	began := time.Now()
	b, err := newBench(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // ctx may have ended
	for _, p := range parts() {
		if !c.wants(p.name) {
			continue
		}
		if err := p.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	b.report.Seconds = time.Since(began).Round(time.Second).Seconds()
	if !c.JSON {
		b.report.print(out)
		return nil
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(b.report); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

func (c allCommand) wants(part string) bool {
	for _, only := range c.Only {
		if only == part {
			return true
		}
	}
	return len(c.Only) == 0
}
