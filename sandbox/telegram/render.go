package telegram

import (
	"html"
	"sort"
	"strings"
)

// renderHTML writes text and entities as HTML made of harmless tags only; every piece of text is escaped.
func renderHTML(text string, entities []entity) string {
	units, cuts := 0, cutPoints(entities)
	r := &renderer{entities: entities}
	for i, c := range text {
		if cuts[units] {
			r.reopen(units)
		}
		r.out.WriteString(html.EscapeString(text[i : i+len(string(c))]))
		units += utf16Len(string(c))
	}
	r.reopen(units)
	return r.out.String()
}

type renderer struct {
	out      strings.Builder
	entities []entity
	open     []int
}

func cutPoints(entities []entity) map[int]bool {
	cuts := make(map[int]bool, 2*len(entities))
	for _, e := range entities {
		cuts[e.Offset], cuts[e.Offset+e.Length] = true, true
	}
	return cuts
}

// reopen closes the tags that end here, with those opened inside them, and opens what the position needs.
func (r *renderer) reopen(at int) {
	want := r.active(at)
	same := 0
	for same < len(want) && same < len(r.open) && want[same] == r.open[same] {
		same++
	}
	for i := len(r.open) - 1; i >= same; i-- {
		r.out.WriteString(closeTag(r.entities[r.open[i]]))
	}
	for _, i := range want[same:] {
		r.out.WriteString(startTag(r.entities[i]))
	}
	r.open = want
}

// active lists the entities that cover the position, outermost first.
func (r *renderer) active(at int) []int {
	var active []int
	for i, e := range r.entities {
		if e.Offset <= at && at < e.Offset+e.Length {
			active = append(active, i)
		}
	}
	sort.SliceStable(active, func(i, j int) bool {
		a, b := r.entities[active[i]], r.entities[active[j]]
		return a.Offset < b.Offset || a.Offset == b.Offset && a.Length > b.Length
	})
	return active
}

func startTag(e entity) string {
	switch e.Type {
	case "text_link":
		if !safeURL(e.URL) {
			return ""
		}
		return `<a href="` + html.EscapeString(e.URL) + `" rel="noopener noreferrer nofollow">`
	case "spoiler":
		return `<span class="tg-spoiler">`
	}
	if name := tagName(e.Type); name != "" {
		return "<" + name + ">"
	}
	return ""
}

func closeTag(e entity) string {
	switch {
	case e.Type == "text_link" && safeURL(e.URL):
		return "</a>"
	case e.Type == "spoiler":
		return "</span>"
	case tagName(e.Type) != "":
		return "</" + tagName(e.Type) + ">"
	}
	return ""
}

// tagName maps an entity type to its tag; types without one are shown as plain text.
func tagName(kind string) string {
	switch kind {
	case "bold":
		return "b"
	case "italic":
		return "i"
	case "underline":
		return "u"
	case "strikethrough":
		return "s"
	case "code", "pre", "blockquote":
		return kind
	case "expandable_blockquote":
		return "blockquote"
	}
	return ""
}

// safeURL keeps javascript: and data: addresses out of the page.
func safeURL(address string) bool {
	for _, scheme := range []string{"http://", "https://", "tg:", "ton:", "mailto:", "tel:"} {
		if strings.HasPrefix(strings.ToLower(address), scheme) {
			return true
		}
	}
	return false
}
