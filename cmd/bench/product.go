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
	busy, err := b.idleLoad(ctx, idleRounds*b.round)
	if err != nil {
		return err
	}
	b.report.add(table{
		Title: "idle", Columns: []string{"ready ms", "RSS MB", "PSS MB", "goroutines", "connections", "core %", "PostgreSQL core %"},
		Rows: []row{{"product", []float64{median(starts), memory["Rss"], memory["Pss"], goroutines, connections, busy.product, busy.postgres}}},
	})
	b.report.atMost("idle, product and PostgreSQL, % of a core", busy.product+busy.postgres, 1)
	b.report.atMost("start to ready, ms, on a migrated database", median(starts), 250)
	b.report.atMost("idle memory (PSS), MB", memory["Pss"], 40)
	return nil
}

// idleRounds is over how many rounds the load of what has nothing to do is taken.
const idleRounds = 30

// loads is what part of a core something takes, in percent.
type loads struct{ product, postgres float64 }

// idleLoad returns what the product and its PostgreSQL take over a time.
func (b *bench) idleLoad(ctx context.Context, span time.Duration) (loads, error) {
	conn, err := pgx.Connect(ctx, b.world.Ready().DatabaseDirectURL)
	if err != nil {
		return loads{}, fmt.Errorf("idle load: %w", err)
	}
	backend := int(conn.PgConn().PID())
	postgres, err := parentOf(backend)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return loads{}, fmt.Errorf("idle load: %w", err)
	}
	took := func() (l loads, err error) {
		if l.product, err = secondsOf(b.product.Pid()); err != nil {
			return l, err
		}
		l.postgres, err = secondsOfAll(postgres)
		return l, err
	}
	before, err := took()
	if err != nil {
		return loads{}, err
	}
	began := time.Now()
	if err := wait(ctx, span); err != nil {
		return loads{}, err
	}
	after, err := took()
	share := 100 / time.Since(began).Seconds()
	return loads{(after.product - before.product) * share, (after.postgres - before.postgres) * share}, err
}

// ticksPerSecond is the unit of times in /proc, the same everywhere: proc_pid_stat(5).
const ticksPerSecond = 100

// stat returns the fields of /proc/PID/stat after the name, from the third on.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 15 {
		return nil, fmt.Errorf("load: /proc/%d/stat is %q", pid, text)
	}
	return fields, nil
}

func parentOf(pid int) (int, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(fields[1]) //nolint:wrapcheck // it is a number
}

// secondsOf returns the processor's time that a process and its children that are gone took.
func secondsOf(pid int) (float64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	var ticks float64
	for _, field := range fields[11:15] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, fmt.Errorf("load: %w", err)
		}
		ticks += n
	}
	return ticks / ticksPerSecond, nil
}

// secondsOfAll adds those of its children.
func secondsOfAll(pid int) (float64, error) {
	seconds, err := secondsOf(pid)
	if err != nil {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			return 0, fmt.Errorf("load: %w", err)
		}
		if one, err := secondsOf(n); err == nil { // one that is gone counts with its parent
			seconds += one
		}
	}
	return seconds, nil
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
