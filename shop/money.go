package shop

import (
	"fmt"
	"strconv"
	"strings"
)

// Money is an amount in minor units (kopecks, cents) of a currency.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, upper case
}

// maxWhole bounds what ParseMoney accepts: 15 digits before the point keep the
// minor units inside an int64.
const maxWhole = 15

// ParseMoney reads a decimal such as "199", "199.5" or "199.00". It refuses signs,
// exponents, more than 15 digits before the point, and any non-zero digit beyond
// the second one after it.
func ParseMoney(decimal, currency string) (Money, error) {
	whole, fraction, _ := strings.Cut(decimal, ".")
	if !digits(whole) || len(whole) > maxWhole || (fraction == "" && strings.Contains(decimal, ".")) {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > 2 || (fraction != "" && !digits(fraction)) {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	minor, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	if err != nil {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	return Money{Minor: minor, Currency: currency}, nil
}

// Decimal returns the amount with two digits after the point, as payment
// providers take it.
func (m Money) Decimal() string {
	return fmt.Sprintf("%d.%02d", m.Minor/100, m.Minor%100)
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
