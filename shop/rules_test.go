package shop_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

func TestParseMoneyIsExactOrRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		minor int64
		bad   bool
	}{
		{in: "199", minor: 19900},
		{in: "199.00", minor: 19900},
		{in: "19.99", minor: 1999},
		{in: "0.29", minor: 29},
		{in: "0.5", minor: 50},
		{in: "1.2000", minor: 120},
		{in: "999999999999999.99", minor: 99999999999999999},
		{in: "", bad: true},
		{in: ".5", bad: true},
		{in: "5.", bad: true},
		{in: "-1", bad: true},
		{in: "+1", bad: true},
		{in: "1e3", bad: true},
		{in: "1.001", bad: true},
		{in: "1,5", bad: true},
		{in: " 1", bad: true},
		{in: "1.2.3", bad: true},
		{in: "9999999999999999", bad: true},
		{in: "१", bad: true},
	} {
		m, err := shop.ParseMoney(c.in, "RUB")
		if (err != nil) != c.bad || m.Minor != c.minor {
			t.Errorf("%q: %d, %v", c.in, m.Minor, err)
		}
	}
}

func TestStarsAreWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		stars int64
		bad   bool
	}{
		{in: "99", stars: 99},
		{in: "1", stars: 1},
		{in: "99.00", stars: 99},
		{in: "99.5", bad: true},
		{in: "0.01", bad: true},
		{in: "-1", bad: true},
		{in: "1e3", bad: true},
		{in: "", bad: true},
		{in: "ten", bad: true},
	} {
		m, err := shop.ParseMoney(c.in, shop.XTR)
		if (err != nil) != c.bad || m.Minor != c.stars {
			t.Errorf("%q: %d, %v", c.in, m.Minor, err)
		}
	}
	if m := (shop.Money{Minor: 100, Currency: shop.XTR}); m.Decimal() != "100" || m.String() != "100 XTR" {
		t.Errorf("a hundred Stars are %s, %s", m.Decimal(), m)
	}
}

func TestMoneyThatIsOwedIsWrittenWithOneSign(t *testing.T) {
	t.Parallel()
	for minor, want := range map[int64]string{-150: "-1.50", -5: "-0.05", -100: "-1.00", math.MinInt64: "-92233720368547758.08", 5: "0.05"} {
		if got := (shop.Money{Minor: minor, Currency: "RUB"}).Decimal(); got != want {
			t.Errorf("%d: %s, want %s", minor, got, want)
		}
	}
	if got := (shop.Money{Minor: -150, Currency: shop.XTR}).Decimal(); got != "-150" {
		t.Errorf("Stars: %s", got)
	}
}

func TestMoneyReadsWhatItWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		currency := rapid.SampledFrom([]string{"RUB", shop.XTR, "USDT", "TON", "BTC"}).Draw(t, "currency")
		m := shop.Money{Minor: rapid.Int64Range(0, 1e15-1).Draw(t, "minor"), Currency: currency}
		if got, err := shop.ParseMoney(m.Decimal(), currency); got != m || err != nil {
			t.Fatalf("%s: %+v, %v", m.Decimal(), got, err)
		}
	})
}

func TestCoinsAreCountedInBillionths(t *testing.T) {
	t.Parallel()
	for decimal, want := range map[string]int64{"1.9": 1_900_000_000, "0.000000001": 1, "9223372036.854775807": math.MaxInt64, "9223372036.854775808": 0, "0.0000000001": 0} {
		if m, err := shop.ParseMoney(decimal, "USDT"); m.Minor != want || (err != nil) != (want == 0) {
			t.Errorf("%s: %d, %v", decimal, m.Minor, err)
		}
	}
	if m := (shop.Money{Minor: -1_500_000_000, Currency: "TON"}); m.String() != "-1.500000000 TON" {
		t.Error(m)
	}
}

// Whatever a provider says of coins and fees, its posting balances and can be stored.
func TestWhateverIsSaidOfAFeeThePostingBalances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.OneOf(rapid.StringMatching(`[0-9]{0,20}(\.[0-9]{0,20})?`), rapid.SampledFrom([]string{"", "-1", "1e3", ".", "1.9", "0"}))
		code := rapid.SampledFrom([]string{"", "RUB", "XTR", "USDT", "TON", "\x00", "R B"})
		e := shop.PaymentEvent{
			Provider: shop.CryptoBot, ExternalID: "1", Invoiced: shop.Money{Minor: rapid.Int64Range(1, math.MaxInt64).Draw(t, "minor"), Currency: "RUB"},
			PaidAmount: amount.Draw(t, "paid"), PaidAsset: code.Draw(t, "asset"), FeeAmount: amount.Draw(t, "fee"), FeeAsset: code.Draw(t, "fee asset"),
		}
		posting, _ := e.Suspend(shop.ErrWrongAmount)
		sums, lines := make(map[string]int64), make(map[string]bool)
		for _, entry := range posting.Entries {
			line := string(entry.Account) + " " + entry.Amount.Currency
			if entry.Amount.Minor == 0 || lines[line] || strings.ContainsAny(line, "\x00") {
				t.Fatalf("cannot be stored: %+v", posting.Entries)
			}
			lines[line] = true
			sums[entry.Amount.Currency] += entry.Amount.Minor
		}
		for _, sum := range sums {
			if sum != 0 {
				t.Fatalf("does not balance: %+v", posting.Entries)
			}
		}
	})
}

func TestParsePeriod(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   shop.PeriodID
		want time.Duration
	}{{"30d", 720 * time.Hour}, {"45s", 45 * time.Second}, {"3660d", 3660 * 24 * time.Hour}} {
		if got, err := shop.ParsePeriod(c.in); got != c.want || err != nil {
			t.Errorf("%s: %s, %v", c.in, got, err)
		}
	}
	for _, bad := range []shop.PeriodID{"", "d", "0d", "-1d", "3661d", "99999999999999999999d", "1", "-5s", "0s", "1.5d", "500ms", "1h0.5s"} {
		if got, err := shop.ParsePeriod(bad); err == nil {
			t.Errorf("%q became %s", bad, got)
		}
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const month = 30 * 24 * time.Hour

func TestExtendKeepsEveryPaidDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		sub  shop.Subscription
		want time.Time
		then shop.SubscriptionStatus
	}{
		{"a first purchase starts now", shop.Subscription{Status: shop.SubscriptionNew}, noon.Add(month), shop.SubscriptionWaiting},
		{"a renewal adds to what is left", shop.Subscription{Status: shop.SubscriptionActive, ExpiresAt: noon.Add(time.Hour)}, noon.Add(time.Hour + month), shop.SubscriptionWaiting},
		{"a renewal at the very end starts now", shop.Subscription{Status: shop.SubscriptionActive, ExpiresAt: noon.Add(-time.Minute)}, noon.Add(month), shop.SubscriptionWaiting},
		{"a return starts now", shop.Subscription{Status: shop.SubscriptionExpired, ExpiresAt: noon.Add(-month)}, noon.Add(month), shop.SubscriptionWaiting},
		{"what was ended too early is not lost", shop.Subscription{Status: shop.SubscriptionExpired, ExpiresAt: noon.Add(10 * 24 * time.Hour)}, noon.Add(10*24*time.Hour + month), shop.SubscriptionWaiting},
		{"a second purchase while waiting adds to the first", shop.Subscription{Status: shop.SubscriptionWaiting, ExpiresAt: noon.Add(month), WaitingSince: noon}, noon.Add(2 * month), shop.SubscriptionWaiting},
		{"even when the first ran out while waiting", shop.Subscription{Status: shop.SubscriptionWaiting, ExpiresAt: noon.Add(-time.Hour), WaitingSince: noon.Add(-month)}, noon.Add(month - time.Hour), shop.SubscriptionWaiting},
	} {
		got := c.sub.Extend("basic", month, noon)
		if !got.ExpiresAt.Equal(c.want) || got.Status != c.then || got.Plan != "basic" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestArriveGivesTheWaitBackOnce(t *testing.T) {
	t.Parallel()
	waiting := shop.Subscription{Status: shop.SubscriptionNew}.Extend("basic", month, noon)
	arrived := waiting.Arrive(noon.Add(3 * time.Hour))
	if want := noon.Add(3*time.Hour + month); !arrived.ExpiresAt.Equal(want) || arrived.Status != shop.SubscriptionActive {
		t.Errorf("%+v", arrived)
	}
	if again := arrived.Arrive(noon.Add(9 * time.Hour)); again != arrived {
		t.Errorf("arriving twice changed it: %+v", again)
	}
	if behind := waiting.Arrive(noon.Add(-3 * time.Hour)); !behind.ExpiresAt.Equal(noon.Add(month)) {
		t.Errorf("a clock that is behind leaves %s of %s", behind.ExpiresAt.Sub(noon), month)
	}
}

func TestWhoWaitsDoesNotExpire(t *testing.T) {
	t.Parallel()
	waiting := shop.Subscription{Status: shop.SubscriptionNew}.Extend("basic", time.Minute, noon)
	if waiting.Due(noon.Add(time.Hour)) {
		t.Error("expired before access was given")
	}
	if active := waiting.Arrive(noon.Add(time.Hour)); !active.Due(noon.Add(time.Hour+time.Minute)) || active.Due(noon.Add(time.Hour+time.Second)) {
		t.Error("the end is where the period ends")
	}
}

// Whatever a customer does and however long they wait, the time they have access
// is the time they paid for.
func TestAccessTimeEqualsPaidTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now, sub := noon, shop.Subscription{Status: shop.SubscriptionNew}
		var paid, had time.Duration
		for range rapid.IntRange(1, 30).Draw(t, "moves") {
			step := time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "step"))
			if sub.Status == shop.SubscriptionActive {
				had += min(step, max(0, sub.ExpiresAt.Sub(now)))
			}
			now = now.Add(step)
			if sub.Due(now) {
				sub = sub.Expire()
			}
			switch rapid.IntRange(0, 2).Draw(t, "move") {
			case 0:
				period := time.Duration(rapid.Int64Range(1, int64(365*24*time.Hour)).Draw(t, "period"))
				paid, sub = paid+period, sub.Extend("basic", period, now)
			case 1:
				sub = sub.Arrive(now)
			}
		}
		sub = sub.Arrive(now)
		if sub.Status == shop.SubscriptionActive {
			had += max(0, sub.ExpiresAt.Sub(now))
		}
		if had != paid {
			t.Fatalf("paid %s, had %s", paid, had)
		}
	})
}

func TestAnOrderCostsWhatItsProviderTakes(t *testing.T) {
	t.Parallel()
	both := shop.Offer{Plan: shop.Plan{ID: "basic"}, Period: catalogue().Plans[0].Periods[0]}
	roubles := shop.Offer{Plan: shop.Plan{ID: "basic"}, Period: catalogue().Plans[0].Periods[1]}
	for _, c := range []struct {
		name  string
		offer shop.Offer
		by    shop.Provider
		want  shop.Money
	}{
		{"roubles by CryptoBot", both, shop.CryptoBot, shop.Money{Minor: 14900, Currency: "RUB"}},
		{"Stars by Telegram", both, shop.Stars, shop.Money{Minor: 99, Currency: shop.XTR}},
		{"no price in Stars", roubles, shop.Stars, shop.Money{}},
		{"nobody's provider", both, "paypal", shop.Money{}},
		{"no provider", both, "", shop.Money{}},
	} {
		o, err := shop.NewOrder(1, c.offer, shoptest.By(c.by), noon)
		sold := c.want != shop.Money{}
		if sold == errors.Is(err, shop.ErrNoOffer) || sold && (o.Quote.Total != c.want || o.Provider != c.by || !o.Payable(noon)) {
			t.Errorf("%s: %+v, %v", c.name, o, err)
		}
	}
}

func TestStarsPayAnOrderInStarsAndNoOther(t *testing.T) {
	t.Parallel()
	stars := shop.Order{UserID: 1, Provider: shop.Stars, Quote: shop.Quote{Total: shop.Money{Minor: 100, Currency: shop.XTR}}, Status: shop.OrderOpen}
	roubles := shop.Order{UserID: 1, Provider: shop.CryptoBot, Quote: shop.Quote{Total: shop.Money{Minor: 100, Currency: "RUB"}}, Status: shop.OrderOpen}
	paid := stars
	paid.Status = shop.OrderPaid
	for _, c := range []struct {
		name  string
		order shop.Order
		sum   shop.Money
		want  error
	}{
		{"the price", stars, stars.Quote.Total, nil},
		{"a Star less", stars, shop.Money{Minor: 99, Currency: shop.XTR}, shop.ErrWrongAmount},
		{"a Star more", stars, shop.Money{Minor: 101, Currency: shop.XTR}, shop.ErrWrongAmount},
		{"kopecks for Stars", stars, shop.Money{Minor: 100, Currency: "RUB"}, shop.ErrWrongAmount},
		{"Stars for kopecks", roubles, stars.Quote.Total, shop.ErrWrongAmount},
		{"once more", paid, stars.Quote.Total, shop.ErrOrderPaid},
	} {
		e := shop.PaymentEvent{Provider: shop.Stars, ExternalID: "c", Invoiced: c.sum}
		if err := c.order.CheckPayment(e, []string{"USDT"}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCheckCheckoutIsNeverBlind(t *testing.T) {
	t.Parallel()
	price := shop.Money{Minor: 100, Currency: "XTR"}
	open := shop.Order{UserID: 1, Quote: shop.Quote{Total: price}, Status: shop.OrderOpen, ExpiresAt: noon.Add(time.Minute)}
	paid, cancelled, expired := open, open, open
	paid.Status, cancelled.Status, expired.Status = shop.OrderPaid, shop.OrderCancelled, shop.OrderExpired
	for _, c := range []struct {
		name   string
		order  shop.Order
		payer  shop.UserID
		amount shop.Money
		now    time.Time
		want   error
	}{
		{"the right payer, amount and time", open, 1, price, noon, nil},
		{"another payer", open, 2, price, noon, shop.ErrWrongPayer},
		{"another amount", open, 1, shop.Money{Minor: 99, Currency: "XTR"}, noon, shop.ErrWrongAmount},
		{"another currency", open, 1, shop.Money{Minor: 100, Currency: "RUB"}, noon, shop.ErrWrongAmount},
		{"too late", open, 1, price, noon.Add(time.Minute), shop.ErrNotPayable},
		{"paid already", paid, 1, price, noon, shop.ErrNotPayable},
		{"cancelled", cancelled, 1, price, noon, shop.ErrNotPayable},
		{"expired", expired, 1, price, noon, shop.ErrNotPayable},
		{"nothing", open, 1, shop.Money{Currency: "XTR"}, noon, shop.ErrWrongAmount},
	} {
		if err := c.order.CheckCheckout(shop.Checkout{Payer: c.payer, Amount: c.amount}, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestGuessLanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]shop.Language{"ru": shop.Russian, "uk": shop.Russian, "en": shop.English, "en-GB": shop.English, "de": shop.English, "": shop.English, "x": shop.English, "ru-RU": shop.Russian} {
		if got := shop.GuessLanguage(tag); got != want {
			t.Errorf("%q: %s", tag, got)
		}
	}
}

func TestQuoteSellsOnlyWhatIsSold(t *testing.T) {
	t.Parallel()
	c := catalogue()
	if offer, err := c.Offer("basic", "30d"); err != nil || offer.Period.Price.Minor != 14900 {
		t.Errorf("%+v, %v", offer, err)
	}
	for _, q := range [][2]string{{"basic", "31d"}, {"gold", "30d"}, {"", ""}} {
		if _, err := c.Offer(shop.PlanID(q[0]), shop.PeriodID(q[1])); !errors.Is(err, shop.ErrNoOffer) {
			t.Errorf("%v: %v", q, err)
		}
	}
}

func catalogue() shop.Catalogue {
	return shop.Catalogue{Support: "@help", Plans: []shop.Plan{{
		ID: "basic", Name: map[shop.Language]string{shop.English: "Basic", shop.Russian: "Базовый"},
		Periods: []shop.Period{
			{ID: "30d", Length: month, Price: shop.Money{Minor: 14900, Currency: "RUB"}, Stars: shop.Money{Minor: 99, Currency: shop.XTR}},
			{ID: "90d", Length: 3 * month, Price: shop.Money{Minor: 39900, Currency: "RUB"}},
		},
	}}}
}
