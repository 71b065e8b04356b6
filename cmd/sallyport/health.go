package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/api"
)

// healthCommand asks the shop that runs on this machine how it is.
type healthCommand struct {
	Live bool `help:"Only whether the process answers, for a supervisor."`
}

// askBudget bounds how long the answer of a running shop is waited for.
const askBudget = 3 * time.Second

// Run prints what the shop says of itself. It returns an error unless the shop works.
func (h healthCommand) Run(ctx context.Context, out io.Writer) error {
	c, err := readConfig()
	if err != nil {
		return err
	}
	return h.show(ctx, c, out)
}

func (h healthCommand) show(ctx context.Context, c config, out io.Writer) error {
	page, address := "/healthz", c.Operations
	if h.Live {
		page = "/livez"
	}
	if address == sharedListener {
		address = c.Listen
	}
	body, status, err := ask(ctx, c, address, page)
	if err != nil {
		return fmt.Errorf("no answer from the shop on %s: is it running?", address)
	}
	if h.Live {
		return stateOf(status)
	}
	var report api.Report
	if err := json.Unmarshal(body, &report); err != nil {
		return fmt.Errorf("%s answers, but not as the shop does", address)
	}
	if err := printReport(out, report); err != nil {
		return err
	}
	return stateOf(status)
}

func stateOf(status int) error {
	if status != http.StatusOK {
		return errors.New("the shop does not work")
	}
	return nil
}

// ask gets a page of the shop that listens on an address of this machine.
func ask(ctx context.Context, c config, listen, page string) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, 0, fmt.Errorf("address %q: %w", listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if c.Operations == sharedListener && (c.TLS == tlsACME || c.TLS == tlsSelfSigned) {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+page, http.NoBody)
	if err != nil {
		return nil, 0, fmt.Errorf("ask %s: %w", listen, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		ServerName:         c.publicHost(), // the shop may answer to no other
		InsecureSkipVerify: true,           //nolint:gosec // it is this machine that we ask, whatever its certificate says
	}}}
	resp, err := client.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("ask %s: %w", listen, err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return nil, 0, fmt.Errorf("ask %s: %w", listen, err)
	}
	return body, resp.StatusCode, nil
}

// printReport prints one line for each component that is well, and one for each thing
// that is wrong with another.
func printReport(out io.Writer, report api.Report) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\tsallyport\t%s\n", report.State, report.Version)
	for _, name := range slices.Sorted(maps.Keys(report.Components)) {
		for _, found := range report.Components[name].All() {
			words := []string{found.Code, found.Reason}
			fmt.Fprintf(table, "%s\t%s\t%s\n", found.State, name, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ": "))
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
