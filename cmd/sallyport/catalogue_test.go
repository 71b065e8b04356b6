package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"sallyport/shop"
)

// A text of the catalogue that would be refused by Telegram, or shown to nobody, is
// refused when the file is read, at the start as on SIGHUP, in whatever language.
func TestACatalogueThatWouldBreakAScreenIsRefused(t *testing.T) {
	t.Parallel()
	good := catalogueText("149", `  - {name: de1, title: Sallyport Germany, api: "unix:///x", inbound: in, host: 203.0.113.5, port: 443,
     server_name: cover.example, public_key: hc-wkmNTdUs0NEwK2JE7Dy410LmeAlP3tD45j_zS4Fg, short_id: "00", fingerprint: chrome}
`)
	const (
		name, about = "name: {en: Basic, ru: Базовый}", "description: {en: For everyone., ru: Для всех.}"
		contact     = `support: "@sallyport_support"`
		title       = "title: Sallyport Germany"
	)
	for what, c := range map[string]struct{ from, to, says string }{
		"a name of nothing":            {name, "name: {en: Basic, ru: }", "name.ru"},
		"a name of spaces":             {name, `name: {en: "   ", ru: Базовый}`, "name.en"},
		"a name that cannot be seen":   {name, `name: {en: Basic, ru: "\u3164\u200b"}`, "name.ru"},
		"a name that is too long":      {name, "name: {en: Basic, ru: " + strings.Repeat("я", 65) + "}", "name.ru"},
		"a name of too many emoji":     {name, "name: {en: " + strings.Repeat("🎉", 33) + "}", "name.en"},
		"a name that turns around":     {name, `name: {en: "a\u202eb"}`, "name.en"},
		"a language in capitals":       {name, "name: {en: Basic, RU: Базовый}", "name.RU"},
		"a description of 300 emoji":   {about, "description: {ru: " + strings.Repeat("🎉", 300) + "}", "description.ru"},
		"a description of line breaks": {about, `description: {en: "\n\n"}`, "description.en"},
		"a description with an escape": {about, `description: {en: "a\e[1m"}`, "description.en"},
		"a description of nothing":     {about, "description: {en: ok, ru: ~}", "description.ru"},
		"a period beyond the limit":    {contact, contact + "\nlimits: {prepaid: 29d}", "limits.prepaid"},
		"a contact of nothing":         {contact, `support: " "`, "support"},
		"a contact that is too long":   {contact, `support: "` + strings.Repeat("@", 129) + `"`, "support"},
		"a title that is too long":     {title, "title: " + strings.Repeat("x", 400), "title"},
		"a title of 200 emoji":         {title, "title: " + strings.Repeat("🎉", 200), "title"},
		"a title that cannot be seen":  {title, `title: "\u2800"`, "title"},
	} {
		path := filepath.Join(t.TempDir(), "catalogue.yaml")
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s: %q is not in %s", what, c.from, good)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readCatalogue(path); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// sayings are texts of which a catalogue may be made: some as long as may be, some
// longer, some that show nothing, grow when they are escaped or count double.
func sayings(most int) *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"&", "<b>", "</code>", `"`, "&lt;", "🎉", "👨‍👩‍👧‍👦", "🇳🇱", "я", "א", "漢", "{{.Plan}}"}),
		rapid.SampledFrom([]string{"", " ", "\n", "\u200b", "\u202e", "\u3164", "\u2800", "\x00"}),
		rapid.StringN(1, 8, -1),
	)
	return rapid.Custom(func(t *rapid.T) string {
		text := piece.Draw(t, "piece")
		end := rapid.SampledFrom([]string{"", "x", "🎉"}).Draw(t, "end")
		room := most + rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "more") - len(utf16.Encode([]rune(end)))
		if text != "" {
			text = strings.Repeat(text, max(0, room/len(utf16.Encode([]rune(text)))))
		}
		return text + end
	})
}

// Whatever catalogue the checks of its values let pass, Telegram takes each screen of
// it, in each language.
func TestWhateverTheCatalogueSaysEveryScreenFits(t *testing.T) {
	t.Parallel()
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		said := func(what string, most int) map[string]string {
			text := sayings(most)
			m := map[string]string{"en": text.Draw(t, what+".en")}
			if rapid.Bool().Draw(t, what+" in Russian") {
				m["ru"] = text.Draw(t, what+".ru")
			}
			return m
		}
		label := func(most int) string {
			return strings.Repeat(rapid.SampledFrom([]string{"a", "0"}).Draw(t, "letter"), rapid.IntRange(1, most).Draw(t, "length"))
		}
		f := catalogueFile{Support: sayings(maxContact).Draw(t, "support")}
		for range rapid.IntRange(1, maxPlans).Draw(t, "plans") {
			p := planFile{ID: label(16), Name: said("name", maxName), Description: said("description", maxDescription)}
			for _, length := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"1d", "30d", "3660d", "1s", "45s", "99h", "31622399s", "12345m"}), 1, 8, rapid.ID).Draw(t, "lengths") {
				p.Periods = append(p.Periods, periodFile{
					Length: length, RUB: rapid.SampledFrom([]string{"1", "149.50", "92233720368547758"}).Draw(t, "rub"),
					Stars: rapid.SampledFrom([]string{"", "1", "10000"}).Draw(t, "stars"),
				})
			}
			f.Plans = append(f.Plans, p)
		}
		long := strings.Repeat(strings.Repeat("a", 62)+".", 4) + "b"
		for range rapid.IntRange(1, maxNodes).Draw(t, "nodes") {
			f.Nodes = append(f.Nodes, nodeFile{
				Name: label(32), Title: sayings(maxName).Draw(t, "title"), API: "unix:///x", Inbound: "in", Port: 65535,
				Host: rapid.SampledFrom([]string{"203.0.113.5", long}).Draw(t, "host"), ServerName: long,
				PublicKey: "hc-wkmNTdUs0NEwK2JE7Dy410LmeAlP3tD45j_zS4Fg", ShortID: "0123456789abcdef", Fingerprint: "randomizednoalpn",
			})
		}
		var c shop.Catalogue // made of what passes alone, so that enough does
		limits, _ := f.Limits.limits()
		c.Limits, c.Support = limits, f.Support
		if (catalogueFile{Support: f.Support, Plans: []planFile{goodPlan()}}).check() != nil {
			c.Support = "@help"
		}
		for _, p := range f.Plans {
			if plan, err := p.plan(); err == nil {
				c.Plans = append(c.Plans, plan)
			}
		}
		f.Nodes = onlyGood(f.Nodes)
		nodes, err := f.nodes()
		if err != nil || len(c.Plans) == 0 {
			return
		}
		passed++
		if err := checkScreens(c, nodes); err != nil {
			t.Fatalf("%v: %+v", err, c)
		}
	})
	if passed == 0 {
		t.Error("no catalogue passed")
	}
}

func goodPlan() planFile {
	return planFile{ID: "a", Name: map[string]string{"en": "A"}, Periods: []periodFile{{Length: "1d", RUB: "1"}}}
}

func (f catalogueFile) check() error {
	_, err := f.catalogue()
	return err
}

// onlyGood returns those of the nodes that are right by themselves, each with a name of its own.
func onlyGood(nodes []nodeFile) (good []nodeFile) {
	for _, n := range nodes {
		n.Name = string(rune('a' + len(good)))
		if _, err := (catalogueFile{Nodes: []nodeFile{n}}).nodes(); err == nil {
			good = append(good, n)
		}
	}
	return good
}
