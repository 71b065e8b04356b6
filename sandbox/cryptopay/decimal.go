package cryptopay

import (
	"math/big"
	"strconv"
	"strings"
)

// Bounds of a decimal that a caller may send. They keep exact arithmetic cheap.
const (
	maxDecimalText = 48
	maxExponent    = 30
)

// parsePlain reads digits with at most one decimal point; no sign, no
// exponent, nothing else.
func parsePlain(text string) (*big.Rat, bool) {
	whole, fraction, dotted := strings.Cut(text, ".")
	if len(text) > maxDecimalText || !digits(whole) || dotted && !digits(fraction) {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// parseNumber reads a JSON number, which may have an exponent, because some
// clients send amounts as floats. Negative numbers are refused.
func parseNumber(text string) (*big.Rat, bool) {
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(text), "e")
	value, ok := parsePlain(mantissa)
	if !ok || !scaled {
		return value, ok
	}
	power, err := strconv.Atoi(exponent)
	if err != nil || power > maxExponent || power < -maxExponent {
		return nil, false
	}
	return new(big.Rat).SetString(mantissa + "e" + strconv.Itoa(power))
}

// decimalText writes a value with at most so many places, halves rounded up,
// and without trailing zeros.
func decimalText(value *big.Rat, places int) string {
	text := value.FloatString(places)
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

func digits(text string) bool {
	for _, r := range text {
		if r < '0' || r > '9' {
			return false
		}
	}
	return text != ""
}
