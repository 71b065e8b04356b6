package shop

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Money is an amount in minor units of a currency: kopecks, cents, Stars, billionths of a coin.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, upper case, or XTR, or the code of a coin, such as USDT
}

// XTR is the currency code of Telegram Stars. A Star has no smaller part: it is its
// own minor unit.
const XTR = "XTR"

// fiats are the currencies, as Crypto Pay knows them, that a price may be in; what is none
// of them and no Star is a coin.
const fiats = "AED AMD AZN BRL BYN CNY EUR GBP GEL IDR ILS INR KZT PLN RUB THB TRY UAH USD UZS"

// coinDecimals suffice for what people pay with: TON has as many, Bitcoin eight.
const coinDecimals = 9

// decimals returns how many digits after the point a currency has.
func decimals(currency string) int {
	switch {
	case currency == XTR:
		return 0
	case slices.Contains(strings.Fields(fiats), currency):
		return 2
	default:
		return coinDecimals
	}
}

// maxWhole bounds what ParseMoney accepts: 15 digits before the point keep the
// minor units of what has two after it inside an int64.
const maxWhole = 15

// ParseMoney reads a decimal such as "199", "199.5" or "199.00". It refuses signs,
// exponents, more than 15 digits before the point, any non-zero digit beyond those
// that the currency has after it, and what does not fit into its minor units.
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
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil {
		return Money{}, fmt.Errorf("amount %q: %w", decimal, ErrWrongAmount)
	}
	return Money{Minor: minor, Currency: currency}, nil
}

// Decimal returns the amount with the digits after the point that its currency has,
// as payment providers take it.
func (m Money) Decimal() string {
	places := decimals(m.Currency)
	sign, minor := "", uint64(m.Minor)
	if m.Minor < 0 {
		sign, minor = "-", -minor
	}
	all := fmt.Sprintf("%0*d", places+1, minor)
	if places == 0 {
		return sign + all
	}
	point := len(all) - places
	return sign + all[:point] + "." + all[point:]
}

func (m Money) negative() Money { return Money{Minor: -m.Minor, Currency: m.Currency} }

// String returns the amount and its currency, without empty minor units.
func (m Money) String() string {
	return strings.TrimSuffix(m.Decimal(), "."+strings.Repeat("0", decimals(m.Currency))) + " " + m.Currency
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
