package node

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/sandbox/process"
)

const shortIDBytes = 8

// identity is what a share link depends on: it must survive a restart.
type identity struct {
	PrivateKey string `json:"private_key"`
	PublicKey  string `json:"public_key"`
	ShortID    string `json:"short_id"`
	Port       int    `json:"port"`
	APIPort    int    `json:"api_port"`
}

// loadIdentity returns the kept identity of the directory, or makes and keeps a
// new one. Ports of the configuration win over kept ones.
func loadIdentity(cfg Config) (identity, error) {
	id, err := readIdentity(cfg.Dir)
	if err != nil {
		return identity{}, err
	}
	if id.PrivateKey == "" {
		if err := id.makeKeys(); err != nil {
			return identity{}, err
		}
	}
	if id.Port, err = choosePort(cfg.Port, id.Port, 0); err != nil {
		return identity{}, err
	}
	if id.APIPort, err = choosePort(cfg.APIPort, id.APIPort, id.Port); err != nil {
		return identity{}, err
	}
	return id, id.keep(cfg.Dir)
}

func identityFile(dir string) string { return filepath.Join(dir, "node.json") }

func readIdentity(dir string) (identity, error) {
	var id identity
	if dir == "" {
		return id, nil
	}
	text, err := os.ReadFile(identityFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return id, fmt.Errorf("read the node's keys: %w", err)
	}
	if err := json.Unmarshal(text, &id); err != nil {
		return id, fmt.Errorf("read the node's keys in %s: %w", identityFile(dir), err)
	}
	return id, nil
}

func (id *identity) makeKeys() error {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	short := make([]byte, shortIDBytes)
	_, _ = rand.Read(short) // never fails
	id.PrivateKey = base64.RawURLEncoding.EncodeToString(key.Bytes())
	id.PublicKey = base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
	id.ShortID = hex.EncodeToString(short)
	return nil
}

// choosePort takes the asked port, else the kept one, else a free one other than taken.
func choosePort(asked, kept, taken int) (int, error) {
	if asked != 0 {
		return asked, nil
	}
	if kept != 0 {
		return kept, nil
	}
	for {
		port, err := process.FreePort()
		if err != nil {
			return 0, fmt.Errorf("choose a port: %w", err)
		}
		if port != taken {
			return port, nil
		}
	}
}

// keep writes the identity for the next start, readable to us alone.
func (id *identity) keep(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(id, "", "  ") //nolint:gosec // keys of a sandbox, in a file of our own
	if err != nil {
		return fmt.Errorf("keep the node's keys: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the node's keys: %w", err)
	}
	if err := os.WriteFile(identityFile(dir), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the node's keys: %w", err)
	}
	return nil
}
