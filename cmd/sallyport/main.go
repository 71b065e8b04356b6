// Command sallyport runs the shop: one process that receives Telegram's updates
// and the payment provider's callbacks, answers customers and works the jobs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a minimal machine has no zone files

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintln(os.Stderr, "sallyport:", err)
		}
		os.Exit(1)
	}
}

// commands are the program's subcommands.
type commands struct {
	Serve   serveCommand    `cmd:"" help:"Run the shop."`
	Migrate migrateCommands `cmd:"" help:"Bring the database up to date, or say how it is."`
	Webhook webhookCommand  `cmd:"" help:"Look at the webhook, or change it by hand."`
	Health  healthCommand   `cmd:"" help:"Ask the running shop how it is."`
	Doctor  doctorCommand   `cmd:"" help:"Look at all that the shop needs, and say what to do."`
	Ends    endsCommands    `cmd:"" help:"Release ends that are held."`
	Forget  forgetCommand   `cmd:"" help:"Remove a customer who wishes it; the books stay."`
	Version versionCommand  `cmd:"" help:"Print the version."`
}

func run(ctx context.Context, arguments []string, out io.Writer) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("sallyport"),
		kong.Description("A Telegram shop for VPN access. It is configured by the environment and .env."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(out, (*io.Writer)(nil)))
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	parsed, err := parser.Parse(arguments)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	return parsed.Run() //nolint:wrapcheck // the command names itself
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(out io.Writer) error {
	if _, err := fmt.Fprintln(out, "sallyport", version); err != nil {
		return fmt.Errorf("print version: %w", err)
	}
	return nil
}
