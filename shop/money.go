package shop

import (
	"fmt"
	"strconv"
	"strings"
)

// Money is an amount in minor units (kopecks, cents) of a currency.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, upper case, or XTR
}

// XTR is the currency code of Telegram Stars. A Star has no smaller part: it is its
// own minor unit.
const XTR = "XTR"

// decimals returns how many digits after the point a currency has.
func decimals(currency string) int {
	if currency == XTR {
		return 0
	}
	return 2
}

// maxWhole bounds what ParseMoney accepts: 15 digits before the point keep the
// minor units inside an int64.
const maxWhole = 15

// ParseMoney reads a decimal such as "199", "199.5" or "199.00". It refuses signs,
// exponents, more than 15 digits before the point, and any non-zero digit beyond
// those that the currency has after it.
func ParseMoney(decimal, currency string) (Money, error) {
	whole, fraction, _ := strings.Cut(decimal, ".")
	if !digits(whole) || len(whole) > maxWhole || (fraction == "" && strings.Contains(decimal, ".")) {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	fraction = strings.TrimRight(fraction, "0")
	places := decimals(currency)
	if len(fraction) > places || (fraction != "" && !digits(fraction)) {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	minor, err := strconv.ParseInt(whole+(fraction + "00")[:places], 10, 64)
	if err != nil {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	return Money{Minor: minor, Currency: currency}, nil
}

// Decimal returns the amount with the digits after the point that its currency has,
// as payment providers take it.
func (m Money) Decimal() string {
	if decimals(m.Currency) == 0 {
		return strconv.FormatInt(m.Minor, 10)
	}
	sign, minor := "", m.Minor
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return fmt.Sprintf("%s%d.%02d", sign, uint64(minor)/100, uint64(minor)%100)
}

// String returns the amount and its currency, without empty minor units.
func (m Money) String() string {
	return strings.TrimSuffix(m.Decimal(), ".00") + " " + m.Currency
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
