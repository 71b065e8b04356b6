// Command sandbox runs the whole world of the shop on this machine, without any
// account anywhere: to be clicked through, to be driven by programs, or to play
// a demonstration.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	_ "time/tzdata" // a minimal machine has no zone files

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends us at once, and the kernel all that we started
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

// commands are the program's subcommands.
type commands struct {
	Run  runCommand  `cmd:"" default:"withargs" help:"Start the sandbox and keep it until Ctrl-C. This is the default."`
	Demo demoCommand `cmd:"" help:"Play the whole story once, from /start to a paid VPN and its end, and exit."`
}

// output is where commands write: what people read, and everything else.
type output struct{ out, log io.Writer }

func run(ctx context.Context, arguments []string, out, log io.Writer) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("sandbox"),
		kong.Description("The shop with everything around it on this machine: PostgreSQL, Xray, Telegram, Crypto Pay."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(output{out, log}))
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	parsed, err := parser.Parse(doubleDashes(arguments))
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	return parsed.Run() //nolint:wrapcheck // the commands' own errors
}

// doubleDashes lets flags be written as Go programs write them: -ready FILE.
func doubleDashes(arguments []string) []string {
	long := regexp.MustCompile(`^-[a-z][a-z-]+(=|$)`)
	written := make([]string, len(arguments))
	for i, a := range arguments {
		written[i] = a
		if long.MatchString(a) {
			written[i] = "-" + a
		}
	}
	return written
}
