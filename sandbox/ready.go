package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Ready is the ready document: where everything is and how to get in. All of it
// is valid on this machine only, for as long as the world runs.
type Ready struct {
	AppURL            string `json:"app_url"`
	ChatURL           string `json:"chat_url"`
	ControlURL        string `json:"control_url"`
	TelegramAPI       string `json:"telegram_api"`
	BotToken          string `json:"bot_token"`
	WebhookPath       string `json:"webhook_path"`
	WebhookSecret     string `json:"webhook_secret"`
	CryptoPayAPI      string `json:"cryptopay_api"`
	CryptoPayToken    string `json:"cryptopay_token"`
	DatabaseURL       string `json:"database_url"`        // the product's, by way of the faults
	DatabaseDirectURL string `json:"database_direct_url"` // past the faults
	InternetURL       string `json:"internet_url"`        // the one page that can be reached through the tunnel
	Catalogue         string `json:"catalogue"`           // the product's catalogue file
	ProductPID        int    `json:"product_pid"`         // 0 if it does not run
	ProductLog        string `json:"product_log"`
	Xray              Xray   `json:"xray"`
}

// Xray is how to reach the VPN server.
type Xray struct {
	Host       string `json:"host"`
	Port       int    `json:"port"`
	ServerName string `json:"server_name"`
	PublicKey  string `json:"public_key"`
	ShortID    string `json:"short_id"`
	Flow       string `json:"flow"`
	Inbound    string `json:"inbound"`
	API        string `json:"api"`        // the product's way, by way of the faults
	APIDirect  string `json:"api_direct"` // past the faults
	Binary     string `json:"binary"`
	PID        int    `json:"pid"` // 0 if it does not run
}

// Ready returns the ready document with the process ids of this moment.
func (w *World) Ready() Ready {
	doc := w.ready
	if w.product != nil {
		doc.ProductPID = w.product.state().PID
	}
	if w.Node.Running() {
		doc.Xray.PID = w.Node.Pid()
	}
	return doc
}

// writeReady puts the ready document at path, whole or not at all.
func (w *World) writeReady(path string) error {
	text, err := json.MarshalIndent(w.Ready(), "", "  ")
	if err != nil {
		return fmt.Errorf("ready document: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".ready-") // readable by us alone
	if err != nil {
		return fmt.Errorf("ready document: %w", err)
	}
	_, err = temp.Write(append(text, '\n'))
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // the first error says more
		return fmt.Errorf("ready document: %w", err)
	}
	return nil
}
