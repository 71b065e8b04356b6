package cryptopay

import (
	"maps"
	"math/big"
	"slices"
)

// places is how finely amounts of an asset are counted here, and maxPlaces how
// finely a caller may give one.
const (
	places    = 8
	maxPlaces = 18
	// ratePlaces is enough for the product of any two sensible prices.
	ratePlaces = 18
)

// currency is one row of getCurrencies.
type currency struct {
	IsBlockchain bool   `json:"is_blockchain"`
	IsStablecoin bool   `json:"is_stablecoin"`
	IsFiat       bool   `json:"is_fiat"`
	Name         string `json:"name"`
	Code         string `json:"code"`
	URL          string `json:"url,omitempty"`
	Decimals     int    `json:"decimals"`
}

func coin(code, name, url string, decimals int) currency {
	return currency{IsBlockchain: true, Name: name, Code: code, URL: url, Decimals: decimals}
}

func stablecoin(code, name, url string) currency {
	return currency{IsStablecoin: true, Name: name, Code: code, URL: url, Decimals: maxPlaces}
}

// coins are the assets that the documentation names, in its order.
func coins() []currency {
	return []currency{
		stablecoin("USDT", "Tether", "https://tether.to/"),
		coin("TON", "Toncoin", "https://ton.org/", 9),
		coin("BTC", "Bitcoin", "https://bitcoin.org/", 8),
		coin("ETH", "Ethereum", "https://ethereum.org/", 18),
		coin("LTC", "Litecoin", "https://litecoin.org/", 8),
		coin("BNB", "Binance Coin", "https://binance.org/", 18),
		coin("TRX", "Tron", "https://tron.network/", 6),
		stablecoin("USDC", "USD Coin", "https://www.centre.io/usdc"),
		coin("JET", "Jet", "", 9), // of the test network alone
	}
}

// swapTargets are the assets that swap_to may name.
func swapTargets() []string {
	return []string{"USDT", "TON", "TRX", "ETH", "SOL", "BTC", "LTC"}
}

// defaultAssetUSD is the price of one unit of every asset in US dollars.
func defaultAssetUSD() map[string]string {
	return map[string]string{
		"USDT": "1.0001", "TON": "3.12", "BTC": "97250.5", "ETH": "3480.25",
		"LTC": "92.4", "BNB": "655.7", "TRX": "0.2412", "USDC": "1", "JET": "0.01",
	}
}

// defaultUSDFiat is how much of every fiat currency one US dollar costs.
func defaultUSDFiat() map[string]string {
	return map[string]string{
		"USD": "1", "EUR": "0.92", "RUB": "79.28", "BYN": "3.27", "UAH": "41.6", "GBP": "0.79",
		"CNY": "7.24", "KZT": "521", "UZS": "12800", "GEL": "2.72", "TRY": "38.4", "AMD": "387",
		"THB": "34.1", "INR": "84.3", "BRL": "5.6", "IDR": "15900", "AZN": "1.7", "AED": "3.67",
		"PLN": "3.95", "ILS": "3.7", "KGS": "87.4", "TJS": "10.9",
	}
}

// rateTable holds the parsed prices; it does not change after New.
type rateTable struct {
	assetUSD map[string]*big.Rat
	usdFiat  map[string]*big.Rat
	rejected []string
}

// newRates lays the configured prices over the defaults. A price that is not a
// positive decimal is left out and named in rejected. A configured asset or
// fiat that has no default is added.
func newRates(assetUSD, usdFiat map[string]string) rateTable {
	table := rateTable{assetUSD: map[string]*big.Rat{}, usdFiat: map[string]*big.Rat{}}
	table.lay(table.assetUSD, defaultAssetUSD())
	table.lay(table.usdFiat, defaultUSDFiat())
	table.lay(table.assetUSD, assetUSD)
	table.lay(table.usdFiat, usdFiat)
	return table
}

func (t *rateTable) lay(target map[string]*big.Rat, prices map[string]string) {
	for code, text := range prices {
		price, ok := parsePlain(text)
		if !ok || price.Sign() == 0 {
			t.rejected = append(t.rejected, code)
			continue
		}
		target[code] = price
	}
}

func (t *rateTable) hasAsset(code string) bool { return t.assetUSD[code] != nil }

func (t *rateTable) hasFiat(code string) bool { return t.usdFiat[code] != nil }

// price is how much of the fiat currency one unit of the asset costs.
func (t *rateTable) price(asset, fiat string) *big.Rat {
	return new(big.Rat).Mul(t.assetUSD[asset], t.usdFiat[fiat])
}

// assets lists every asset, the documented ones first.
func (t *rateTable) assets() []string {
	var result []string
	for _, c := range coins() {
		result = append(result, c.Code)
	}
	for _, code := range slices.Sorted(maps.Keys(t.assetUSD)) {
		if !slices.Contains(result, code) {
			result = append(result, code)
		}
	}
	return result
}

func (t *rateTable) currencies() []currency {
	result := coins()
	for _, code := range t.assets()[len(result):] {
		result = append(result, coin(code, code, "", places))
	}
	for _, code := range slices.Sorted(maps.Keys(t.usdFiat)) {
		result = append(result, currency{IsFiat: true, Name: code, Code: code, Decimals: 8})
	}
	return result
}

// exchangeRate is one row of getExchangeRates.
type exchangeRate struct {
	IsValid  bool   `json:"is_valid"`
	IsCrypto bool   `json:"is_crypto"`
	IsFiat   bool   `json:"is_fiat"`
	Source   string `json:"source"`
	Target   string `json:"target"`
	Rate     string `json:"rate"`
}

func (t *rateTable) exchangeRates() []exchangeRate {
	var result []exchangeRate
	for _, asset := range t.assets() {
		for _, fiat := range slices.Sorted(maps.Keys(t.usdFiat)) {
			rate := decimalText(t.price(asset, fiat), ratePlaces)
			result = append(result, exchangeRate{IsValid: true, IsCrypto: true, Source: asset, Target: fiat, Rate: rate})
		}
	}
	return result
}
