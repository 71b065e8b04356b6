package bot

import (
	"fmt"

	"github.com/skip2/go-qrcode"
)

// qrSize is the picture's side in pixels: large enough for a phone held away,
// small enough to stay under what Telegram throttles.
const qrSize = 640

// qrPNG returns content as a QR code picture.
func qrPNG(content string) ([]byte, error) {
	png, err := qrcode.Encode(content, qrcode.Medium, qrSize)
	if err != nil {
		return nil, fmt.Errorf("draw qr code: %w", err)
	}
	return png, nil
}
