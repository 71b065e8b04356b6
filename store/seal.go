package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// sealPurpose separates the key of the certificates from others that may be derived
// from the same APP_KEY one day.
const sealPurpose = "sallyport tls_files 1"

// newSeal returns AES-256-GCM, with a random nonce in front of each sealed value,
// under a key derived from appKey.
func newSeal(appKey []byte) (cipher.AEAD, error) {
	if len(appKey) != 32 {
		return nil, fmt.Errorf("application key of %d bytes: want 32", len(appKey))
	}
	key, err := hkdf.Key(sha256.New, appKey, nil, sealPurpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the sealing key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sealing cipher: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("sealing mode: %w", err)
	}
	return seal, nil
}
