package bot

import (
	"fmt"

	"rsc.io/qr"
)

// qrPNG returns content as a QR code picture, large enough for a phone held away
// and far below what Telegram throttles.
func qrPNG(content string) ([]byte, error) {
	code, err := qr.Encode(content, qr.M)
	if err != nil {
		return nil, fmt.Errorf("draw qr code: %w", err)
	}
	return code.PNG(), nil // eight pixels a module
}
