package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"sallyport/sandbox/process"
)

const (
	bootLimit = 60 * time.Second
	bootPoll  = 10 * time.Millisecond
	probeWait = 2 * time.Second
	// maxDeaths is after how many deaths a product that never became ready is given up.
	maxDeaths = 3
)

// startProduct runs the product and waits until it is of use.
func (w *World) startProduct(ctx context.Context) error {
	catalogue, err := writeCatalogue(w.dir, w.config.ShortPeriod, w.ready.Xray)
	if err != nil {
		return err
	}
	w.ready.Catalogue = catalogue
	if w.config.NoProduct {
		return nil
	}
	began := time.Now()
	w.ready.ProductLog = filepath.Join(w.dir, "sallyport.log")
	log, err := os.OpenFile(w.ready.ProductLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the product's log: %w", err)
	}
	var output io.Writer = log
	if w.config.ProductOutput != nil {
		output = io.MultiWriter(log, w.config.ProductOutput)
	}
	w.product, err = startProduct(ctx, process.Config{
		Path: w.config.Program, Args: []string{"serve"}, Env: w.Environment(),
		Dir:    w.dir, // away from any .env
		Output: output, Grace: productGrace,
	}, log)
	if err != nil {
		return err
	}
	w.onStop(w.product.close)
	if err := w.awaitProduct(ctx); err != nil {
		return fmt.Errorf("%w; it said last:\n%s", err, w.product.tail)
	}
	w.progress("sallyport", began)
	return nil
}

// Environment is the whole one of a product of this world: the ordinary configuration
// of an operator.
func (w *World) Environment() []string {
	r := w.ready
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TMPDIR=" + os.TempDir(),
		"BOT_TOKEN=" + r.BotToken, "TELEGRAM_API=" + r.TelegramAPI,
		"PUBLIC_URL=" + r.AppURL, "WEBHOOK_SECRET=" + r.WebhookSecret,
		"CRYPTOPAY_TOKEN=" + r.CryptoPayToken, "CRYPTOPAY_API=" + r.CryptoPayAPI, "CRYPTOPAY_RETURN_URL=" + r.ChatURL,
		"DATABASE_URL=" + r.DatabaseURL, "CATALOGUE=" + r.Catalogue,
		fmt.Sprintf("LISTEN=%s:%d", loopback, w.config.AppPort),
		"OPERATIONS_LISTEN=shared",
		"TIMEZONE=Europe/Moscow", "LOG_LEVEL=info",
		"EXPIRE_EVERY=500ms", "CHECK_NODES_EVERY=500ms", "POLL_INVOICES_EVERY=2s",
	}
	return append(env, w.config.Env...)
}

// awaitProduct waits until the product is ready and has set its webhook.
func (w *World) awaitProduct(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	tick := time.NewTicker(bootPoll)
	defer tick.Stop()
	for {
		err := w.productReady(ctx)
		if err == nil {
			return nil
		}
		if w.product.state().Starts > maxDeaths {
			return fmt.Errorf("the product died %d times", maxDeaths)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the product is not ready: %w", err)
		}
	}
}

// productReady returns what the product still lacks.
func (w *World) productReady(ctx context.Context) error {
	var hook struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(w.Telegram.WebhookInfo(), &hook); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	if hook.URL == "" {
		return fmt.Errorf("it has set no webhook")
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.ready.AppURL+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("readyz: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("readyz: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", response.Status)
	}
	return nil
}
