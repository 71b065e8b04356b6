package bot

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

func TestAQRCodeReadsAsTheKeyItShows(t *testing.T) {
	t.Parallel()
	drawn, err := qrPNG(testLink())
	if err != nil {
		t.Fatal(err)
	}
	if len(drawn) > 100_000 {
		t.Errorf("%d bytes: Telegram slows such uploads down", len(drawn))
	}
	picture, err := png.Decode(bytes.NewReader(drawn))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil || read.GetText() != testLink() {
		t.Errorf("reads as %v, %v", read, err)
	}
}
