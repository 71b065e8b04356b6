package bot

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"sallyport/shop"
)

//go:embed locales/*.json
var localeFiles embed.FS

// Texts holds everything that a customer reads, in every language.
type Texts struct {
	localizers map[shop.Language]*i18n.Localizer
	zone       *time.Location
	providers  []shop.Descriptor
}

// NewTexts reads the locale files. Dates are shown in zone; the ways to pay are those by
// the providers.
func NewTexts(zone *time.Location, providers []shop.Descriptor) (*Texts, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", json.Unmarshal)
	t := &Texts{localizers: make(map[shop.Language]*i18n.Localizer), zone: zone, providers: providers}
	for _, l := range shop.Languages() {
		if _, err := bundle.LoadMessageFileFS(localeFiles, fmt.Sprintf("locales/%s.json", l)); err != nil {
			return nil, fmt.Errorf("locale %s: %w", l, err)
		}
		t.localizers[l] = i18n.NewLocalizer(bundle, string(l))
	}
	return t, nil
}

// fields fill the placeholders of a text. Their values are escaped.
type fields map[string]any

// in returns the text with this key; values of the fields cannot become markup.
func (t *Texts) in(l shop.Language, key string, f fields) string {
	return t.localize(l, &i18n.LocalizeConfig{MessageID: key, TemplateData: escaped(f)})
}

// count returns the text with this key in the plural form that n takes.
func (t *Texts) count(l shop.Language, key string, n int) string {
	return t.localize(l, &i18n.LocalizeConfig{MessageID: key, PluralCount: n, TemplateData: fields{"N": n}})
}

func (t *Texts) localize(l shop.Language, config *i18n.LocalizeConfig) string {
	localizer, ok := t.localizers[l]
	if !ok {
		localizer = t.localizers[shop.English]
	}
	text, err := localizer.Localize(config)
	if err != nil { // the parity test keeps keys and placeholders equal in every language
		return config.MessageID
	}
	return text
}

// escape makes text safe inside HTML markup of the Bot API.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
}

func escaped(f fields) fields {
	safe := make(fields, len(f))
	for name, value := range f {
		if text, ok := value.(string); ok {
			value = escape(text)
		}
		safe[name] = value
	}
	return safe
}

// date returns a moment as people in this language write it.
func (t *Texts) date(l shop.Language, moment time.Time) string {
	layout := "2 Jan 2006, 15:04 "
	if l == shop.Russian {
		layout = "02.01.2006 15:04 "
	}
	moment = moment.In(t.zone)
	zone, _ := moment.Zone()
	if strings.ContainsAny(zone[:1], "+-") { // it has no name of its own
		zone = "UTC" + zone
	}
	return moment.Format(layout) + zone
}

// period returns a length of time in its largest whole unit.
func (t *Texts) period(l shop.Language, length time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		key    string
	}{{24 * time.Hour, "unit.day"}, {time.Hour, "unit.hour"}, {time.Minute, "unit.minute"}} {
		if length >= unit.length && length%unit.length == 0 {
			return t.count(l, unit.key, int(length/unit.length))
		}
	}
	return t.count(l, "unit.second", int(length/time.Second))
}

// price returns an amount as people write it.
func (t *Texts) price(m shop.Money) string {
	amount, sign := strings.TrimSuffix(m.String(), " "+m.Currency), m.Currency
	if known, ok := map[string]string{"RUB": "₽", shop.XTR: "⭐"}[sign]; ok {
		sign = known
	}
	return amount + " " + sign
}

// plan names a plan; one that is sold no more has no name left.
func (t *Texts) plan(l shop.Language, p shop.Plan) string {
	if said := name(p.Name, l); said != "" {
		return said
	}
	return t.in(l, "plan.gone", nil)
}

// name picks the text of the catalogue in this language, else in any in which it says
// something.
func name(texts map[shop.Language]string, l shop.Language) string {
	for _, candidate := range append([]shop.Language{l}, shop.Languages()...) {
		if text := texts[candidate]; plain(text) != "" {
			return text
		}
	}
	return ""
}
