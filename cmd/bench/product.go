package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/sandbox/process"
)

// start starts the product as an operator does, on the bench's own world unless the
// settings say otherwise, and returns how long it took until it was ready.
func (b *bench) start(ctx context.Context, settings ...string) (*process.Process, time.Duration, error) {
	r := b.world.Ready()
	app, err := url.Parse(r.AppURL)
	if err != nil {
		return nil, 0, fmt.Errorf("address of the product: %w", err)
	}
	said := &process.Tail{}
	began := time.Now()
	product, err := process.Start(process.Config{
		Path: b.sallyport, Args: []string{"serve"}, Dir: os.TempDir(), Output: said, Grace: 12 * time.Second,
		Env: append([]string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "TMPDIR=" + os.TempDir(),
			"BOT_TOKEN=" + r.BotToken, "TELEGRAM_API=" + r.TelegramAPI, "PUBLIC_URL=" + r.AppURL, "WEBHOOK_SECRET=" + r.WebhookSecret,
			"CRYPTOPAY_TOKEN=" + r.CryptoPayToken, "CRYPTOPAY_API=" + r.CryptoPayAPI,
			"DATABASE_URL=" + r.DatabaseDirectURL, "CATALOGUE=" + r.Catalogue,
			"LISTEN=" + app.Host, "OPERATIONS_LISTEN=shared",
		}, settings...),
	})
	if err != nil {
		return nil, 0, err
	}
	err = until(ctx, func() error { _, err := get(ctx, r.AppURL+"/readyz"); return err })
	if err != nil {
		product.Kill()
		return nil, 0, fmt.Errorf("%w; it said\n%s", err, said)
	}
	return product, time.Since(began), nil
}

// serve starts the product and waits until it has its webhook.
func (b *bench) serve(ctx context.Context) (took time.Duration, err error) {
	if b.product, took, err = b.start(ctx); err != nil {
		return 0, err
	}
	return took, until(ctx, func() error {
		if !bytes.Contains(b.world.Telegram.WebhookInfo(), []byte(b.world.Ready().AppURL)) {
			return errors.New("there is no webhook")
		}
		return nil
	})
}

// ensureProduct sees that the product runs.
func (b *bench) ensureProduct(ctx context.Context) error {
	if b.product != nil {
		return nil
	}
	_, err := b.serve(ctx)
	return err
}

// get returns a page.
func get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return page, err
}

// idle measures a product that has nothing to do.
func (b *bench) idle(ctx context.Context) error {
	if err := b.ensureProduct(ctx); err != nil { // which migrates the database
		return err
	}
	var starts []float64
	for range b.starts {
		if err := b.product.Stop(ctx); err != nil {
			return err
		}
		took, err := b.serve(ctx)
		if err != nil {
			return err
		}
		starts = append(starts, ms(took))
	}
	if err := wait(ctx, b.round); err != nil { // what only the start needs is given back
		return err
	}
	memory, err := memoryOf(b.product.Pid())
	if err != nil {
		return err
	}
	goroutines, err := b.goroutines(ctx)
	if err != nil {
		return err
	}
	connections, err := b.connections(ctx)
	if err != nil {
		return err
	}
	b.report.add(table{
		Title: "idle", Columns: []string{"ready ms", "RSS MB", "PSS MB", "goroutines", "connections"},
		Rows: []row{{"product", []float64{median(starts), memory["Rss"], memory["Pss"], goroutines, connections}}},
	})
	b.report.atMost("start to ready, ms, on a migrated database", median(starts), 250)
	b.report.atMost("idle memory (PSS), MB", memory["Pss"], 40)
	return nil
}

// memoryOf returns what the kernel says of a process's memory, in MB.
func memoryOf(pid int) (map[string]float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	found := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		if err == nil {
			found[name] = kilobytes / 1000
		}
	}
	return found, nil
}

func (b *bench) goroutines(ctx context.Context) (float64, error) {
	page, err := get(ctx, b.world.Ready().AppURL+"/metrics")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return strconv.ParseFloat(value, 64) //nolint:wrapcheck // it is a number
		}
	}
	return 0, errors.New("no go_goroutines in /metrics")
}

func (b *bench) connections(ctx context.Context) (n float64, err error) {
	conn, err := pgx.Connect(ctx, b.world.Postgres.URL(template))
	if err != nil {
		return 0, fmt.Errorf("connections: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // it was only read
	r, err := url.Parse(b.world.Ready().DatabaseDirectURL)
	if err != nil {
		return 0, fmt.Errorf("connections: %w", err)
	}
	err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = $1`, strings.TrimPrefix(r.Path, "/")).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("connections: %w", err)
	}
	return n, nil
}
