package bot

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/shop"
	"sallyport/shop/shoptest"
)

// locale returns a locale file as key -> forms.
func locale(t *testing.T, l shop.Language) map[string]map[string]string {
	t.Helper()
	raw, err := localeFiles.ReadFile(fmt.Sprintf("locales/%s.json", l))
	if err != nil {
		t.Fatal(err)
	}
	var entries map[string]any
	if err := json.Unmarshal(raw, &entries); err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]map[string]string, len(entries))
	for key, entry := range entries {
		texts[key] = make(map[string]string)
		switch entry := entry.(type) {
		case string:
			texts[key]["other"] = entry
		case map[string]any:
			for form, text := range entry {
				texts[key][form] = text.(string)
			}
		}
	}
	return texts
}

var placeholder = regexp.MustCompile(`\{\{\.(\w+)\}\}`)

func placeholders(text string) []string {
	var names []string
	for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestLocalesHaveTheSameKeysAndPlaceholders(t *testing.T) {
	t.Parallel()
	reference := locale(t, shop.English)
	for _, l := range shop.Languages() {
		texts := locale(t, l)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(reference)), slices.Sorted(maps.Keys(texts))); diff != "" {
			t.Errorf("%s: keys differ:\n%s", l, diff)
		}
		for key, forms := range texts {
			for form, text := range forms {
				if diff := cmp.Diff(placeholders(reference[key]["other"]), placeholders(text)); diff != "" {
					t.Errorf("%s: %s (%s): placeholders differ:\n%s", l, key, form, diff)
				}
				if strings.TrimSpace(text) == "" {
					t.Errorf("%s: %s is empty", l, key)
				}
			}
		}
	}
}

func TestEveryTextIsUsedAndEveryUsedTextExists(t *testing.T) {
	t.Parallel()
	used := usedKeys(t)
	texts := locale(t, shop.English)
	for key := range texts {
		if !used(key) {
			t.Errorf("no code shows %s", key)
		}
	}
	for _, status := range []shop.SubscriptionStatus{shop.SubscriptionNew, shop.SubscriptionWaiting, shop.SubscriptionActive, shop.SubscriptionExpired} {
		if _, ok := texts["profile."+string(status)]; !ok {
			t.Errorf("no profile text for %s", status)
		}
	}
	for _, p := range providers() {
		for _, key := range []string{"order.open_", "button.by_", "button.pay_"} {
			if _, ok := texts[key+p]; !ok {
				t.Errorf("no text %s%s", key, p)
			}
		}
	}
}

func providers() []string { return []string{string(shop.CryptoBot), string(shop.Stars)} }

// usedKeys returns whether a key stands in the package's source, whole, without a
// provider at its end, or as "prefix." joined with something.
func usedKeys(t *testing.T) func(string) bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	literals := make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				literals[text] = true
			}
			return true
		})
	}
	return func(key string) bool {
		for _, p := range providers() {
			if stem, ok := strings.CutSuffix(key, p); ok && literals[stem] {
				return true
			}
		}
		prefix, suffix, _ := strings.Cut(key, ".")
		return literals[key] || (literals[prefix+"."] && (literals[suffix] || prefix == "profile" || prefix == "alert")) ||
			(literals["."+suffix] && literals[prefix])
	}
}

func TestNamesCannotBecomeMarkup(t *testing.T) {
	t.Parallel()
	paint := texts(t).painter(shop.English)
	got := paint.text("menu.hello", fields{"Name": `<b>"Tom" & Co</b>`})
	if !strings.Contains(got, "&lt;b&gt;&quot;Tom&quot; &amp; Co&lt;/b&gt;") {
		t.Error(got)
	}
}

func TestPeriodsTakeTheRightPlural(t *testing.T) {
	t.Parallel()
	tt := texts(t)
	for _, c := range []struct {
		lang   shop.Language
		length time.Duration
		want   string
	}{
		{shop.Russian, 24 * time.Hour, "1 день"},
		{shop.Russian, 72 * time.Hour, "3 дня"},
		{shop.Russian, 30 * 24 * time.Hour, "30 дней"},
		{shop.Russian, 365 * 24 * time.Hour, "365 дней"},
		{shop.Russian, 21 * 24 * time.Hour, "21 день"},
		{shop.Russian, 11 * 24 * time.Hour, "11 дней"},
		{shop.English, 24 * time.Hour, "1 day"},
		{shop.English, 30 * 24 * time.Hour, "30 days"},
		{shop.English, 90 * time.Second, "90 seconds"},
		{shop.English, time.Minute, "1 minute"},
		{shop.Russian, 25 * time.Hour, "25 часов"},
	} {
		if got := tt.period(c.lang, c.length); got != c.want {
			t.Errorf("%s in %s: %s", c.length, c.lang, got)
		}
	}
}

func texts(t testing.TB) *Texts {
	t.Helper()
	tt, err := NewTexts(time.UTC, shoptest.Providers(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	return tt
}

func TestDatesNameTheirZone(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"UTC": "12:00 UTC", "Europe/Moscow": "15:00 MSK", "Asia/Vladivostok": "22:00 UTC+10", "America/Sao_Paulo": "09:00 UTC-03"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		tt, err := NewTexts(zone, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range shop.Languages() {
			if got := tt.date(l, moment); !strings.HasSuffix(got, " "+want) {
				t.Errorf("%s in %s: %q", name, l, got)
			}
		}
	}
}

// A name is shown as it is read, and changes nothing around it.
func TestNamesAreShownWithoutWhatDisturbsOthers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Ann": "Ann", " Ann\n Lee ": "Ann Lee", "Ann\u202eeel": "Anneel", "\u2066Ann\u2069\x00": "Ann", "👨‍👩‍👧": "👨‍👩‍👧", "אן": "אן",
		"\u202e": "", "\u3164": "", "\u200b \u00ad": "", "": "",
	} {
		greeting := move{firstName: name, paint: texts(t).painter(shop.English)}.hello()
		if want == "" && greeting != "" || want != "" && greeting != "👋 Hello, "+want+"!" {
			t.Errorf("%q is greeted %q", name, greeting)
		}
	}
}

func TestAPlanThatIsSoldNoMoreIsNotCalledByItsID(t *testing.T) {
	t.Parallel()
	for _, l := range shop.Languages() {
		v := shop.Profile{Plan: shop.Plan{ID: "oldplan"}, Subscription: shop.Subscription{Status: shop.SubscriptionActive, ExpiresAt: moment}}
		text := texts(t).painter(l).profile(v).Text
		if strings.Contains(text, "oldplan") || strings.Contains(text, "<b></b>") {
			t.Errorf("in %s: %s", l, text)
		}
	}
}
