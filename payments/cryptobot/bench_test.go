package cryptobot_test

import (
	"testing"

	"sallyport/payments/cryptobot"
)

// BenchmarkCallback verifies and reads a payment callback.
func BenchmarkCallback(b *testing.B) {
	body := vector(b, "a")
	b.ReportAllocs()
	for b.Loop() {
		if err := cryptobot.Verify(token, body, signatureA); err != nil {
			b.Fatal(err)
		}
		if _, err := cryptobot.Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
