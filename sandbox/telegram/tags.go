package telegram

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

func supportedTag(name string) bool {
	return name == "span" || name == "a" || name == "tg-emoji" || name == "tg-time" || tagKind(name) != ""
}

// tagKind maps a tag without arguments to its entity type.
func tagKind(name string) string {
	switch name {
	case "b", "strong":
		return "bold"
	case "i", "em":
		return "italic"
	case "u", "ins":
		return "underline"
	case "s", "strike", "del":
		return "strikethrough"
	case "tg-spoiler":
		return "spoiler"
	case "code", "pre", "blockquote":
		return name
	}
	return ""
}

// close turns a finished tag into an entity; a link without a usable address is plain text.
func (p *htmlParser) close(tag openTag) {
	e := entity{Type: tagKind(tag.name), Offset: tag.offset, Length: p.units - tag.offset}
	switch tag.name {
	case "span":
		e.Type = "spoiler"
	case "a":
		if !e.link(or(tag.argument, p.out.String()[tag.bytes:])) {
			return
		}
	case "tg-emoji":
		e.Type, e.CustomEmojiID = "custom_emoji", tag.argument
		if tag.argument == "" {
			return
		}
	case "tg-time":
		e.Type, e.UnixTime, e.DateTimeFormat = "date_time", json.Number(tag.argument), tag.format
		if tag.argument == "" {
			return
		}
	case "code":
		if p.insidePre(tag) {
			e.Language = tag.argument
		}
	case "pre":
		if p.adoptLanguage(&e) {
			return
		}
	case "blockquote":
		if tag.argument != "" {
			e.Type = "expandable_blockquote"
		}
	}
	p.entities = append(p.entities, e)
}

// insidePre reports whether the code tag begins exactly where an open pre tag begins.
func (p *htmlParser) insidePre(tag openTag) bool {
	for _, outer := range p.open {
		if outer.name == "pre" && outer.offset == tag.offset {
			return true
		}
	}
	return false
}

// adoptLanguage merges <pre><code class="language-x">…</code></pre> into one pre entity with a language.
func (p *htmlParser) adoptLanguage(pre *entity) bool {
	if len(p.entities) == 0 {
		return false
	}
	last := &p.entities[len(p.entities)-1]
	if last.Type != "code" || last.Offset != pre.Offset || last.Length != pre.Length {
		return false
	}
	last.Type = "pre"
	return true
}

// link makes the entity a text_link or, for tg://user?id=N, a text_mention.
func (e *entity) link(address string) bool {
	if id, ok := strings.CutPrefix(address, "tg://user?id="); ok {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 {
			e.Type, e.User = "text_mention", &wireUser{ID: n}
			return true
		}
	}
	clean, ok := cleanURL(address)
	e.Type, e.URL = "text_link", clean
	return ok
}

// cleanURL accepts web, tg, ton and mail addresses; one without a scheme means http.
func cleanURL(address string) (string, bool) {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, ":") && strings.Contains(address, ".") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", false
	}
	switch u.Scheme {
	case "http", "https":
		if u.Path == "" && u.RawQuery == "" && u.Fragment == "" {
			address += "/"
		}
		return address, u.Host != "" && (strings.Contains(u.Host, ".") || u.Hostname() == "localhost" || strings.Contains(u.Host, ":"))
	case "tg", "ton", "mailto", "tel":
		return address, true
	}
	return "", false
}

// decodeReference reads an HTML entity at the start of the text. A bare ampersand is returned as it is; a complete
// reference to an unknown name is refused, though the real server would show it letter by letter.
func decodeReference(text string) (decoded string, length int, err error) {
	if strings.HasPrefix(text, "&#") {
		return decodeNumeric(text)
	}
	end := 1
	for end < len(text) && isAlnumByte(text[end]) {
		end++
	}
	terminated := end < len(text) && text[end] == ';'
	length = end
	if terminated {
		length++
	}
	switch text[1:end] {
	case "lt":
		return "<", length, nil
	case "gt":
		return ">", length, nil
	case "amp":
		return "&", length, nil
	case "quot":
		return "\"", length, nil
	}
	if terminated && end > 1 {
		return "", 0, fmt.Errorf("sandbox: unsupported HTML entity %q", text[:length])
	}
	return "&", 1, nil
}

func decodeNumeric(text string) (decoded string, length int, err error) {
	base, begin := 10, 2
	if len(text) > 2 && (text[2] == 'x' || text[2] == 'X') {
		base, begin = 16, 3
	}
	end := begin
	for end < len(text) && isAlnumByte(text[end]) {
		end++
	}
	n, parseErr := strconv.ParseUint(text[begin:end], base, 32)
	if parseErr != nil || n == 0 || !utf8.ValidRune(rune(n)) {
		return "", 0, fmt.Errorf("sandbox: unsupported HTML entity %q", text[:end])
	}
	if end < len(text) && text[end] == ';' {
		end++
	}
	return string(rune(n)), end, nil
}

func isSpaceByte(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isAlnumByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isTokenByte(c byte) bool { return isAlnumByte(c) || c == '.' || c == '-' }

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
