package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sallyport/shop"
	"sallyport/xray"
)

// doctorCommand looks at everything that the shop needs, whether it runs or not. It
// changes nothing anywhere.
type doctorCommand struct {
	JSON bool `help:"Print one JSON document and nothing else."`
}

// errReported ends the program with status 1, when what is wrong has been printed.
var errReported = errors.New("something fails")

// Run looks, prints, and returns errReported if anything fails.
func (d doctorCommand) Run(ctx context.Context, out io.Writer) error {
	report := diagnose(ctx)
	show := report.print
	if d.JSON {
		show = report.printJSON
	}
	if err := show(out); err != nil {
		return fmt.Errorf("print findings: %w", err)
	}
	if report.Status == fails {
		return errReported
	}
	return nil
}

// The states of a check, from well to unwell.
const (
	well  = "ok"
	warns = "warn" // works, or may, but an operator should look
	fails = "fail"
)

// check is what was found of one thing. It has a line for each finding, and one for
// each thing to do.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Todo   string `json:"todo"`
}

// add adds a finding, and what to do about it unless it is well.
func (c *check) add(status, found, todo string) {
	c.Status = worse(c.Status, status)
	c.Found = addLine(c.Found, found)
	c.Todo = addLine(c.Todo, todo)
}

func addLine(text, line string) string {
	switch {
	case line == "" || slices.Contains(strings.Split(text, "\n"), line):
		return text
	case text == "":
		return line
	default:
		return text + "\n" + line
	}
}

func worse(a, b string) string {
	order := []string{well, warns, fails}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}

// diagnosis is what was found of everything.
type diagnosis struct {
	Status string  `json:"status"`
	Checks []check `json:"checks"`
}

const (
	// checkBudget bounds one check.
	checkBudget = 9 * time.Second
	// checkPatience is how long one is waited for that does not keep to it.
	checkPatience = checkBudget + 2*time.Second
)

// doctor knows the settings as far as they can be read.
type doctor struct {
	config  config
	wrong   map[string]bool // settings that are missing or make no sense
	offered shop.Catalogue
	nodes   []xray.Config
}

// examination is one check that can be made.
type examination struct {
	name  string
	needs []string // the settings without which it cannot
	look  func(ctx context.Context, c *check)
}

// diagnose makes every check, all at once.
func diagnose(ctx context.Context) diagnosis {
	d, settings := newDoctor()
	all := d.examinations()
	results := make([]chan check, len(all))
	for i, e := range all {
		results[i] = make(chan check, 1)
		go func() { results[i] <- d.examine(ctx, e) }()
	}
	limit, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	report := diagnosis{Checks: []check{settings}}
	for i, e := range all {
		report.Checks = append(report.Checks, await(limit, e.name, results[i]))
	}
	for i, c := range report.Checks {
		report.Checks[i].Found, report.Checks[i].Todo = d.hide(c.Found), d.hide(c.Todo)
		report.Status = worse(report.Status, c.Status)
	}
	return report
}

// await waits for a check, but not beyond ctx.
func await(ctx context.Context, name string, result <-chan check) check {
	select {
	case found := <-result:
		return found
	case <-ctx.Done():
	}
	select {
	case found := <-result: // the wait was for another
		return found
	default:
		c := check{Name: name}
		c.add(fails, fmt.Sprintf("no end after %s", checkPatience), "it hangs: look at it by other means")
		return c
	}
}

// examine makes one check.
func (d *doctor) examine(ctx context.Context, e examination) check {
	c := check{Name: e.name, Status: well}
	for _, name := range e.needs {
		if d.wrong[name] || d.wrong[".env"] {
			c.add(warns, "not looked at: "+name+" is not set right", "correct the settings first, then look again")
			return c
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkBudget, fmt.Errorf("no answer in %s", checkBudget))
	defer cancel()
	e.look(ctx, &c)
	return c
}

// examinations returns every check but that of the settings, in the order in which
// they are shown.
func (d *doctor) examinations() []examination {
	all := []examination{
		{"telegram", []string{"BOT_TOKEN", "TELEGRAM_API"}, d.checkTelegram},
		{"webhook", []string{"BOT_TOKEN", "TELEGRAM_API", "PUBLIC_URL", "TLS"}, d.checkWebhook},
		{"certificate", []string{"PUBLIC_URL", "TLS", "ACME_CA_ROOTS"}, d.checkCertificate},
		{"port:public", []string{"PUBLIC_URL"}, d.checkPublicPort},
		{"port:listen", []string{"LISTEN", "TLS"}, d.checkListener("LISTEN", d.config.Listen, d.config.TLS != tlsOff)},
	}
	if d.config.OperatorChat != 0 {
		all = append(all, examination{"operator", []string{"BOT_TOKEN", "TELEGRAM_API", "OPERATOR_CHAT"}, d.checkOperator})
	}
	if d.config.HTTPListen != "" {
		all = append(all, examination{"port:http", []string{"HTTP_LISTEN"}, d.checkListener("HTTP_LISTEN", d.config.HTTPListen, false)})
	}
	if d.config.Operations != sharedListener {
		all = append(all, examination{"port:operations", []string{"OPERATIONS_LISTEN"}, d.checkListener("OPERATIONS_LISTEN", d.config.Operations, false)})
	}
	all = append(all,
		examination{"database", []string{"DATABASE_URL"}, d.checkDatabase},
		examination{"cryptopay", []string{"CRYPTOPAY_TOKEN", "CRYPTOPAY_API"}, d.checkCryptoPay})
	for _, node := range d.nodes {
		all = append(all, examination{"node:" + node.Name, nil, checkNode(node)})
	}
	return append(all, examination{"disk", nil, d.checkDisk}, examination{"files", nil, d.checkFiles})
}

// print prints one line for each check, and what to do below it.
func (r diagnosis) print(out io.Writer) error {
	width := 0
	for _, c := range r.Checks {
		width = max(width, len(c.Name))
	}
	var text strings.Builder
	for _, c := range r.Checks {
		below := "\n" + strings.Repeat(" ", 2+4+2+width+2)
		fmt.Fprintf(&text, "  %-4s  %-*s  %s\n", c.Status, width, c.Name, strings.ReplaceAll(c.Found, "\n", below))
		if c.Todo != "" {
			fmt.Fprintf(&text, "        -> %s\n", strings.ReplaceAll(c.Todo, "\n", "\n        -> "))
		}
	}
	_, err := io.WriteString(out, text.String())
	return err //nolint:wrapcheck // the caller does
}

func (r diagnosis) printJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r) //nolint:wrapcheck // the caller does
}
